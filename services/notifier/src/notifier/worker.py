"""Workers: each repeats a piece of work while there is some; a commit wakes them all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from prometheus_client import Counter

from common.postgres import is_retryable
from common.service import Lifecycle, every
from common.telemetry import get_logger
from notifier.delivery.dispatch import rest
from notifier.due import LOOK_SECONDS, UNASKED_SECONDS, Due, LookForDue

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


class Workers:
    """Everything that works beside the requests, supervised; each may run in any number of replicas.

    Who is named in ``due`` is woken when that is so, and looks for itself only now and then.
    """

    def __init__(self, lifecycle: Lifecycle, look: LookForDue, due: Mapping[str, Due]) -> None:
        self._lifecycle = lifecycle
        self._look = look
        self._due = due
        self._wake: list[Callable[[], None]] = []

    def wake(self) -> None:
        """Say that something was committed: outbox rows to relay, notices to send."""
        for wake in self._wake:
            wake()

    def woken(self, wake: Callable[[], None], *, due: Due | None = None) -> None:
        """Have something else woken too, also when that is ``due``."""
        self._wake.append(wake)
        if due is not None:
            self._look.add(due, wake)

    def look(self) -> None:
        """Begin to look for what is due. To be called when all have started."""
        every(self._lifecycle, LOOK_SECONDS, self._look, name="due")

    def start(self, name: str, work: Callable[[], Awaitable[bool]], *, idle: float = 1.0, wakes: bool = True) -> None:
        """Start a worker. ``wakes``: what it commits is work for the others."""
        due = self._due.get(name)
        worker = Worker(
            work, name=name, idle=idle if due is None else UNASKED_SECONDS, after=self.wake if wakes else None
        )
        if due is not None:
            self._look.add(due, worker.wake)
        self._wake.append(worker.wake)
        self._lifecycle.supervise(name, worker.run, stop=worker.stop)

    def sweep(
        self, name: str, seconds: float, work: Callable[[], Awaitable[int]], *, counter: Counter | None = None
    ) -> None:
        """Do ``work`` by the clock while there is some; when it has done anything, count how much and wake the others."""
        due = self._due.get(name)
        sweep = partial(self._sweep, work, counter)
        job = every(self._lifecycle, seconds if due is None else UNASKED_SECONDS, sweep, name=name)
        if due is not None:
            self._look.add(due, job.wake, seconds=seconds)

    async def _sweep(self, work: Callable[[], Awaitable[int]], counter: Counter | None) -> None:
        if done := await work():
            if counter is not None:
                counter.inc(done)
            self.wake()
