"""Workers: each repeats a piece of work while there is some; a commit wakes them all. Each may run in any number of replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from prometheus_client import Counter

from common.service import Lifecycle, every
from notifier.due import LOOK_SECONDS, UNASKED_SECONDS, Due, LookForDue

_SPACING_S = 0.1


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
        """Repeat ``work`` while it says that there may be more, when it is woken, and every ``idle`` seconds.

        ``wakes``: what it commits is work for the others.
        """
        due = self._due.get(name)
        repeat = partial(self._repeat, work, wakes)
        job = every(self._lifecycle, idle if due is None else UNASKED_SECONDS, repeat, name=name, finish=True)
        if due is not None:
            self._look.add(due, job.wake)
        self._wake.append(job.wake)

    async def _repeat(self, work: Callable[[], Awaitable[bool]], wakes: bool) -> None:
        """Woken often, it works ten times a second: most of what wakes everybody is somebody else's."""
        while not self._lifecycle.stopping.is_set() and await work():
            if wakes:
                self.wake()
        await asyncio.sleep(_SPACING_S)

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
