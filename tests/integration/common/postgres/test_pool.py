"""The pool against a real server: what is committed is committed, what is away is called away, nothing is held for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import asyncpg
import pytest
from yarl import URL

from common.errors import Conflict, TooMany, Unavailable
from common.postgres import Connection, Database, is_retryable, is_transient
from tests.support.servers import eventually, proxied


@pytest.fixture
async def database(database_for: Callable[[str], Awaitable[str]]) -> AsyncIterator[Database]:
    """An open pool on a fresh database."""
    pool = Database(await database_for("orchestrator"), application_name="test", max_size=4)
    await pool.open()
    async with pool.acquire() as connection:
        await connection.execute("CREATE TABLE things (name text)")
    yield pool
    await pool.close()


async def test_a_commit_that_the_server_turned_into_a_rollback_is_an_error(database: Database) -> None:
    """PostgreSQL answers COMMIT with ROLLBACK, and no error, when a statement had failed and nobody minded."""
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO things VALUES ('lost')")
            with pytest.raises(asyncpg.DivisionByZeroError):
                await connection.execute("SELECT 1/0")
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM things") == 0


async def test_a_savepoint_may_fail_without_harm(database: Database) -> None:
    """The same with the failure inside a nested transaction is an ordinary commit."""
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO things VALUES ('kept')")
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with connection.transaction():
                await connection.execute("SELECT 1/0")
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM things") == 1


async def test_losing_the_connection_after_the_commit_is_no_failure_of_the_work(database: Database) -> None:
    """The connection goes back to the pool dead; whoever committed is not told that it failed, and whoever comes next gets another."""
    async with proxied(database.dsn) as (proxy, address):
        pool = Database(address, application_name="cut", max_size=1)
        await pool.open()
        async with pool.acquire() as connection:
            await connection.execute("INSERT INTO things VALUES ('kept')")
            lost = await connection.fetchval("SELECT pg_backend_pid()")
            proxy.stall()
        proxy.cut()
        proxy.heal()

        async def ended() -> bool:
            async with database.acquire() as watcher:
                return not await watcher.fetchval("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", lost)

        await eventually(ended, what="the end of the session that was cut")
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT name FROM things") == "kept"
        await pool.close()


async def test_an_error_of_the_block_comes_through_unchanged(database: Database) -> None:
    """Only failing to get a connection is called unavailable."""
    with pytest.raises(ConnectionResetError):
        async with database.acquire():
            raise ConnectionResetError("from somewhere else")
    with pytest.raises(TimeoutError):
        async with database.transaction():
            raise TimeoutError("from somewhere else")


async def test_a_server_that_refuses_hangs_or_does_not_know_us_is_unavailable(database: Database) -> None:
    """One error for all of it, and the password is not in it."""
    details: list[str] = []
    async with proxied(database.dsn) as (proxy, address):
        proxy.refuse()
        details.append(await _why(address))
        proxy.heal()
        proxy.stall()
        details.append(await _why(address))
    details.append(await _why(str(URL(database.dsn).with_path("/there-is-no-such-database"))))
    details.append(await _why(str(URL(database.dsn).with_user("nobody").with_password("pssst"))))
    assert all(detail.startswith("the database does not answer") for detail in details), details
    assert "pssst" not in str(details)


async def test_an_exhausted_pool_is_unavailable_and_recovers(database: Database) -> None:
    """Four connections lent: the fifth asker is told within its own time limit."""
    pool = [database.acquire() for _ in range(4)]
    for lent in pool:
        await lent.__aenter__()
    with pytest.raises(Unavailable):
        async with database.acquire(timeout=0.1):
            pass
    for lent in pool:
        await lent.__aexit__(None, None, None)
    await database.check()


async def test_cancelled_askers_leave_the_pool_whole(database: Database) -> None:
    """Two hundred askers cancelled at every stage: afterwards all four connections can be had at once."""

    async def ask(number: int) -> None:
        async with database.transaction() as connection:
            await connection.execute("SELECT pg_sleep($1)", number % 7 / 1000)

    tasks = [asyncio.create_task(ask(number)) for number in range(200)]
    for number, task in enumerate(tasks):
        if number % 5 == 0:
            await asyncio.sleep(0.002)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    async def hold(barrier: asyncio.Barrier) -> None:
        async with database.transaction() as connection:
            await connection.execute("SELECT 1")
            await barrier.wait()

    barrier = asyncio.Barrier(4)
    async with asyncio.timeout(60):
        await asyncio.gather(*(hold(barrier) for _ in range(4)))


async def test_a_client_that_vanished_is_not_waited_for_by_its_locks(database: Database) -> None:
    """The server ends a transaction that idles and a peer that is silent; by default it would wait for hours."""
    async with database.acquire() as connection:
        settings = {
            name: await connection.fetchval("SELECT current_setting($1)", name)
            for name in ("idle_in_transaction_session_timeout", "tcp_keepalives_idle", "tcp_user_timeout", "TimeZone")
        }
    assert settings == {
        "idle_in_transaction_session_timeout": "1min",
        "tcp_keepalives_idle": "10",
        "tcp_user_timeout": "30000",
        "TimeZone": "UTC",
    }


async def test_a_session_of_its_own_ends_with_its_locks(database: Database) -> None:
    """Outside the pool: it takes none of its connections, and what it held is free afterwards."""
    async with database.session() as session:
        assert await session.fetchval("SELECT pg_try_advisory_lock(42)")
        async with database.acquire() as connection:
            assert not await connection.fetchval("SELECT pg_try_advisory_lock(42)")

    async def free() -> bool:
        async with database.acquire() as connection:
            return bool(await connection.fetchval("SELECT pg_try_advisory_lock(42)"))

    await eventually(free, what="the lock")


@pytest.mark.parametrize(
    ("error", "worth"),
    [
        (asyncpg.InterfaceError("connection is closed"), True),
        (asyncpg.InterfaceError("pool is closing"), True),
        (asyncpg.InterfaceError("cannot perform operation: another operation is in progress"), False),
        (asyncpg.DeadlockDetectedError("x"), True),
        (asyncpg.ReadOnlySQLTransactionError("x"), True),
        (asyncpg.DiskFullError("x"), True),
        (asyncpg.OutOfMemoryError("x"), True),
        (asyncpg.QueryCanceledError("x"), True),
        (asyncpg.InFailedSQLTransactionError("x"), False),
        (asyncpg.UniqueViolationError("x"), False),
        (asyncpg.UndefinedTableError("x"), False),
        (ValueError("x"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_what_is_transient(error: Exception, worth: bool) -> None:
    """The server's and the neighbours' trouble is; ours is not."""
    assert is_transient(error) is worth
    assert is_retryable(error) is worth


@pytest.mark.parametrize(("error", "worth"), [(Unavailable("x"), True), (TooMany("x"), True), (Conflict("x"), False)])
def test_an_error_of_ours_says_itself_whether_to_try_again(error: Exception, worth: bool) -> None:
    """What is transient is only asked of what others raise."""
    assert (is_retryable(error), is_transient(error)) == (worth, False)


async def _why(address: str) -> str:
    pool = Database(address, application_name="why")
    await pool.open()
    try:
        async with pool.acquire(timeout=1.0):
            return "it answers"
    except Unavailable as error:
        return error.detail
    finally:
        await pool.close()


async def test_a_connection_is_released_without_a_round_trip_unless_a_transaction_is_open(
    database: Database,
) -> None:
    """What a session has set stays (the round trip saved is the one that would undo it); what was begun and not committed does not."""
    pool = Database(database.dsn, application_name="left", max_size=1)
    await pool.open()
    async with pool.acquire() as connection:
        await connection.execute("SET work_mem = '1MB'")
        await connection.execute("CREATE TABLE kept (id integer)")
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO kept VALUES (1)")
    async with pool.acquire() as connection:
        left = await connection.fetchval("SHOW work_mem"), await connection.fetchval("SELECT count(*) FROM kept")
        inside = connection.is_in_transaction()
    await pool.close()
    assert (left, inside) == (("1MB", 0), False)


async def test_sessions_ended_while_they_speak_are_away_and_leave_the_pool_whole(database: Database) -> None:
    """A planned restart, or an administrator who ends all sessions: whatever asyncpg makes of it can be tried again."""
    lost: list[Exception] = []
    names: set[str] = set()
    done = 0
    over = asyncio.Event()

    async def write(connection: Connection) -> None:
        await connection.executemany("INSERT INTO things VALUES ($1)", [(str(number),) for number in range(50)])
        await connection.fetch("SELECT name FROM things LIMIT 300")

    async def load(savepoint: bool) -> None:
        nonlocal done
        while not over.is_set():
            try:
                async with database.transaction(timeout=30) as connection:
                    if savepoint:
                        async with connection.transaction():
                            await write(connection)
                    await write(connection)
                done += 1
            except Exception as error:  # noqa: BLE001 - what comes is what is looked at
                lost.append(error)
                names.update(type(each).__name__ for each in (error, error.__context__))

    until = monotonic() + 120  # after that nobody waits for the one that comes by chance
    async with database.session() as outside, asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(load(number % 2 == 0))
        while (len(lost) < 300 or "InternalClientError" not in names) and monotonic() < until:
            await outside.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await asyncio.sleep(0.01)
        over.set()
    assert {type(error).__name__ for error in lost if not is_retryable(error)} == set()
    assert "InternalClientError" in names
    for _ in range(2 * 4):  # each of the pool's connections, and again
        async with database.transaction() as connection:
            await write(connection)


async def test_a_new_connection_does_not_ask_again_how_the_server_s_own_types_are_made(database: Database) -> None:
    """Only for what somebody has created: that has another number on each server."""
    values = [["a", "b"], [b"c"], [1, None], [datetime(2026, 11, 30, tzinfo=UTC)], [{"d": 1}]]
    question = "SELECT $1::text[], $2::bytea[], $3::bigint[], $4::timestamptz[], $5::jsonb[]"
    asked: list[list[str]] = []
    async with database.acquire() as first, database.acquire() as second, database.acquire() as third:
        await first.execute("CREATE TYPE mood AS ENUM ('calm')")
        for connection in (first, second, third):
            asked.append([])
            connection.add_query_logger(_noting(asked[-1]))
            assert list(await connection.fetchrow(question, *values) or ()) == values
        assert len(asked[0]) <= 1  # another test of this process may have asked before
        assert asked[1:] == [[], []]
        for connection in (second, third):
            assert await connection.fetchval("SELECT $1::mood[]", ["calm"]) == ["calm"]
        assert [len(each) for each in asked[1:]] == [1, 1]


def _noting(asked: list[str]) -> Callable[[Any], None]:
    def note(query: Any) -> None:
        if "typeinfo" in query.query:
            asked.append(query.query)

    return note
