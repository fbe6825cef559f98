"""Objects that can die or hang at every await: a process that is killed, and one that stands still while another carries on.

Every await of a use case of refunds ends at one of these: a transaction, a statement in it, a call to a gateway. So a crash point
that kills at each of them, before and after, reaches every await there is.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


class KilledError(BaseException):
    """The process is gone: nothing catches this, nothing is cleaned up but what the servers clean up themselves."""


class CrashPoint:
    """Dies at the ``dies_at``-th point, or stands still at the ``hangs_at``-th point outside a transaction until ``wake``."""

    def __init__(self, *, dies_at: int | None = None, hangs_at: int | None = None) -> None:
        self.points = 0
        self.hangs = asyncio.Event()
        self._dies_at = dies_at
        self._hangs_at = hangs_at
        self._depth = 0
        self._wake = asyncio.Event()

    async def point(self) -> None:
        """Pass, die or hang."""
        self.points += 1
        if self.points == self._dies_at:
            raise KilledError
        if self._hangs_at is not None and self.points >= self._hangs_at and self._depth == 0:
            self._hangs_at = None
            self.hangs.set()
            await self._wake.wait()

    def wake(self) -> None:
        """Let it go on."""
        self._wake.set()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Mark a transaction: it dies there and does not hang, or its locks would stop everybody."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1


class WithCrashPoints:
    """Anything with coroutine methods; each has a point before and after it."""

    def __init__(self, real: Any, crash_point: CrashPoint) -> None:
        self._real = real
        self._crash_point = crash_point

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **keywords: Any) -> Any:
            await self._crash_point.point()
            result = await found(*arguments, **keywords)
            await self._crash_point.point()
            return result

        return call


class ConnectionWithCrashPoints:
    """A connection with points before and after each statement. asyncpg's proxy does not say that its methods are coroutines."""

    def __init__(self, real: Any, crash_point: CrashPoint) -> None:
        self._real = real
        self._crash_point = crash_point

    async def fetch(self, *arguments: Any) -> Any:
        """Return rows."""
        return await self._call(self._real.fetch, arguments)

    async def fetchval(self, *arguments: Any) -> Any:
        """Return a value."""
        return await self._call(self._real.fetchval, arguments)

    async def fetchrow(self, *arguments: Any) -> Any:
        """Return a row."""
        return await self._call(self._real.fetchrow, arguments)

    async def _call(self, statement: Any, arguments: Any) -> Any:
        await self._crash_point.point()
        result = await statement(*arguments)
        await self._crash_point.point()
        return result


_STATEMENTS = frozenset({"execute", "fetch", "fetchrow", "fetchval"})


class AnyConnectionWithCrashPoints:
    """A connection with a point before and after each statement, and all else that a connection has."""

    def __init__(self, real: Any, crash_point: CrashPoint) -> None:
        self._real = real
        self._crash_point = crash_point

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in _STATEMENTS:
            return found

        async def call(*arguments: Any) -> Any:
            await self._crash_point.point()
            result = await found(*arguments)
            await self._crash_point.point()
            return result

        return call


class StoreWithCrashPoints(WithCrashPoints):
    """A ``RefundStore``; its payments and its connection have points too."""

    @property
    def payments(self) -> Any:
        """Payments in the same transaction."""
        return WithCrashPoints(self._real.payments, self._crash_point)

    @property
    def connection(self) -> Any:
        """The transaction's connection."""
        return ConnectionWithCrashPoints(self._real.connection, self._crash_point)

    @property
    def plain_connection(self) -> Any:
        """The same without points, for a change that makes a store of its own on it."""
        return self._real.connection


class TransactionsWithCrashPoints:
    """Transactions with points before they begin, at each statement, before the commit and after it."""

    def __init__(self, real: Any, crash_point: CrashPoint) -> None:
        self._real = real
        self._crash_point = crash_point

    def store_on(self, connection: Any, *, count: Any) -> Any:
        """A store in a transaction that somebody else commits."""
        return StoreWithCrashPoints(self._real.store_on(connection, count=count), self._crash_point)

    def store_in(self, change: Any) -> Any:
        """A store in a change."""
        return StoreWithCrashPoints(self._real.store_in(change), self._crash_point)

    @asynccontextmanager
    async def begin(self, **tells: Any) -> AsyncIterator[Any]:
        """Open a transaction."""
        await self._crash_point.point()
        async with self._crash_point.transaction(), self._real.begin(**tells) as store:
            yield StoreWithCrashPoints(store, self._crash_point)
            await self._crash_point.point()
        await self._crash_point.point()
