"""Waking workers: at once in this process, by NOTIFY in the others, at most once in ten milliseconds.

NOTIFY takes a lock of the whole database at commit, so it comes from the application, coalesced, and never from a trigger. A lost
notification costs no more than a poll.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from common.errors import SuiteError
from common.postgres import Database, worth_repeating
from common.telemetry import get_logger

_log = get_logger()
_CHANNEL = "workflow_ready"
_COALESCE_SECONDS = 0.01
_REDIAL_SECONDS = 1.0


class Bell:
    """What one worker waits for."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Report that there may be work."""
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Return when it rang since the last call, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()


class Wake:
    """Rings the bells of all workers of all replicas. ``run`` is to be supervised."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._bells: list[Bell] = []
        self._wanted = asyncio.Event()

    def bell(self) -> Bell:
        """Return a bell for one more worker of this process."""
        bell = Bell()
        self._bells.append(bell)
        return bell

    def ring(self) -> None:
        """Report that a transaction that makes workflows runnable has committed. Cheap."""
        self._ring_here()
        self._wanted.set()

    async def run(self) -> None:
        """Listen and notify until cancelled; survives the absence of PostgreSQL."""
        while True:
            try:
                async with self._database.acquire() as connection:
                    await connection.add_listener(_CHANNEL, self._heard)
                    try:
                        self._ring_here()
                        while True:
                            # A quiet connection is looked at now and then: one that has gone would not say so.
                            with suppress(TimeoutError):
                                async with asyncio.timeout(5.0):
                                    await self._wanted.wait()
                            if self._wanted.is_set():
                                self._wanted.clear()
                                await connection.execute("SELECT pg_notify($1, '')", _CHANNEL)
                                await asyncio.sleep(_COALESCE_SECONDS)
                            else:
                                await connection.execute("SELECT 1")
                    finally:
                        if not connection.is_closed():
                            await connection.remove_listener(_CHANNEL, self._heard)
            except Exception as error:
                if not (isinstance(error, SuiteError) and error.retryable) and not worth_repeating(error):
                    raise
                _log.warning("wake_interrupted", reason=type(error).__name__)
                await asyncio.sleep(_REDIAL_SECONDS)

    def _heard(self, *_: object) -> None:
        self._ring_here()

    def _ring_here(self) -> None:
        for bell in self._bells:
            bell.ring()
