"""An index on a table that has a row for every order is built beside the traffic: a plain CREATE INDEX would hold it up.

The gateway's ``deliveries`` is partitioned, and PostgreSQL builds no index of such a table concurrently; but no answer waits for it.
"""

from __future__ import annotations

import re

from common.postgres.schema import migration_directories

LARGE = {"orders", "workflow", "timeline"}
RELEASED = {"0130_pre_tips_refunded.sql"}
"""Statements that are released do not change."""

_INDEX = re.compile(r"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)[^;]*? ON (?:ONLY )?(\w+)")
_COMMENT = re.compile(r"--.*")
_TABLE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)")


def test_indexes_on_large_tables_are_built_beside_the_traffic() -> None:
    found = set()
    for file in sorted(migration_directories("orchestrator")[1].glob("*.sql")):
        statements = _COMMENT.sub("", file.read_text(encoding="utf-8").partition("-- migrate:down")[0])
        if (set(_INDEX.findall(statements)) & LARGE) - set(_TABLE.findall(statements)):
            found.add(file.name)
    assert found == RELEASED
