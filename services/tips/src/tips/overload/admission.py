"""Who may come in: bounded work at a time, a short bounded wait, and a quick 503 for the rest, so that the caller's fallback is quick."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import TypeVar

from common.errors import Conflict, NotFound, Unavailable
from common.http import timeout_of
from tips.errors import Overloaded
from tips.metrics import TipsMetrics

T = TypeVar("T")


class Admission:
    """``at_once`` requests are worked on at a time; ``waiting`` more wait in order, each at most ``patience`` seconds.

    A request's time (``longest`` seconds, or what its caller says it waits if that is less) runs from here, waiting included. Sending
    away needs neither the database nor feedback, so it stays quick when those stand still. One event loop; no lock is needed.
    """

    def __init__(self, metrics: TipsMetrics, *, at_once: int, waiting: int, patience: float, longest: float) -> None:
        self._metrics = metrics
        self._at_once = at_once
        self._waiting = waiting
        self._patience = patience
        self._longest = longest
        self._working = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many requests wait for a place."""
        return sum(not place.done() for place in self._queue)

    async def run(
        self, operation: str, work: Callable[..., Awaitable[T]], number: str, *, headers: Mapping[str, str]
    ) -> T:
        """Call ``work(number, until=…)`` when there is a place. Raises ``Overloaded`` when there is none, and what ``work`` raises."""
        started = monotonic()
        outcome = "failed"
        try:
            until = started + timeout_of(headers, at_most=self._longest)
            await self._enter(started, until)
            try:
                result = await work(number, until=until)
            finally:
                self._leave()
        except Overloaded:
            outcome = "shed"
            raise
        except Unavailable:
            outcome = "unavailable"
            raise
        except (NotFound, Conflict):
            outcome = "refused"
            raise
        else:
            outcome = "ok"
            return result
        finally:
            self._metrics.answered(operation, outcome, monotonic() - started)

    async def _enter(self, started: float, until: float) -> None:
        if self._working < self._at_once:
            self._working += 1
            self._metrics.in_progress(self._working)
            self._metrics.waited(0.0)
            return
        while self._queue and self._queue[0].done():
            self._queue.popleft()  # it has given up
        if len(self._queue) >= self._waiting:
            self._metrics.shed("queue_full")
            raise Overloaded("too many requests wait already", retry_after=1.0)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            async with asyncio.timeout(min(self._patience, until - started)):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self._leave()  # it was given at the very moment of giving up
            place.cancel()  # whoever leaves next passes over it
            if not isinstance(error, TimeoutError):
                raise
            self._metrics.shed("queue_slow")
            raise Overloaded(f"no place came free within {self._patience:g} s", retry_after=1.0) from None
        finally:
            self._metrics.waited(monotonic() - started)

    def _leave(self) -> None:
        while self._queue:
            place = self._queue.popleft()
            if not place.done():
                place.set_result(None)  # the place goes on, so the count stays
                return
        self._working -= 1
        self._metrics.in_progress(self._working)
