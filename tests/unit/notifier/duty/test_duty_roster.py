"""The roster: weeks from Monday 10:00 local wall time, over changes of the clocks, with overrides, swaps and gaps."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import icalendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.duty.calendar import calendar, with_names
from notifier.duty.roster import Override, Plan, Shift, Week, gaps, shift_at, shifts, swap, week_start
from notifier.people.model import Directory, Person

BERLIN = ZoneInfo("Europe/Berlin")
PLAN = Plan(zone="Europe/Berlin", first_week=date(2026, 3, 16), rotation=("anna", "boris", "clara"))


def at(zone: ZoneInfo, *moment: int) -> datetime:
    """A wall time of a zone."""
    return datetime(*moment, tzinfo=zone)  # type: ignore[arg-type,misc]  # year to minute


def named(found: tuple[Shift, ...]) -> list[tuple[str, str | None, str | None]]:
    """Shifts as (wall time of the beginning, who, backup)."""
    return [
        (shift.starts_at.astimezone(BERLIN).strftime("%a %d.%m. %H:%M"), shift.on_duty, shift.backup) for shift in found
    ]


def test_weeks_begin_on_monday_at_ten_local_time_over_both_changes_of_the_clocks() -> None:
    spring = shifts(PLAN, (), since=at(BERLIN, 2026, 3, 16, 12), until=at(BERLIN, 2026, 4, 6, 9))
    assert named(spring) == [
        ("Mon 16.03. 10:00", "anna", "boris"),
        ("Mon 23.03. 10:00", "boris", "clara"),  # the clocks go forward on the 29th
        ("Mon 30.03. 10:00", "clara", "anna"),
    ]
    autumn = shifts(PLAN, (), since=at(BERLIN, 2026, 10, 12, 12), until=at(BERLIN, 2026, 11, 2, 9))
    assert named(autumn) == [
        ("Mon 12.10. 10:00", "anna", "boris"),
        ("Mon 19.10. 10:00", "boris", "clara"),  # and back on the 25th
        ("Mon 26.10. 10:00", "clara", "anna"),
    ]
    hours = [(shift.ends_at - shift.starts_at) / timedelta(hours=1) for shift in (*spring, *autumn)]
    assert hours == [168, 167, 168, 168, 169, 168]


def test_a_wall_time_that_the_clocks_skip_is_the_first_one_after_it() -> None:
    # In Beirut the clocks go forward at midnight; in Amman, until 2022, so they did. A Monday of it: Cairo does not; Gaza may.
    plan = Plan(zone="America/Sao_Paulo", first_week=date(2018, 10, 29), rotation=("anna",), starts=time(0, 30))
    assert week_start(plan, date(2018, 10, 29)).astimezone(ZoneInfo(plan.zone)).strftime("%H:%M") == "00:30"
    skipped = Plan(zone="Asia/Amman", first_week=date(2026, 3, 30), rotation=("anna",))
    assert week_start(skipped, date(2026, 3, 30)) == datetime(2026, 3, 30, 7, tzinfo=UTC)


def test_a_swap_at_the_last_hour_changes_the_shift_that_begins() -> None:
    before = at(BERLIN, 2026, 3, 23, 9, 30)
    made = swap(PLAN, (), date(2026, 3, 23), date(2026, 3, 30))
    assert made == (("on_duty", "clara", date(2026, 3, 23)), ("on_duty", "boris", date(2026, 3, 30)))
    overrides = [
        Override(
            id=number,
            place="on_duty" if place == "on_duty" else "backup",
            person=person,
            starts_at=week_start(PLAN, monday),
            ends_at=week_start(PLAN, monday + timedelta(days=7)),
        )
        for number, (place, person, monday) in enumerate(swap(PLAN, (), date(2026, 3, 23), date(2026, 3, 30)))
    ]
    running = shift_at(PLAN, overrides, before)
    following = shift_at(PLAN, overrides, at(BERLIN, 2026, 3, 23, 10))
    assert (running and running.on_duty, following and following.on_duty) == ("anna", "clara")
    with pytest.raises(ValueError, match="with itself"):
        swap(PLAN, (), date(2026, 3, 23), date(2026, 3, 23))
    with pytest.raises(ValueError, match="before the roster begins"):
        swap(PLAN, (), date(2026, 3, 2), date(2026, 3, 23))


def test_overrides_cut_a_week_the_later_one_holds_and_equal_parts_merge() -> None:
    night = Override(
        id=1,
        place="on_duty",
        person="clara",
        starts_at=at(BERLIN, 2026, 3, 18, 20),
        ends_at=at(BERLIN, 2026, 3, 19, 8),
    )
    later = Override(
        id=2,
        place="on_duty",
        person="boris",
        starts_at=at(BERLIN, 2026, 3, 19, 6),
        ends_at=at(BERLIN, 2026, 3, 19, 12),
    )
    needless = Override(
        id=3,
        place="on_duty",
        person="anna",
        starts_at=at(BERLIN, 2026, 3, 21, 6),
        ends_at=at(BERLIN, 2026, 3, 22, 6),
    )
    found = shifts(PLAN, (night, later, needless), since=at(BERLIN, 2026, 3, 16, 12), until=at(BERLIN, 2026, 3, 23, 9))
    assert named(found) == [
        ("Mon 16.03. 10:00", "anna", "boris"),
        ("Wed 18.03. 20:00", "clara", "boris"),
        ("Thu 19.03. 06:00", "boris", "boris"),
        ("Thu 19.03. 12:00", "anna", "boris"),
    ]


def test_an_empty_week_is_a_gap_and_one_that_is_covered_is_none() -> None:
    plan = Plan(
        zone="Europe/Berlin",
        first_week=date(2026, 3, 16),
        rotation=("anna",),
        weeks={date(2026, 3, 23): Week(on_duty=None)},
    )
    since, until = at(BERLIN, 2026, 3, 16, 12), at(BERLIN, 2026, 4, 5, 9)
    assert named(gaps(shifts(plan, (), since=since, until=until))) == [("Mon 23.03. 10:00", None, None)]
    half = Override(
        id=1,
        place="on_duty",
        person="boris",
        starts_at=at(BERLIN, 2026, 3, 23, 10),
        ends_at=at(BERLIN, 2026, 3, 27, 10),
    )
    assert named(gaps(shifts(plan, (half,), since=since, until=until))) == [("Fri 27.03. 10:00", None, None)]


def test_before_the_first_week_nobody_is_on_duty_and_weeks_begin_on_mondays() -> None:
    assert shift_at(PLAN, (), at(BERLIN, 2026, 3, 16, 9, 59)) is None
    with pytest.raises(ValueError, match="2026-03-17 is no Monday"):
        Plan(zone="Europe/Berlin", first_week=date(2026, 3, 17))
    with pytest.raises(ValueError, match="there is no time zone"):
        Plan(zone="Mars/Base", first_week=date(2026, 3, 16))


_MOMENTS = st.integers(0, 600_000).map(
    lambda minutes: datetime(2026, 3, 16, 18, tzinfo=UTC) + timedelta(minutes=minutes)
)


@given(
    edges=st.lists(st.tuples(_MOMENTS, _MOMENTS, st.sampled_from(["anna", "boris", None])), max_size=6),
    since=_MOMENTS,
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
def test_shifts_have_no_hole_and_no_overlap_and_agree_with_the_look_up_of_a_moment(
    edges: list[tuple[datetime, datetime, str | None]], since: datetime, zone: str
) -> None:
    plan = Plan(zone=zone, first_week=date(2026, 3, 16), rotation=("anna", "boris", "clara"))
    overrides = [
        Override(id=number, place="on_duty", person=person, starts_at=min(one, other), ends_at=max(one, other))
        for number, (one, other, person) in enumerate(edges)
        if one != other
    ]
    found = shifts(plan, overrides, since=since, until=since + timedelta(weeks=3))
    assert found
    assert all(one.ends_at == other.starts_at for one, other in pairwise(found))
    for shift in found:
        middle = shift.starts_at + (shift.ends_at - shift.starts_at) / 2
        assert shift_at(plan, overrides, middle) == shift


def test_the_calendar_keeps_to_its_standard() -> None:
    directory = Directory(
        people={
            "anna": Person(id="anna", name="Анна Иванова, старшая дежурная по заказам и возвратам", role="operator")
        }
    )
    found = shifts(PLAN, (), since=at(BERLIN, 2026, 3, 16, 12), until=at(BERLIN, 2026, 3, 17, 9))
    raw = calendar(
        [with_names(shift, directory) for shift in found],
        now=datetime(2026, 3, 16, tzinfo=UTC),
        name="Дежурства",
        nobody="никто",
    )
    text = raw.decode()
    lines = text.split("\r\n")
    assert lines[-1] == ""
    assert all(len(line.encode()) <= 75 for line in lines)
    unfolded = text.replace("\r\n ", "").split("\r\n")
    event = unfolded.index("BEGIN:VEVENT")
    assert unfolded[0] == "BEGIN:VCALENDAR"
    assert set(unfolded[1:event]) == {
        "VERSION:2.0",
        "PRODID:-//order-suite//notifier//EN",
        "CALSCALE:GREGORIAN",
        "X-WR-CALNAME:Дежурства",
    }
    assert set(unfolded[event + 1 : unfolded.index("END:VEVENT")]) == {
        "UID:shift-20260316T090000Z@order-suite",
        "DTSTAMP:20260316T000000Z",
        "DTSTART:20260316T090000Z",
        "DTEND:20260323T090000Z",
        "SUMMARY:Анна Иванова\\, старшая дежурная по заказам и возвратам",
        "DESCRIPTION:boris",
    }
    [event_read] = icalendar.Calendar.from_ical(raw).events
    assert (event_read.start, event_read.end) == (found[0].starts_at, found[0].ends_at)


def test_a_week_of_nobody_is_an_event_of_the_calendar_too() -> None:
    monday = datetime(2026, 3, 16, 9, tzinfo=UTC)
    gap = Shift(starts_at=monday, ends_at=monday + timedelta(weeks=1), on_duty=None)
    raw = calendar([gap], now=monday, name="Duty", nobody="nobody")
    [event] = icalendar.Calendar.from_ical(raw).events
    assert (str(event["SUMMARY"]), event.get("DESCRIPTION")) == ("nobody", None)
