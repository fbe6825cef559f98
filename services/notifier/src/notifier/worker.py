"""A worker that repeats a piece of work while there is some."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from common.postgres import is_retryable
from common.telemetry import get_logger
from notifier.delivery.deliver import rest

_log = get_logger()
_SPACING_S = 0.1


class Worker:
    """Repeats ``work`` while it says that there may be more; then waits to be woken, or for ``idle`` seconds.

    Woken often, it works ten times a second: most of what wakes everybody is somebody else's. Survives the absence of PostgreSQL.
    ``after`` is called after each piece of work that did something.
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[bool]],
        *,
        name: str,
        idle: float = 1.0,
        after: Callable[[], None] | None = None,
    ) -> None:
        self._work = work
        self._name = name
        self._idle = idle
        self._after = after
        self._stopping = asyncio.Event()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._woken.set()

    async def stop(self) -> None:
        """Begin nothing more; what is under way is finished."""
        self._stopping.set()
        self._woken.set()

    async def run(self) -> None:
        """Work until ``stop``. To be supervised."""
        while not self._stopping.is_set():
            self._woken.clear()
            began = time.monotonic()
            try:
                more = await self._work()
            except Exception as error:
                if not is_retryable(error):
                    raise
                _log.warning("job_interrupted", job=self._name, reason=type(error).__name__)
                more = False
            else:
                if more and self._after is not None:
                    self._after()
            if not more:
                await rest(self._woken, self._idle, began=began, spacing=_SPACING_S)


async def every(seconds: float, work: Callable[[], Awaitable[None]], *, name: str) -> None:
    """Repeat a piece of work for ever; a database that is away only costs a round."""
    while True:
        try:
            await work()
        except Exception as error:
            if not is_retryable(error):
                raise
            _log.warning("job_interrupted", job=name, reason=type(error).__name__)
        await asyncio.sleep(seconds)
