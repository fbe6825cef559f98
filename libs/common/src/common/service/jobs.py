"""What runs by the clock, beside the requests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field

from prometheus_client import CollectorRegistry

from common.errors import Unavailable
from common.postgres import Database, is_retryable
from common.service.lifecycle import Lifecycle
from common.service.task_failures import TaskFailures
from common.telemetry import get_logger

_log = get_logger()
_LOOK_AT_FAILURES_S = 60.0


@dataclass(eq=False)
class PeriodicJob:
    """Work that is done again and again, ``seconds`` apart, the first time at once. Runs in every replica: it must be safe beside itself.

    A round that fails because something is away (``is_retryable``) is only logged, and the next one tries again. One that fails by a fault
    is told of (``failures``) and tried again after a pause that grows, whoever wakes the job. An item that is kept apart is tried again at
    its own time, however seldom the job is. ``jitter`` is a share: 0.2 makes the waits differ by a fifth either way. ``last_round``: once
    asked to stop, the work is done one more time, as a flush has to be.
    """

    name: str
    seconds: float
    work: Callable[[], Awaitable[object]]
    _: KW_ONLY
    jitter: float = 0.0
    last_round: bool = False
    failures: TaskFailures = field(default_factory=TaskFailures)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _due: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Work until ``stop``. To be supervised."""
        while not self._stopping.is_set():
            self._due.clear()
            pause = await self._round()
            if not self._stopping.is_set():
                wait = self.seconds * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 - spreads load, guards nothing
                if (again := self.failures.next_try(self.name)) is not None:
                    wait = min(wait, again)  # a job of every hour would hardly ever count the third failure
                # Not wait_for: that of Python 3.11 swallows a cancellation which comes together with the wake-up.
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause or wait):
                        await (self._stopping if pause else self._due).wait()
        if self.last_round:
            await self._round()

    def wake(self) -> None:
        """Do not wait for the clock: there is something to do. Called during a round, it makes another one follow at once."""
        self._due.set()

    async def stop(self) -> None:
        """Let ``run`` end after the round in hand."""
        self._stopping.set()
        self._due.set()

    async def _round(self) -> float:
        """Work once; return for how many seconds nothing is to be tried because of a fault, 0 without one."""
        try:
            with self.failures.of(self.name):
                await self.work()
        except Exception as error:  # noqa: BLE001 - a fault is counted, told of and tried again; it must not end the others' service
            if not is_retryable(error):
                return self.failures.failed(self.name, error)
            _log.warning("job_interrupted", job=self.name, reason=type(error).__name__)
        else:
            self.failures.passed(self.name)
        return 0.0


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
    job = PeriodicJob(name, seconds, work, jitter=jitter, last_round=last_round, failures=lifecycle.failures)
    lifecycle.supervise(name, job.run, stop=job.stop if finish or last_round else None, after=after)
    return job


def tell_of_failures(
    lifecycle: Lifecycle,
    database: Database | None,
    registry: CollectorRegistry,
    *,
    service: str,
    after: asyncio.Event | None = None,
) -> None:
    """Have faults of the service's tasks counted in its database, shown and told to people; from ``after`` on what is over ends."""
    lifecycle.failures.keep_in(database, registry, service=service)
    lifecycle.on_stop(lifecycle.failures.close)
    every(lifecycle, _LOOK_AT_FAILURES_S, lifecycle.failures.look, name="task-failures", after=after)


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
