"""Reads that are asked for at the same time go to the orders database in one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from copy import copy

from common.errors import SuiteError, Unavailable
from common.postgres import Record
from tips.errors import TooLate

_STATEMENTS = 2
"""Statements at a time. More would make smaller batches of them; fewer would have a read wait for a whole round trip of another."""
_MOST = 64
"""Orders that one statement reads."""

_Waiting = dict[str, list[asyncio.Future[Record | None]]]
"""Who waits for which order's row."""


class BatchedReads:
    """Reads rows by order number, many callers' in one round trip.

    A read sees the database as it is after ``find`` was called: it never joins a statement that is under way. At low load a statement
    reads one order; under load it reads many, which costs both sides a fraction of single ones. ``fetch`` reads the rows of the numbers
    given, each with its ``number``, and bounds itself in time. One event loop.
    """

    def __init__(self, fetch: Callable[[Sequence[str]], Awaitable[list[Record]]]) -> None:
        self._fetch = fetch
        self._asked: _Waiting = {}
        self._unused = _STATEMENTS
        self._flushing = False
        self._running: set[asyncio.Task[None]] = set()

    async def find(self, number: str, *, seconds: float) -> Record | None:
        """Return the row of an order. Raises ``TooLate`` after ``seconds``, and what ``fetch`` raises."""
        loop = asyncio.get_running_loop()
        place: asyncio.Future[Record | None] = loop.create_future()
        self._asked.setdefault(number, []).append(place)
        if self._unused and not self._flushing:
            self._flushing = True
            loop.call_soon(self._flush)  # after the others of this turn of the loop have asked
        end = loop.call_later(seconds, _too_late, place, seconds)
        try:
            return await place
        finally:
            end.cancel()

    def _flush(self) -> None:
        self._flushing = False
        while self._unused and self._asked:
            batch: _Waiting = {}
            while self._asked and len(batch) < _MOST:
                number, places = self._asked.popitem()
                wanted = [place for place in places if not place.done()]
                if wanted:
                    batch[number] = wanted
            if batch:
                self._unused -= 1
                task = asyncio.create_task(self._read(batch))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def _read(self, batch: _Waiting) -> None:
        try:
            rows = {row["number"]: row for row in await self._fetch(list(batch))}
        except Exception as error:  # noqa: BLE001 - each of the callers gets it
            _fail(batch, error)
        except asyncio.CancelledError:
            _fail(batch, Unavailable("the service is ending"))
            raise
        else:
            for number, places in batch.items():
                row = rows.get(number)
                for place in places:
                    if not place.done():
                        place.set_result(row)
        finally:
            self._unused += 1
            if self._asked and not self._flushing:
                self._flush()


def _fail(batch: _Waiting, error: Exception) -> None:
    for places in batch.values():
        for place in places:
            if not place.done():
                # An exception of its own for each: a shared one would grow a traceback a caller.
                place.set_exception(copy(error) if isinstance(error, SuiteError) else error)


def _too_late(place: asyncio.Future[Record | None], seconds: float) -> None:
    if not place.done():
        place.set_exception(TooLate(f"the orders database did not answer within {seconds:.3g} s", retry_after=1.0))
