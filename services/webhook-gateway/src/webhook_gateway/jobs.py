"""What the clock starts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from common.errors import SuiteError
from common.postgres import worth_repeating
from common.telemetry import get_logger

_log = get_logger()


class Every:
    """Does something again and again, ``seconds`` apart, the first time at once; what is away is tried again the next time.

    Away is also a database that dies under a statement: no job of the clock's is worth the end of a gateway that takes hooks.
    """

    def __init__(
        self, name: str, seconds: float, work: Callable[[], Awaitable[None]], *, last_round: bool = True
    ) -> None:
        """``last_round``: the work is done once more when it is to end, as a flush has to be."""
        self._name = name
        self._seconds = seconds
        self._work = work
        self._last_round = last_round
        self._stopping = asyncio.Event()
        self._due = asyncio.Event()

    async def run(self) -> None:
        """Work until ``stop``. To be supervised."""
        while not self._stopping.is_set():
            self._due.clear()
            await self._once()
            if not self._stopping.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._due.wait(), self._seconds)
        if self._last_round:
            await self._once()

    def wake(self) -> None:
        """There is something to do: do not wait for the clock."""
        self._due.set()

    async def stop(self) -> None:
        """Let ``run`` end."""
        self._stopping.set()
        self._due.set()

    async def _once(self) -> None:
        try:
            await self._work()
        except SuiteError as error:
            if not error.retryable:
                raise
            _log.warning("job_postponed", job=self._name, code=error.code)
        except Exception as error:
            if not worth_repeating(error):
                raise
            _log.warning("job_postponed", job=self._name, code=type(error).__name__)
