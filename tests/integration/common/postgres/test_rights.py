"""What the accounts that services run as may do in the databases: what is declared, and nothing else. All of it is tried."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from common.errors import ConfigurationError
from common.postgres import migrate
from common.postgres.rights import Rights, account_of, grant, rights_of
from tests.support.servers import TestDatabases, as_served

Make = Callable[[str], Awaitable[str]]

SERVICES = ("webhook_gateway", "orchestrator", "refunds", "notifier")
_NO_RIGHTS_OF_THEIR_OWN = {"tips_order", *(f"workflow_event_{number}" for number in range(4))}
"""What tips sees, and what is reached through its parent only."""
_DAYS = r"^deliveries_[0-9]{8}$"
_RELATIONS = f"""
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname !~ '{_DAYS}'
"""  # noqa: S608 - a constant
_MAY = """
SELECT c.relname, privilege FROM pg_class AS c,
       unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  AND CASE WHEN c.relkind = 'S' THEN privilege IN ('SELECT', 'UPDATE') AND has_sequence_privilege(c.oid, privilege)
           ELSE has_table_privilege(c.oid, privilege)
                OR privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege(c.oid, privilege) END
"""
"""What the one who asks may do with any table, view, sequence or column."""
_MAY_CALL = """
SELECT p.oid::regprocedure::text AS name FROM pg_proc AS p
WHERE p.pronamespace = 'public'::regnamespace AND has_function_privilege(p.oid, 'EXECUTE')
  AND (p.prosecdef OR NOT has_function_privilege('public', p.oid, 'EXECUTE'))
"""
"""Those of its functions that act with their owner's rights, or are not everybody's."""
_FUNCTIONS = """
SELECT p.proname AS name, has_function_privilege(p.oid, 'EXECUTE') AS may FROM pg_proc AS p
WHERE p.pronamespace = 'public'::regnamespace
"""
_MIGHTY = """
SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls FROM pg_roles WHERE rolname = current_user
"""
_WHO_OWNS = "SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole"


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection for the block."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def account(databases: TestDatabases) -> AsyncIterator[str]:
    """The name of an account that may nothing yet."""
    async with databases.empty("account") as dsn, connected(dsn) as owner:
        name = urlsplit(dsn).path[1:]
        await owner.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'x'")
        yield name
        await owner.execute(f'DROP ROLE "{name}"')


@pytest.mark.parametrize("package", SERVICES)
async def test_an_account_may_do_what_is_declared_and_nothing_else(database_for: Make, package: str) -> None:
    dsn = await database_for(package)
    declared = rights_of(package)
    async with connected(as_served(dsn)) as served:
        there = {row["relname"] for row in await served.fetch(_RELATIONS)}
        assert there - _NO_RIGHTS_OF_THEIR_OWN == set(declared.tables), "every table has its rights said"
        may = {(row["relname"], row["privilege"]) for row in await served.fetch(_MAY)}
        assert may == {
            (table, part.strip().partition(" ")[0])
            for table, said in declared.tables.items()
            for part in said.partition(" (")[0].split(",")
        }
        known = {await served.fetchval("SELECT $1::regprocedure::text", each) for each in declared.functions}
        assert {row["name"] for row in await served.fetch(_MAY_CALL)} == known
        assert await served.fetchval(_WHO_OWNS) == 0
        assert not await served.fetchval(_MIGHTY)


@pytest.mark.parametrize("package", SERVICES)
async def test_an_account_can_neither_define_anything_nor_touch_the_audit_log(database_for: Make, package: str) -> None:
    """E.g. by taking the triggers away that guard it, by emptying what it may empty row by row, or by reading passwords."""
    dsn = await database_for(package)
    refused = [
        "ALTER TABLE audit_log DISABLE TRIGGER ALL",
        "ALTER TABLE audit_log DROP COLUMN reason",
        "DROP TRIGGER audit_log_append_only ON audit_log",
        "CREATE OR REPLACE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "SET session_replication_role = replica",
        "UPDATE audit_log SET reason = 'x'",
        "DELETE FROM audit_log",
        "DROP TABLE audit_log",
        "INSERT INTO audit_log (at, actor, role, action, target, reason, request_id) SELECT now(), 'x', 'x', 'x', 'x', 'x', 'x'",
        "SELECT setval(pg_get_serial_sequence('audit_log', 'id'), 1)",
        "CREATE TABLE mine (id int)",
        "CREATE VIEW mine AS SELECT 1",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE INDEX mine ON outbox (created_at)",
        "ALTER TABLE outbox ADD COLUMN mine int",
        "DROP TABLE outbox",
        "CREATE ROLE mine",
        "DELETE FROM schema_migrations",
        "SELECT * FROM pg_authid",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY outbox TO PROGRAM 'cat'",
        *(f'TRUNCATE "{table}"' for table in rights_of(package).tables if table != "uncounted_spans"),
    ]
    refused.append(f'SET ROLE "{account_of(dsn)}"')
    async with connected(as_served(dsn)) as served:
        for statement in refused:
            with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError)):
                await served.execute(statement)
                pytest.fail(f"{statement} was allowed")


async def test_an_account_reaches_no_table_of_another_service(database_for: Make) -> None:
    """Nor does it get a right there by what is granted to everybody."""
    databases = {package: await database_for(package) for package in SERVICES}
    for package, own in databases.items():
        account, password = urlsplit(as_served(own)).netloc.rpartition("@")[0].split(":")
        for other in set(SERVICES) - {package}:
            parts = urlsplit(databases[other])
            place = parts.netloc.rpartition("@")[2]
            async with connected(urlunsplit(parts._replace(netloc=f"{account}:{password}@{place}"))) as served:
                assert await served.fetch(_MAY) == []
                assert await served.fetch(_MAY_CALL) == []
                for table in rights_of(other).tables:
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await served.execute(f'TABLE "{table}"')


async def test_a_migration_gives_rights_again_and_takes_those_that_are_too_many(
    databases: TestDatabases, account: str
) -> None:
    """Whatever a death between migrations and rights, or a hand, left behind."""
    async with databases.empty("rights") as dsn, connected(dsn) as owner:
        serving = databases.dsn_of(urlsplit(dsn).path[1:], user=account, password="x")
        await migrate(dsn, "refunds")
        async with connected(serving) as served:
            assert await served.fetch(_MAY) == []
        await owner.execute(f'GRANT ALL ON audit_log, refund_history TO "{account}"')
        await owner.execute(f'GRANT UPDATE (reason) ON audit_log TO "{account}"')
        await migrate(dsn, "refunds", serving=serving)
        await migrate(dsn, "refunds", serving=serving)
        async with connected(serving) as served:
            may = {(row["relname"], row["privilege"]) for row in await served.fetch(_MAY)}
            assert {right for table, right in may if table == "audit_log"} == {"SELECT", "INSERT"}
            assert ("refund_history", "DELETE") not in may
        await owner.execute(f'DROP OWNED BY "{account}"')


async def test_rights_are_given_all_at_once_or_not_at_all(databases: TestDatabases, account: str) -> None:
    """One that cannot be given leaves those that the running service has."""
    async with databases.empty("rights") as dsn, connected(dsn) as owner:
        await owner.execute("CREATE TABLE kept (id int)")
        await grant(owner, account, Rights({"kept": "SELECT"}))
        with pytest.raises(asyncpg.UndefinedTableError):
            await grant(owner, account, Rights({"absent": "SELECT"}))
        assert await owner.fetchval("SELECT has_table_privilege($1, 'kept', 'SELECT')", account)
        await owner.execute(f'DROP OWNED BY "{account}"')


@pytest.mark.parametrize("package", SERVICES)
async def test_an_account_may_call_every_function_that_its_program_names(database_for: Make, package: str) -> None:
    """Also those that are called on a bad day only, and are not everybody's."""
    folders = (import_module(name).__path__[0] for name in (package, "common"))
    program = "\n".join(file.read_text() for folder in folders for file in Path(folder).rglob("*.py"))
    async with connected(as_served(await database_for(package))) as served:
        refused = [
            row["name"]
            for row in await served.fetch(_FUNCTIONS)
            if re.search(rf"\b{row['name']}\(", program) and not row["may"]
        ]
    assert refused == []


async def test_rights_are_given_beside_what_an_administrator_keeps_in_the_schema(
    databases: TestDatabases, account: str
) -> None:
    """As pg_stat_statements does: functions that are neither the owner's nor everybody's."""
    async with databases.empty("rights") as dsn, connected(dsn) as administrator:
        database = urlsplit(dsn).path[1:]
        migrates = f"{account}_owner"
        await administrator.execute(f'CREATE ROLE "{migrates}"')
        await administrator.execute(f'ALTER DATABASE "{database}" OWNER TO "{migrates}"')
        await administrator.execute("CREATE FUNCTION clear_figures() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        await administrator.execute("REVOKE EXECUTE ON FUNCTION clear_figures() FROM PUBLIC")
        try:
            await administrator.execute(f'SET ROLE "{migrates}"')
            await administrator.execute("CREATE TABLE kept (id int)")
            await grant(administrator, account, Rights({"kept": "SELECT, DELETE"}))
            await grant(administrator, account, Rights({"kept": "SELECT"}))
            may = "SELECT has_table_privilege($1, 'kept', 'SELECT'), has_table_privilege($1, 'kept', 'DELETE')"
            assert tuple(await administrator.fetchrow(may, account) or ()) == (True, False)
        finally:
            await administrator.execute("RESET ROLE")
            await administrator.execute(f'DROP OWNED BY "{account}"')
            await administrator.execute(f'REASSIGN OWNED BY "{migrates}" TO CURRENT_USER')
            await administrator.execute(f'DROP OWNED BY "{migrates}"')
            await administrator.execute(f'DROP ROLE "{migrates}"')


async def test_an_account_that_is_not_there_is_named(databases: TestDatabases) -> None:
    async with databases.empty("rights") as dsn:
        name = urlsplit(dsn).path[1:]
        with pytest.raises(ConfigurationError, match="no account 'nobody_here'"):
            await migrate(dsn, "refunds", serving=databases.dsn_of(name, user="nobody_here", password="x"))
    with pytest.raises(ConfigurationError, match="names no account"):
        account_of("postgresql://host/refunds")
    assert account_of("postgresql://a%40b:x@host/refunds") == "a@b"
    assert account_of("postgresql:///refunds?user=reader") == "reader"
