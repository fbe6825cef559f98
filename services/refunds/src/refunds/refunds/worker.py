"""The worker that carries refunds on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from common.clock import Clock
from common.postgres import is_retryable
from common.service import apart
from common.telemetry import get_logger
from refunds.refunds.queries import RefundQueue

_log = get_logger()


class RefundWorker:
    """Takes refunds that are due and carries each on, ``concurrency`` at a time.

    Any number of replicas may run; a refund is with one of them for the length of its lease. A refund that fails unexpectedly keeps its
    lease, so that it is tried again after it, not at once. ``run`` is to be supervised; it survives the absence of the database.
    """

    def __init__(
        self,
        queue: RefundQueue,
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
            if not is_retryable(error):
                raise
            _log.warning("refunds_not_claimed", reason=type(error).__name__)
            return
        for refund_id in claimed:
            task = asyncio.create_task(self._carry_on(refund_id), name=f"refund-{refund_id}")
            self._running.add(task)
            task.add_done_callback(self._done)

    async def _carry_on(self, refund_id: str) -> None:
        try:
            with apart(f"refund {refund_id}"):  # its lease keeps it apart
                try:
                    await self._advance(refund_id)
                    await self._queue.release(refund_id)
                except Exception as error:
                    if not is_retryable(error):
                        self._failed()
                        _log.error("refund_failed_unexpectedly", refund_id=refund_id, exc_info=error)
                    raise
        except Exception as error:  # noqa: BLE001 - one refund's trouble must not stop the others
            _log.warning("refund_put_off", refund_id=refund_id, reason=type(error).__name__)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._work.set()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._work.wait(), self._poll * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, guards nothing
