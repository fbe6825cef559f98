"""What grows is measured."""

from __future__ import annotations

import re
from importlib.resources import files

from webhook_gateway.rights import TABLES

CREATED = re.compile(r"^CREATE (?:UNLOGGED )?TABLE (\w+)(?! PARTITION OF)\b(?= \()", re.MULTILINE)


def test_every_table_of_the_gateway_is_measured() -> None:
    tables: set[str] = set()
    for package in ("webhook_gateway", "common.postgres"):
        for migration in files(package).joinpath("migrations").iterdir():
            if migration.name.endswith(".sql"):
                up = migration.read_text(encoding="utf-8").partition("-- migrate:down")[0]
                tables |= set(CREATED.findall(up))
    assert tables - {"table_size"} == set(TABLES)
