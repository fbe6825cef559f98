"""Time as the sandbox sees it: one injectable source, so that tests can stand still or run ahead."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where every part of the sandbox takes its time from."""

    def now(self) -> datetime:
        """The wall-clock time, with zone UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary origin; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` of this clock's time."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """The wall-clock time, with zone UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds from an arbitrary origin; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` of real time."""
        await asyncio.sleep(seconds)


class ManualClock:
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
