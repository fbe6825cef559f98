"""What the clock starts. Every replica runs every job; each is safe beside itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

from common.clock import Clock
from common.errors import SuiteError
from common.postgres import worth_repeating
from common.telemetry import get_logger
from orchestrator.engine.model import EngineMetrics

_log = get_logger()


class Pruned(Protocol):
    """What retention deleted."""

    @property
    def events(self) -> int:
        """Events of finished workflows."""
        ...


class Leases(Protocol):
    """Frees workflows whose lease has ended."""

    async def release_expired(self) -> int:
        """Return how many there were."""
        ...


async def every(seconds: float, name: str, job: Callable[[], Awaitable[object]]) -> None:
    """Do a job again and again until cancelled, ``seconds`` apart and jittered; survives the absence of PostgreSQL."""
    while True:
        try:
            await job()
        except Exception as error:
            if not (isinstance(error, SuiteError) and error.retryable) and not worth_repeating(error):
                raise
            _log.warning("job_interrupted", job=name, reason=type(error).__name__)
        await asyncio.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, guards nothing


async def free_leases(leases: Leases, metrics: EngineMetrics, committed: Callable[[], None]) -> None:
    """Give workflows whose worker died to another one."""
    freed = await leases.release_expired()
    if freed:
        metrics.expired(freed)
        _log.warning("leases_expired", workflows=freed)
        committed()


async def raise_overdue(overdue: Callable[[], Awaitable[int]], committed: Callable[[], None]) -> None:
    """Tell a person of orders that have been parked for too long."""
    raised = await overdue()
    if raised:
        _log.warning("parked_orders_overdue", orders=raised)
        committed()


async def prune(
    retention: Callable[[datetime], Awaitable[Pruned]], clock: Clock, count: Callable[[float], None]
) -> None:
    """Delete what is older than it has to be kept."""
    count((await retention(clock.now())).events)
