"""How long a marketplace waits for an answer, when it repeats, and when it cancels an order by itself (M2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

ANSWER_WITHIN_S = 5.0
REPEATS_S = (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0)
"""Seven growing intervals, where a source names none of its own. The marketplace publishes their number, not their lengths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """``answer_within`` is in seconds; ``repeats`` are the pauses, in seconds, before each repeat of a hook that was not answered 2xx."""

    answer_within: float = ANSWER_WITHIN_S
    repeats: tuple[float, ...] = REPEATS_S

    @property
    def length(self) -> float:
        """Seconds from our first bad answer until the last repeat has failed.

        Counted without what each repeat itself may wait, but for the last one: rather too early than too late.
        """
        return sum(self.repeats) + self.answer_within

    def cancels_at(self, started_at: datetime) -> datetime:
        """Return when the last repeat has failed, counted from our first answer that was missing, late or negative."""
        return started_at + timedelta(seconds=self.length)
