"""No provider's limit is exceeded, whenever within a call the provider counts the message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.channels.slack import slack_limits
from notifier.channels.telegram import telegram_limits
from notifier.delivery.model import Limit, free, opens_at, take

START = datetime(2026, 11, 21, tzinfo=UTC)
CALLS = st.lists(
    st.tuples(
        st.floats(0, 2, allow_nan=False),  # idle before asking
        st.floats(0, 1, allow_nan=False),  # how long the call takes
        st.floats(0, 1, allow_nan=False),  # at which share of the call it arrives
    ),
    max_size=60,
)


@given(CALLS, st.integers(1, 4), st.floats(0.5, 3, allow_nan=False))
def test_no_period_ever_holds_more_than_the_limit(
    calls: list[tuple[float, float, float]], places: int, seconds: float
) -> None:
    limit = Limit(key="k", places=places, period=timedelta(seconds=seconds))
    stamps: tuple[datetime, ...] = ()
    running: list[tuple[datetime, datetime]] = []  # (end, the stamp that is held)
    arrivals: list[datetime] = []
    now = START
    for idle, length, share in calls:
        now += timedelta(seconds=idle)
        while True:
            for end, held in [each for each in running if each[0] <= now]:
                stamps = tuple(end if stamp == held else stamp for stamp in stamps)
                running.remove((end, held))
            opens = opens_at(stamps, limit, now)
            if opens <= now:
                break
            now = min([opens, *(end for end, _ in running if end > now)])
        assert free(stamps, limit, now) >= 1
        stamps, held = take(stamps, limit, now, until=now + timedelta(seconds=1.001))
        running.append((now + timedelta(seconds=length), held))
        arrivals.append(now + timedelta(seconds=length * share))
    arrivals.sort()
    for index in range(len(arrivals) - places):
        assert arrivals[index + places] - arrivals[index] >= limit.period


def test_a_full_window_gives_no_place_and_says_when_it_opens() -> None:
    limit = Limit(key="k", places=2, period=timedelta(seconds=10))
    stamps = (START, START + timedelta(seconds=4))
    now = START + timedelta(seconds=5)
    assert (free(stamps, limit, now), opens_at(stamps, limit, now)) == (0, START + timedelta(seconds=10))
    with pytest.raises(ValueError, match="no place is free"):
        take(stamps, limit, now, until=now)


def test_two_calls_with_one_deadline_hold_two_places() -> None:
    limit = Limit(key="k", places=3, period=timedelta(seconds=1))
    first, held = take((), limit, START, until=START + timedelta(seconds=5))
    second, other = take(first, limit, START, until=START + timedelta(seconds=5))
    assert held != other
    assert len(second) == 2


def test_groups_have_the_minutes_limit_and_people_do_not() -> None:
    second, minute = timedelta(seconds=1), timedelta(minutes=1)
    assert telegram_limits(bot="1", chat="-100") == (
        Limit(key="telegram:bot:1", places=30, period=second),
        Limit(key="telegram:chat:-100", places=1, period=second),
        Limit(key="telegram:group:-100", places=20, period=minute),
    )
    assert [limit.key for limit in telegram_limits(bot="1", chat="77")] == ["telegram:bot:1", "telegram:chat:77"]
    assert slack_limits(channel="#a") == (Limit(key="slack:channel:#a", places=1, period=second),)


def test_a_limit_that_allows_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="allows nothing"):
        Limit(key="k", places=0, period=timedelta(seconds=1))
