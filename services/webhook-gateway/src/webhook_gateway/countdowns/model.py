"""How long a marketplace waits for an answer, when it repeats, and when it cancels an order by itself ."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

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


Reason = Literal["refused", "slow", "hung_up"]
"""Not a 2xx; later than the marketplace waits; the marketplace had hung up before the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """An ``order.created`` that was not answered 2xx in time. ``started_at``: our first such answer; ``missed_at``: when the newest such
    request came in; ``status``: what it was answered, too late or not."""

    source: str
    external_id: str
    number: str
    started_at: datetime
    cancels_at: datetime
    missed_at: datetime
    status: int
    reason: Reason
    replica: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCountdowns:
    """The countdowns of one source: how many run, when the nearest ends, how many ran out within the last day."""

    source: str
    running: int
    nearest: datetime | None
    expired: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedCreated:
    """A quarantined ``order.created`` that was answered negatively, as the recorder has kept it."""

    source: str
    external_id: str
    received_at: datetime
    status: int
