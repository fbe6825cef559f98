"""Clocks that move only when they are told to: one of the services, one of the sandbox."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class ManualClock:
    """A clock that stands still until it is moved. For tests and simulations."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock needs a zone")
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """Return the moment the clock was last moved to."""
        return self._now

    def move_to(self, moment: datetime) -> None:
        """Jump to a moment, forwards or backwards."""
        self._now = moment.astimezone(UTC)


class SandboxClock:
    """A clock that moves only when told: `sleep` jumps ahead at once and remembers what was asked."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
        self._elapsed = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        """The time it was set to, plus everything it was moved by."""
        return self._now

    def monotonic(self) -> float:
        """Seconds it was moved by since it was made."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Move both readings ahead."""
        self._now += timedelta(seconds=seconds)
        self._elapsed += seconds

    async def sleep(self, seconds: float) -> None:
        """Advance by `seconds` without waiting, then let other tasks run."""
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)
