"""Migrations by dbmate: several at once, every form of address, no secret in what is said."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg
import psutil
import pytest

from common.errors import ConfigurationError, SchemaTooOld
from common.postgres import Database, migrate, require_schema, required_versions, schema
from common.postgres.schema import migration_directories
from tests.support.servers import TestDatabases, eventually, proxied

AWKWARD = "p%40s/s:w@r d?#é"


@pytest.fixture
async def empty(databases: TestDatabases) -> AsyncIterator[str]:
    """The address of an empty database."""
    async with databases.empty("migrations") as dsn:
        yield dsn


async def versions(dsn: str) -> list[str]:
    """Return the versions that the database has."""
    connection = await asyncpg.connect(dsn)
    try:
        return [row["version"] for row in await connection.fetch("SELECT version FROM schema_migrations ORDER BY 1")]
    finally:
        await connection.close()


@pytest.mark.parametrize("package", ["notifier", "orchestrator"])
async def test_three_at_once_migrate_once(empty: str, package: str) -> None:
    """Every replica may run its migrations when it starts; the orchestrator's build indexes that wait for everybody's statements."""
    await asyncio.gather(*(migrate(empty, package) for _ in range(3)))
    assert set(required_versions(package)) <= set(await versions(empty))
    await migrate(empty, package)


async def test_a_migration_that_was_killed_while_it_built_an_index_is_run_again(empty: str) -> None:
    """Its index is there, valid or not, and nothing says that it ran."""
    await migrate(empty, "orchestrator")
    connection = await asyncpg.connect(empty)
    try:
        await connection.execute("DELETE FROM schema_migrations WHERE version IN ('0250', '0310')")
        await connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'order_contact_newest'::regclass"
        )
        await migrate(empty, "orchestrator")
        assert set(required_versions("orchestrator")) <= set(await versions(empty))
        assert await connection.fetchval("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
    finally:
        await connection.close()


async def test_an_index_that_an_outlived_dbmate_builds_to_its_end_is_there_afterwards(empty: str) -> None:
    """Who migrates again waits for it, and drops what is noted as built by then."""
    await migrate(empty, "orchestrator")
    connection, outlived = await asyncpg.connect(empty), await asyncpg.connect(empty)

    async def waited_for() -> bool:
        waits = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DROP INDEX%newest'"
        )
        return bool(await connection.fetchval(waits))

    try:
        await connection.execute("DELETE FROM schema_migrations WHERE version = '0310'")
        async with outlived.transaction():
            await outlived.execute("LOCK TABLE order_contact IN SHARE UPDATE EXCLUSIVE MODE")
            again = asyncio.create_task(migrate(empty, "orchestrator"))
            await eventually(waited_for)
            await outlived.execute("INSERT INTO schema_migrations (version) VALUES ('0310')")
        await again
        assert await connection.fetchval("SELECT to_regclass('order_contact_newest')") is not None
    finally:
        await connection.close()
        await outlived.close()


async def test_a_name_longer_than_an_index_holds_stops_no_upgrade(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database of before names were cut has one, and is brought to this release; the next upgrade finds nothing to do."""
    platform, ours = migration_directories("orchestrator")
    for file in ours.glob("*.sql"):
        if file.name < "0309":
            shutil.copy(file, tmp_path)
    with monkeypatch.context() as before:
        before.setattr(schema, "migration_directories", lambda _: [platform, tmp_path])
        await migrate(empty, "orchestrator")
    connection = await asyncpg.connect(empty)
    try:
        name = " " + "".join(secrets.choice("абвгдежзиклмнопрстуфхцчшщэюя雪花風月") for _ in range(4000))
        await connection.executemany(
            "INSERT INTO order_contact (number, digest, created_at, name, grams) VALUES ($1, '', now(), $2, '{}')",
            [("LONG", name), ("SHORT", " анна")],
        )
        await migrate(empty, "orchestrator")
        kept = {row["number"]: row["name"] for row in await connection.fetch("SELECT number, name FROM order_contact")}
        assert kept == {"LONG": name[:500], "SHORT": " анна"}
        assert await connection.fetchval(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'order_contact_newest'::regclass"
        )
    finally:
        await connection.close()


async def test_where_no_migration_is_noted_no_index_is_dropped(empty: str) -> None:
    """A schema restored without its rows: dbmate says that its tables are there, and who runs on it goes on."""
    await migrate(empty, "orchestrator")
    connection = await asyncpg.connect(empty)
    try:
        await connection.execute("TRUNCATE schema_migrations")
        with pytest.raises(ConfigurationError):
            await migrate(empty, "orchestrator")
        assert await connection.fetchval("SELECT to_regclass('order_contact_newest')") is not None
    finally:
        await connection.close()


async def test_whoever_asks_while_the_schema_is_old_learns_what_to_run(empty: str) -> None:
    """And whoever asks afterwards is let through."""
    database = Database(empty, application_name="test")
    await database.open()
    with pytest.raises(SchemaTooOld, match="python -m notifier migrate"):
        await require_schema(database, "notifier")
    await migrate(empty, "notifier")
    await require_schema(database, "notifier")
    await database.close()


async def test_a_password_of_awkward_characters_works_and_is_never_shown(databases: TestDatabases, empty: str) -> None:
    """Quoted in the address; a server that refuses it is named without it."""
    name = urlsplit(empty).path[1:]
    connection = await asyncpg.connect(empty)
    try:
        quoted = AWKWARD.replace("'", "''")
        await connection.execute(f"CREATE ROLE \"{name}\" LOGIN SUPERUSER PASSWORD '{quoted}'")
        await migrate(databases.dsn_of(name, user=name, password=AWKWARD), "notifier")
    finally:
        await connection.execute(f'REASSIGN OWNED BY "{name}" TO CURRENT_USER')
        await connection.execute(f'DROP OWNED BY "{name}"')
        await connection.execute(f'DROP ROLE "{name}"')
        await connection.close()
    assert await versions(empty)


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://user:{quote(AWKWARD, safe='')}@127.0.0.1:1/none",
        f"postgresql://user:{AWKWARD}@127.0.0.1:1/none",
        "postgresql://user:pss%zzst@127.0.0.1:1/none",
        "postgresql://user:pss%zzst@127.0.0.1:port/none",
        "postgresql://user:pss%zzst@one:1,two:2/none",
        "host=127.0.0.1 password=pss%zzst",
    ],
)
async def test_an_address_that_does_not_work_is_not_quoted(address: str) -> None:
    """Whatever dbmate says of an address, the password is not in it."""
    with pytest.raises(ConfigurationError) as caught:
        await migrate(address, "notifier", timeout=20)
    for secret in (AWKWARD, quote(AWKWARD), quote(AWKWARD, safe=""), "pss%zzst", "pss%25zzst", "s:w@r", "w@r d"):
        assert secret not in caught.value.detail


@pytest.mark.parametrize("mode", ["prefer", "allow", "disable"])
async def test_a_server_without_tls_is_reached_when_tls_is_only_preferred(empty: str, mode: str) -> None:
    """libpq's `prefer` and `allow` fall back; dbmate's driver knows neither."""
    await migrate(f"{empty}?sslmode={mode}", "notifier")
    assert await versions(empty)


async def test_tls_that_is_required_is_required(empty: str) -> None:
    """No falling back where the address insists."""
    with pytest.raises(ConfigurationError, match="SSL"):
        await migrate(f"{empty}?sslmode=require", "notifier")


async def test_a_unix_socket_works(empty: str) -> None:
    """The address that a server on the same machine is often given. (The test server listens on TCP only, hence the bridge.)"""
    parts = urlsplit(empty)
    user = parts.netloc.rpartition("@")[0]

    async def bridge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(parts.hostname, parts.port)
        await asyncio.gather(_pump(reader, server_writer), _pump(server_reader, writer), return_exceptions=True)

    with tempfile.TemporaryDirectory(dir="/tmp") as directory:  # short: the path of a socket has 107 bytes
        async with await asyncio.start_unix_server(bridge, f"{directory}/.s.PGSQL.5432"):
            await migrate(f"postgresql://{user}@{parts.path}?host={quote(directory, safe='')}", "notifier")
    assert await versions(empty)


async def test_a_cancelled_migration_leaves_no_process_behind(empty: str) -> None:
    """The server hangs, the operator gives up: nothing goes on migrating in the background."""
    me = psutil.Process()
    async with proxied(empty) as (proxy, address):
        proxy.stall()
        task = asyncio.create_task(migrate(address, "notifier"))

        async def children() -> list[psutil.Process]:
            return [child for child in me.children() if "dbmate" in child.name()]

        running = await eventually(children, what="dbmate's process")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [child for child in running if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
    sink.close()
