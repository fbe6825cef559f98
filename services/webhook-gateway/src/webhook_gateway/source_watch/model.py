"""What a source usually sends, and what is known of a request that did not prove where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

WEEKS = 4
"""Past weeks that are looked at."""
LEAST = 10
"""Hooks an hour below which an hour says nothing."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a refused request says it is. Nothing else of its body is kept: ``digest`` is the SHA-256 of what was read of it."""

    external_id: str
    digest: str
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A request of a source that was answered 401 or 403, or a signed one that did not come whole.

    ``source`` is the one of its address, None where that names none.
    """

    source: str | None
    status: int
    at: datetime
    claim: Claim | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """The rhythm that a source is held against: ``slot`` is an hour and ``period`` a week, but where a test has less time."""

    slot: timedelta = timedelta(hours=1)
    period: timedelta = timedelta(weeks=1)

    def start_of(self, moment: datetime) -> datetime:
        """Return the beginning of the slot that a moment lies in."""
        return moment - timedelta(seconds=moment.timestamp() % self.slot.total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What came of one source, by the beginnings of slots; those without any are left out."""

    source: str
    counts: Mapping[datetime, int]
    first: datetime

    def usual(self, start: datetime, week: Week) -> float:
        """Return how many hooks a slot usually has: the mean of the same slot in past weeks, as far back as the source is known.

        0 for a source that is new, and where the mean is below ``LEAST``.
        """
        past: Sequence[datetime] = [start - number * week.period for number in range(1, WEEKS + 1)]
        known = [self.counts.get(slot, 0) for slot in past if slot >= self.first]
        mean = sum(known) / len(known) if known else 0.0
        return mean if mean >= LEAST else 0.0

    def expected(self, since: datetime, until: datetime, week: Week) -> float:
        """Return how many hooks would usually have come between two moments; of a longer silence than a period, of its last period."""
        since = max(since, until - week.period)
        total, start = 0.0, week.start_of(since)
        while start < until:
            share = (min(until, start + week.slot) - max(since, start)) / week.slot
            total += share * self.usual(start, week)
            start += week.slot
        return total
