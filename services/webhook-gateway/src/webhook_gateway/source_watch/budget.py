"""How many bodies of unproven requests may be read: in memory, of this replica alone."""

from __future__ import annotations

from collections.abc import Callable

_A_SECOND = 5.0
_AT_ONCE = 50.0


class ReadingBudget:
    """So many bodies a second, with a reserve for bursts, so that an anonymous flood costs little."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._left = _AT_ONCE
        self._at = monotonic()

    def take(self) -> bool:
        """Spend one; False when there is none."""
        now = self._monotonic()
        self._left = min(_AT_ONCE, self._left + (now - self._at) * _A_SECOND)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
