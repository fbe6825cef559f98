"""An index on a table that holds one row for every hook or order is built beside the traffic: a plain CREATE INDEX would hold it up."""

from __future__ import annotations

import re

import pytest

from common.postgres.schema import migration_directories

SERVICES = ("webhook_gateway", "orchestrator", "refunds", "notifier")
LARGE = {"deliveries", "orders", "workflow", "timeline"}
RELEASED = {
    ("webhook_gateway", "0120_pre_watch.sql"), ("orchestrator", "0130_pre_tips_refunded.sql"),
    ("notifier", "0103_pre_when_deliveries_are_due.sql"), ("notifier", "0110_pre_messages_that_are_edited.sql"),
}  # fmt: skip
"""Statements that are released do not change."""

_INDEX = re.compile(r"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)[^;]*? ON (?:ONLY )?(\w+)")
_COMMENT = re.compile(r"--.*")
_TABLE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)")


@pytest.mark.parametrize("service", SERVICES)
def test_indexes_on_large_tables_are_built_beside_the_traffic(service: str) -> None:
    found = set()
    for file in sorted(migration_directories(service)[1].glob("*.sql")):
        statements = _COMMENT.sub("", file.read_text(encoding="utf-8").partition("-- migrate:down")[0])
        made = set(_TABLE.findall(statements))
        if (set(_INDEX.findall(statements)) & LARGE) - made:
            found.add((service, file.name))
    assert found == {each for each in RELEASED if each[0] == service}
