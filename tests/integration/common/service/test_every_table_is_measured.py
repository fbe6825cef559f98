"""The size of every table is measured: none grows unseen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import pytest

from common.postgres import Database
from common.service import TableSizes
from common.telemetry.metrics import new_registry
from notifier.rights import TABLES as NOTIFIER
from orchestrator.rights import TABLES as ORCHESTRATOR
from refunds.rights import TABLES as REFUNDS

_TABLES = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relname NOT IN ('schema_migrations', 'table_size')
"""


@pytest.mark.parametrize(
    ("service", "measured"), [("orchestrator", ORCHESTRATOR), ("refunds", REFUNDS), ("notifier", NOTIFIER)]
)
async def test_every_table_of_a_service_is_measured(
    database_for: Callable[[str], Awaitable[str]], service: str, measured: Sequence[str]
) -> None:
    dsn = await database_for(service)
    connection = await asyncpg.connect(dsn)
    there = {row["relname"] for row in await connection.fetch(_TABLES)}
    await connection.close()
    assert set(measured) == there
    registry = new_registry()
    database = Database(dsn, application_name="test")
    await database.open()
    await TableSizes(registry, measured).measure(database)
    await database.close()
    empty = [name for name in there if not registry.get_sample_value("database_table_bytes", {"table": name})]
    assert empty == []
