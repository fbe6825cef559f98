"""What runs by the clock, beside the requests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from common.errors import Unavailable
from common.postgres import is_retryable
from common.service.lifecycle import Lifecycle
from common.telemetry import get_logger

_log = get_logger()


class PeriodicJob:
    """Work that is done again and again, ``seconds`` apart, the first time at once. Runs in every replica: it must be safe beside itself.

    A round that fails because something is away (``is_retryable``) is only logged, and the next one tries again; any other error ends
    the job. ``jitter`` is a share: 0.2 makes the waits differ by a fifth either way. ``last_round``: once asked to stop, the
    work is done one more time, as a flush has to be.
    """

    def __init__(
        self,
        name: str,
        seconds: float,
        work: Callable[[], Awaitable[object]],
        *,
        jitter: float = 0.0,
        last_round: bool = False,
    ) -> None:
        self._name = name
        self._seconds = seconds
        self._work = work
        self._jitter = jitter
        self._last_round = last_round
        self._stopping = asyncio.Event()
        self._due = asyncio.Event()

    async def run(self) -> None:
        """Work until ``stop``. To be supervised."""
        while not self._stopping.is_set():
            self._due.clear()
            await self._round()
            if not self._stopping.is_set():
                # Not wait_for: that of Python 3.11 swallows a cancellation which comes together with the wake-up.
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._next_wait()):
                        await self._due.wait()
        if self._last_round:
            await self._round()

    def wake(self) -> None:
        """Do not wait for the clock: there is something to do. Called during a round, it makes another one follow at once."""
        self._due.set()

    async def stop(self) -> None:
        """Let ``run`` end after the round in hand."""
        self._stopping.set()
        self._due.set()

    def _next_wait(self) -> float:
        return self._seconds * random.uniform(1 - self._jitter, 1 + self._jitter)  # noqa: S311 - spreads load, guards nothing

    async def _round(self) -> None:
        try:
            await self._work()
        except Exception as error:
            if not is_retryable(error):
                raise
            _log.warning("job_interrupted", job=self._name, reason=type(error).__name__)


def every(
    lifecycle: Lifecycle,
    seconds: float,
    work: Callable[[], Awaitable[object]],
    *,
    name: str,
    jitter: float = 0.0,
    finish: bool = False,
    last_round: bool = False,
    after: asyncio.Event | None = None,
) -> PeriodicJob:
    """Do something every so many seconds, supervised, from now (or from when ``after`` is set) until the service ends.

    At its turn in the drain the job is cancelled, wherever it is: right for whatever is one transaction. ``finish`` lets the round in
    hand end first, ``last_round`` also adds one. See ``PeriodicJob`` for its guarantees; its ``wake`` shortens a wait.
    """
    job = PeriodicJob(name, seconds, work, jitter=jitter, last_round=last_round)

    async def _run() -> None:
        if after is not None:
            await after.wait()
        await job.run()

    lifecycle.supervise(name, _run, stop=job.stop if finish or last_round else None)
    return job


class ReadyGate:
    """A readiness check that fails, with a reason for people, until it is opened."""

    def __init__(self, reason: str) -> None:
        self._reason: str | None = reason

    def open(self) -> None:
        """Pass from now on."""
        self._reason = None

    async def check(self) -> None:
        """Raise ``Unavailable`` while closed."""
        if self._reason is not None:
            raise Unavailable(self._reason)
