"""Waking workers: at once in this process, and by NOTIFY in the others when everybody here is busy, at most once in ten milliseconds.

One worker of a pool is woken, not all, and of the pool that has work: whoever finds nothing has asked the database in vain. NOTIFY takes
a lock of the whole database at commit, so it comes from the application, coalesced, and never from a trigger. A lost notification costs
no more than a poll.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from common.postgres import Connection, Database, is_retryable
from common.telemetry import get_logger
from orchestrator.engine.model import WorkerPool

_log = get_logger()
_CHANNEL = "workflow_ready"
_COALESCE_SECONDS = 0.01
_REDIAL_SECONDS = 1.0


class LastLook:
    """When a worker of a pool of this process last went to look."""

    def __init__(self) -> None:
        self.at = float("-inf")


class WakeupListener:
    """What one worker waits for. ``last`` is common to a pool: unasked one of it looks, not everybody."""

    def __init__(self, last: LastLook | None = None) -> None:
        self._event = asyncio.Event()
        self._waiting = self._lingers = False
        self._last = LastLook() if last is None else last

    @property
    def idle(self) -> bool:
        """Whether its worker waits and has not been notified, or goes to look only in a moment."""
        return self._waiting and (self._lingers or not self._event.is_set())

    def notify(self) -> None:
        """Report that there may be work."""
        self._event.set()

    async def wait(self, seconds: float, *, linger: float = 0.0) -> None:
        """Return when it was notified since the last call, or when for so many seconds nobody of the pool has gone to look.

        Either way ``linger`` seconds later: what comes meanwhile is found by the same look.
        """
        now = asyncio.get_running_loop().time
        due = now() + seconds
        self._waiting = True
        try:
            while not self._event.is_set() and (wait := due - now()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._event.wait()
                due = max(due, self._last.at + seconds)
            self._lingers = True
            await asyncio.sleep(linger)
        finally:
            self._waiting = self._lingers = False
        self._event.clear()
        self._last.at = now()


class Wakeup:
    """Wakes the workers of all replicas. ``run`` is to be supervised."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: dict[WorkerPool, list[WakeupListener]] = {}
        self._last: dict[WorkerPool, LastLook] = {}
        self._wanted: dict[str, None] = {}
        self._asked = asyncio.Event()

    def listener(self, pool: WorkerPool) -> WakeupListener:
        """Return a listener for one more worker of this process."""
        listener = WakeupListener(self._last.setdefault(pool, LastLook()))
        self._listeners.setdefault(pool, []).append(listener)
        return listener

    def notify(self, pool: WorkerPool | None = None) -> None:
        """Report that a transaction that makes workflows runnable, of a pool where one is named, has committed. Cheap."""
        said = "" if pool is None else str(int(pool))
        if not self._notify_here(said):
            self._wanted[said] = None
            self._asked.set()

    async def run(self) -> None:
        """Listen and notify until cancelled; survives the absence of PostgreSQL."""
        while True:
            try:
                async with self._database.session() as connection:
                    await connection.add_listener(_CHANNEL, self._heard)
                    self._notify_here("")
                    while True:
                        # A quiet connection is looked at now and then: one that has gone would not say so.
                        with suppress(TimeoutError):
                            async with asyncio.timeout(5.0):
                                await self._asked.wait()
                        if self._asked.is_set():
                            self._asked.clear()
                            wanted, self._wanted = list(self._wanted), {}
                            await connection.execute(
                                "SELECT pg_notify($1, said) FROM unnest($2::text[]) AS said", _CHANNEL, wanted
                            )
                            await asyncio.sleep(_COALESCE_SECONDS)
                        else:
                            await connection.execute("SELECT 1")
            except Exception as error:
                if not is_retryable(error):
                    raise
                _log.warning("wake_interrupted", reason=type(error).__name__)
                await asyncio.sleep(_REDIAL_SECONDS)

    def _heard(self, connection: Connection, pid: int, _: str, said: object) -> None:
        if pid != connection.get_server_pid():  # our own
            self._notify_here(str(said))

    def _notify_here(self, said: str) -> bool:
        """Wake one worker of the pool that is said, of each when it is none of ours; return whether all had one that was idle."""
        answered = True
        named = [pool for pool in self._listeners if str(int(pool)) == said]
        for listeners in (self._listeners[pool] for pool in named or self._listeners):
            idle = next((listener for listener in listeners if listener.idle), None)
            if idle is not None:
                idle.notify()
                continue
            answered = False
            for listener in listeners:  # whoever is done first looks again before it waits
                listener.notify()
        return answered
