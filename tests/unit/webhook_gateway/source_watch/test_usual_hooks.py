"""What a source usually sends, by the same hours of its past weeks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from webhook_gateway.source_watch.model import History, Week

WEEK = Week()
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
HOUR, PERIOD = timedelta(hours=1), timedelta(weeks=1)


def history(weeks: int, by_hour: dict[int, int]) -> History:
    """The same Monday, some weeks in a row."""
    counts = {MONDAY - n * PERIOD + hour * HOUR: count for n in range(1, weeks + 1) for hour, count in by_hour.items()}
    return History(source="shop", counts=counts, first=min(counts))


def test_an_hour_is_held_against_the_mean_of_the_same_hour_of_past_weeks() -> None:
    found = history(2, {9: 60, 10: 120})
    assert [found.usual(MONDAY + hour * HOUR, WEEK) for hour in (9, 10, 11)] == [60, 120, 0]
    assert found.expected(MONDAY + 9.5 * HOUR, MONDAY + 10.25 * HOUR, WEEK) == pytest.approx(30 + 30)


def test_a_night_without_hooks_is_no_silence_when_the_morning_begins() -> None:
    found = history(3, {22: 100, 9: 60})
    assert found.expected(MONDAY - HOUR, MONDAY + 9 * HOUR + timedelta(seconds=10), WEEK) == pytest.approx(1 / 6)


def test_a_new_source_and_hours_with_little_are_left_out() -> None:
    new = History(source="shop", counts={MONDAY: 500}, first=MONDAY)
    assert new.usual(MONDAY + HOUR, WEEK) == 0.0
    assert history(4, {9: 9}).usual(MONDAY + 9 * HOUR, WEEK) == 0.0


def test_a_long_silence_counts_one_week_of_hooks_at_most() -> None:
    found = history(4, {9: 60})
    assert found.expected(MONDAY - 50 * PERIOD, MONDAY + 12 * HOUR, WEEK) == pytest.approx(60)


def test_slots_begin_at_whole_hours() -> None:
    assert WEEK.start_of(MONDAY + timedelta(minutes=59, seconds=59.9)) == MONDAY
