"""Time as a dependency: whoever needs *now* is given a clock, so that a test can decide what time it is."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Gives the time. Every answer has the zone UTC."""

    def now(self) -> datetime:
        """Return the present moment, zone-aware."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        return datetime.now(UTC)


def full_jitter(attempt: int, *, base: float, cap: float) -> float:
    """Return how many seconds to wait before the given attempt (0, 1, …): uniform between nothing and ``base * 2**attempt``.

    Never more than ``cap``. Many callers that failed together come back apart (AWS "Exponential Backoff And Jitter").
    """
    return random.uniform(0.0, min(cap, base * 2.0 ** min(attempt, 30)))  # noqa: S311 - spreads load, guards nothing
