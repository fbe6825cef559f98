"""What the database role of tips may do: read one view, call two functions, and nothing else."""

from __future__ import annotations

import asyncpg
import pytest

from .conftest import Start

_SYSTEM = "('pg_catalog', 'information_schema', 'pg_toast')"
_MAY = f"""
SELECT privilege, c.relname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace,
       unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
WHERE n.nspname NOT IN {_SYSTEM} AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND (has_table_privilege(c.oid, privilege)
       OR (privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege(c.oid, privilege)))
"""  # noqa: S608 - nothing from outside
"""What the role may do with any table, view or column."""
_MAY_CALL = f"""
SELECT p.oid::regprocedure::text FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname NOT IN {_SYSTEM} AND p.prosecdef AND has_function_privilege(p.oid, 'EXECUTE') ORDER BY 1
"""  # noqa: S608 - as above
"""The functions that act with their owner's rights and may be called."""


async def test_the_role_of_tips_can_read_and_write_nothing_else(start: Start) -> None:
    service = await start()
    await service.order()
    tables = await service.orders.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    assert len(tables) > 5
    tips = await asyncpg.connect(service.tips_dsn)
    try:
        for table in tables:
            for statement in (f"SELECT * FROM {table['name']}", f"DELETE FROM {table['name']}"):  # noqa: S608 - names from the catalogue
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await tips.execute(statement)
        for statement in (
            "UPDATE tips_order SET tips_amount = 1",
            "DELETE FROM tips_order",
            "CREATE TABLE mine (id int)",
            "SELECT nextval(pg_get_serial_sequence('stock_movements', 'id'))",
            "SELECT pg_read_file('/etc/passwd')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await tips.execute(statement)
        assert await tips.fetchval("SELECT count(*) FROM tips_order") == 1
        assert [tuple(row) for row in await tips.fetch(_MAY)] == [("SELECT", "tips_order")]
        assert [tuple(row) for row in await tips.fetch(_MAY_CALL)] == [
            ("tips_set_sum(text,bigint,bigint,text,text,timestamp with time zone,boolean)",),
            ("tips_take_refunded(integer)",),
        ]
    finally:
        await tips.close()
