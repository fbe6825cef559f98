"""What the entry points need: the use cases, and a meter for the door."""

from __future__ import annotations

from typing import Protocol

from tips.explain import Explanation


class SetTipsSum(Protocol):
    """The use case behind ``set-tips-sum``."""

    async def __call__(self, number: str, *, until: float) -> None:
        """Set the tips of one order before ``until``, a moment of ``time.monotonic()``."""
        ...


class NeedHoldTips(Protocol):
    """The use case behind ``need-hold-tips``."""

    async def __call__(self, number: str, *, until: float) -> bool:
        """Tell whether to hold, before ``until``."""
        ...


class Explain(Protocol):
    """The use case behind ``explain``."""

    async def __call__(self, number: str, *, until: float) -> Explanation:
        """Explain one order's tips before ``until``, a moment of ``time.monotonic()``."""
        ...


class Meter(Protocol):
    """Where the figures of the door go."""

    def waited(self, seconds: float) -> None:
        """A request waited so long for its place, whether it got one or not."""
        ...

    def shed(self, reason: str) -> None:
        """A request was sent away: ``queue_full`` or ``queue_slow``."""
        ...

    def in_progress(self, count: int) -> None:
        """So many requests are worked on now."""
        ...

    def answered(self, operation: str, outcome: str, seconds: float) -> None:
        """An answer: ``ok``, ``refused`` (unknown or unfinished order), ``shed``, ``unavailable`` or ``failed``."""
        ...
