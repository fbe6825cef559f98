"""What runs by itself: the worker that carries refunds on, the day's reconciliation, the gauges."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from typing import Protocol

from common.clock import Clock
from common.errors import SuiteError
from common.postgres import worth_repeating
from common.telemetry import get_logger, report_exception
from refunds.reconciliation.reconcile import Reconcile, Reconciliation

_log = get_logger()


class Queue(Protocol):
    """Refunds that are due, leased to one worker at a time."""

    async def claim(self, *, limit: int, now: datetime) -> list[str]:
        """Take up to ``limit`` due refunds."""
        ...

    async def release(self, refund_id: str) -> None:
        """Give one back."""
        ...


class RefundWorker:
    """Takes refunds that are due and carries each on, ``concurrency`` at a time.

    Any number of replicas may run; a refund is with one of them for the length of its lease. A refund that fails unexpectedly keeps its
    lease, so that it is tried again after it, not at once. ``run`` is to be supervised; it survives the absence of the database.
    """

    def __init__(
        self,
        queue: Queue,
        advance: Callable[[str], Awaitable[None]],
        clock: Clock,
        *,
        concurrency: int,
        poll: float,
        failed: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._advance = advance
        self._clock = clock
        self._concurrency = concurrency
        self._poll = poll
        self._failed = failed
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._work = asyncio.Event()

    def wake(self) -> None:
        """Say that something became due."""
        self._work.set()

    async def stop(self) -> None:
        """Take no more; ``run`` returns when what is in hand is done."""
        self._stopping = True
        self._work.set()

    async def run(self) -> None:
        """Work until ``stop``."""
        try:
            while not self._stopping:
                self._work.clear()
                await self._take()
                await self._pause()
            if self._running:
                await asyncio.wait(self._running)
        finally:
            for task in self._running:
                task.cancel()

    async def _take(self) -> None:
        free = self._concurrency - len(self._running)
        if free <= 0:
            return
        try:
            claimed = await self._queue.claim(limit=free, now=self._clock.now())
        except Exception as error:
            if not _passing(error):
                raise
            _log.warning("refunds_not_claimed", reason=type(error).__name__)
            return
        for refund_id in claimed:
            task = asyncio.create_task(self._carry_on(refund_id), name=f"refund-{refund_id}")
            self._running.add(task)
            task.add_done_callback(self._done)

    async def _carry_on(self, refund_id: str) -> None:
        try:
            await self._advance(refund_id)
            await self._queue.release(refund_id)
        except Exception as error:  # noqa: BLE001 - one refund's trouble must not stop the others
            if _passing(error):
                _log.warning("refund_put_off", refund_id=refund_id, reason=type(error).__name__)
                return
            self._failed()
            _log.error("refund_failed_unexpectedly", refund_id=refund_id, exc_info=error)
            report_exception(error, refund_id=refund_id)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._work.set()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._work.wait(), self._poll * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, guards nothing
        except TimeoutError:
            return


async def every(seconds: float, job: Callable[[], Awaitable[None]], *, name: str) -> None:
    """Run a job again and again; one that fails because something is away is tried at its next time."""
    while True:
        try:
            await job()
        except Exception as error:
            if not _passing(error):
                raise
            _log.warning("job_put_off", job=name, reason=type(error).__name__)
        await asyncio.sleep(seconds)


class Days(Protocol):
    """Which days are reconciled."""

    async def claim_day(self, day: date, *, now: datetime) -> bool:
        """Take a day, for a while; False when it is done or taken."""
        ...

    async def finish_day(self, day: date, *, now: datetime) -> None:
        """Note that it is done."""
        ...


class DailyReconciliation:
    """Reconciles once a day, from ``hour`` (UTC) on, ``back`` far back, whichever replica comes first."""

    def __init__(
        self,
        reconcile: Reconcile,
        days: Days,
        clock: Clock,
        *,
        hour: int,
        back: timedelta,
        reconciled: Callable[[Reconciliation], None],
    ) -> None:
        self._reconcile = reconcile
        self._days = days
        self._clock = clock
        self._hour = hour
        self._back = back
        self._reconciled = reconciled

    async def __call__(self) -> None:
        """Do it if it is time, and if nobody has."""
        now = self._clock.now()
        if now.hour < self._hour or not await self._days.claim_day(now.date(), now=now):
            return
        found = await self._reconcile(since=now - self._back, until=now)
        await self._days.finish_day(now.date(), now=self._clock.now())
        self._reconciled(found)
        _log.info(
            "refunds_reconciled",
            examined=found.examined,
            advanced=found.advanced,
            unanswered=found.unanswered,
            differences=len(found.differences),
            registers=found.registers,
        )


def _passing(error: Exception) -> bool:
    return (isinstance(error, SuiteError) and error.retryable) or worth_repeating(error)
