"""One address with two servers, a primary and its standby: writes go to the one that takes them, whoever is silent, away or promoted."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from common.errors import ConfigurationError
from common.postgres import Database, migrate, require_schema
from tests.support.database_pair import DatabasePair
from tests.support.servers import CuttingProxy, eventually, proxied


@pytest.fixture
async def pair() -> AsyncIterator[DatabasePair]:
    """Two servers of this test's own, where their account may enter; another pytest would close pytest's own folders to it."""
    with tempfile.TemporaryDirectory(prefix="pair-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        made = DatabasePair(Path(folder) / "pair")
        try:
            await asyncio.to_thread(made.start)
            yield made
        finally:
            await asyncio.to_thread(made.end)


class Places:
    """Both servers behind proxies, the standby first."""

    def __init__(
        self, pair: DatabasePair, standby: tuple[CuttingProxy, str], primary: tuple[CuttingProxy, str]
    ) -> None:
        self.pair = pair
        self.standby, first = standby
        self.primary, second = primary
        hosts = ",".join(address.rpartition("@")[2].partition("/")[0] for address in (first, second))
        self.dsn = f"{first.rpartition('@')[0]}@{hosts}/postgres"


@pytest.fixture
async def places(pair: DatabasePair) -> AsyncIterator[Places]:
    """The pair, its standby named first."""
    assert pair.standby is not None
    async with proxied(pair.standby.dsn()) as standby, proxied(pair.primary.dsn()) as primary:
        yield Places(pair, standby, primary)


async def opened(dsn: str) -> Database:
    """A pool that has had no connection yet."""
    database = Database(dsn, application_name="several", max_size=2)
    await database.open()
    return database


async def write(database: Database) -> None:
    """Write a row."""
    async with database.transaction() as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS things (at timestamptz DEFAULT now())")
        await connection.execute("INSERT INTO things DEFAULT VALUES")


async def written(database: Database) -> bool:
    """Try to write a row; whether it is there."""
    try:
        await write(database)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise AssertionError(f"not yet: {error!r}") from error
    return True


async def test_who_takes_writes_is_found_and_a_promoted_standby_too(places: Places) -> None:
    database = await opened(places.dsn)
    await write(database)
    await asyncio.to_thread(places.pair.lose_primary)
    await asyncio.to_thread(places.pair.promote)

    async def taken() -> bool:
        try:
            return await written(database)
        except Exception as error:  # the pool says in its own words that nobody takes writes yet
            raise AssertionError(repr(error)) from error

    await eventually(taken, within=60)
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM things") == 2
    await database.close()


async def test_a_silent_server_takes_no_more_than_its_share_of_the_time(places: Places) -> None:
    places.standby.stall()
    for use in (written, _ready, _in_a_session):
        database = await opened(places.dsn)

        async def comes_about(use=use, database=database) -> bool:  # type: ignore[no-untyped-def] # both as they are now
            try:
                return bool(await use(database))
            except Exception as error:  # whoever waits less than the silent one's share comes again, to the next server
                raise AssertionError(repr(error)) from error

        await eventually(comes_about, within=60)
        await database.close()


async def _ready(database: Database) -> bool:
    await database.check()
    return True


async def _in_a_session(database: Database) -> bool:
    async with database.session() as connection:
        return await connection.fetchval("SELECT NOT pg_is_in_recovery()") is True


async def test_migrations_run_where_writes_are_taken(places: Places) -> None:
    await migrate(places.dsn, "notifier")
    database = await opened(places.dsn)
    await require_schema(database, "notifier")
    await database.close()
    places.primary.refuse()
    account, _, hosts = places.dsn.rpartition("@")
    standby, _, primary = hosts.partition("/")[0].partition(",")
    for order in (
        f"{standby},{primary}",
        f"{primary},{standby}",
    ):  # whoever is asked last says why: one is away, one only reads
        with pytest.raises(ConfigurationError, match="takes writes"):
            await migrate(f"{account}@{order}/postgres", "notifier")
