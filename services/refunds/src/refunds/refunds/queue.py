"""The refunds database outside one refund's transaction: opening them, the queue of what is due, lists, and the days of reconciliation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from uuid import UUID

from common.postgres import Database
from refunds.providers.provider import Observer, RefundStore
from refunds.refunds import statements as sql
from refunds.refunds.model import Refund
from refunds.refunds.rows import refund_of
from refunds.refunds.store import PostgresStore


class PostgresTransactions:
    """Port ``Transactions``. ``after_commit`` is called after every commit, to wake the relay."""

    def __init__(self, database: Database, observer: Observer, *, after_commit: Callable[[], None]) -> None:
        self._database = database
        self._observer = observer
        self._after_commit = after_commit

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[RefundStore]:
        """Open a transaction."""
        async with self._database.transaction() as connection:
            yield PostgresStore(connection, self._observer)
        self._after_commit()


class PostgresQueue:
    """The refunds that are due, leased to one worker at a time."""

    def __init__(self, database: Database, *, owner: str, lease: timedelta) -> None:
        self._database = database
        self._owner = owner
        self._lease = lease

    async def claim(self, *, limit: int, now: datetime) -> list[str]:
        """Take up to ``limit`` due refunds for the length of the lease. Replicas never get the same one at the same time."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(sql.CLAIM, now, limit, self._owner, now + self._lease)
        return [str(row["id"]) for row in rows]

    async def release(self, refund_id: str) -> None:
        """Give a refund back; it is due again at its own time."""
        async with self._database.acquire() as connection:
            await connection.execute(sql.RELEASE, UUID(refund_id), self._owner)


class PostgresLists:
    """The operator's lists."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, *, state: int | None, order: str | None, before: UUID | None, limit: int) -> list[Refund]:
        """Return refunds, newest first, from before the given id."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(sql.PAGE, state, order, before, limit)
        return [refund_of(row) for row in rows]

    async def in_error(self, *, order: str | None, error: str | None, limit: int) -> list[Refund]:
        """Return refunds in RS_ERROR, oldest first."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(sql.IN_ERROR, order, error, limit)
        return [refund_of(row) for row in rows]


class PostgresBooks:
    """Port ``Books``, and who reconciles a day."""

    def __init__(self, database: Database, *, owner: str, lease: timedelta = timedelta(minutes=30)) -> None:
        self._database = database
        self._owner = owner
        self._lease = lease

    async def sent_since(self, since: datetime, until: datetime, *, after: str | None, limit: int) -> Sequence[str]:
        """Return ids of refunds that changed in [since, until) and that a gateway knows."""
        position = None if after is None else UUID(after)
        async with self._database.acquire() as connection:
            rows = await connection.fetch(sql.SENT_SINCE, since, until, position, limit)
        return [str(row["id"]) for row in rows]

    async def claim_day(self, day: date, *, now: datetime) -> bool:
        """Take the day's reconciliation, for the length of the lease. False when it is done, or another replica is at it."""
        async with self._database.acquire() as connection:
            return bool(await connection.fetchval(sql.CLAIM_DAY, day, self._owner, now, now + self._lease))

    async def finish_day(self, day: date, *, now: datetime) -> None:
        """Note that the day is reconciled."""
        async with self._database.acquire() as connection:
            await connection.execute(sql.FINISH_DAY, day, self._owner, now)
