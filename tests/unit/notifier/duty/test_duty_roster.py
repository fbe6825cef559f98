"""The roster: weeks from Monday 10:00 local wall time, over changes of the clocks, with overrides, swaps and gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import icalendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.duty.calendar import calendar, with_names
from notifier.duty.roster import Override, Place, Plan, Shift, Week, gaps, lifts, shifts, swap, week_start
from notifier.messages.document import one_line
from notifier.people.model import Directory, Person

BERLIN = ZoneInfo("Europe/Berlin")
PLAN = Plan(zone="Europe/Berlin", first_week=date(2026, 3, 16), rotation=("anna", "boris", "clara"))


def shift_at(plan: Plan, overrides: Sequence[Override], moment: datetime) -> Shift:
    """Return the shift that runs at a moment."""
    [found] = shifts(plan, overrides, since=moment, until=moment + timedelta(microseconds=1))
    return found


def at(zone: ZoneInfo, *moment: int) -> datetime:
    """A wall time of a zone."""
    return datetime(*moment, tzinfo=zone)  # type: ignore[arg-type,misc]  # year to minute


def named(found: tuple[Shift, ...]) -> list[tuple[str, str | None, str | None]]:
    """Shifts as (wall time of the beginning, who, backup)."""
    return [
        (shift.starts_at.astimezone(BERLIN).strftime("%a %d.%m. %H:%M"), shift.on_duty, shift.backup) for shift in found
    ]


def swapped(plan: Plan, overrides: Sequence[Override], one: date, other: date) -> list[Override]:
    """The overrides with those of a swap after them."""
    made = swap(plan, overrides, one, other)
    return [
        *overrides,
        *(
            Override(id=1000 + number, place="on_duty", person=person, starts_at=starts_at, ends_at=ends_at)
            for number, (person, starts_at, ends_at) in enumerate(made)
        ),
    ]


def an_override(number: int, place: Place, person: str | None, starts_at: datetime, ends_at: datetime) -> Override:
    """An override."""
    return Override(id=number, place=place, person=person, starts_at=starts_at, ends_at=ends_at)


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
    overrides = swapped(PLAN, (), date(2026, 3, 23), date(2026, 3, 30))
    assert [(each.person, each.starts_at, each.ends_at) for each in overrides] == [
        ("clara", week_start(PLAN, date(2026, 3, 23)), week_start(PLAN, date(2026, 3, 30))),
        ("boris", week_start(PLAN, date(2026, 3, 30)), week_start(PLAN, date(2026, 4, 6))),
    ]
    running = shift_at(PLAN, overrides, before)
    following = shift_at(PLAN, overrides, at(BERLIN, 2026, 3, 23, 10))
    assert (running.on_duty, following.on_duty) == ("anna", "clara")
    with pytest.raises(ValueError, match="with itself"):
        swap(PLAN, (), date(2026, 3, 23), date(2026, 3, 23))
    with pytest.raises(ValueError, match="before the roster begins"):
        swap(PLAN, (), date(2026, 3, 2), date(2026, 3, 23))


def test_a_swap_that_only_lifts_another_is_told_from_one_that_gives_the_duty_anew() -> None:
    one, other, third = (date(2026, 3, 23) + timedelta(weeks=ahead) for ahead in range(3))
    night = an_override(1, "on_duty", "dora", at(BERLIN, 2026, 3, 25, 20), at(BERLIN, 2026, 3, 26, 8))
    whole = an_override(1, "on_duty", "dora", week_start(PLAN, one), week_start(PLAN, other))
    backup = replace(night, place="backup", id=2)
    before: tuple[Override, ...]
    for before in ((), (night, backup), (whole,)):
        assert not lifts(PLAN, before, swap(PLAN, before, one, other))
        after = swapped(PLAN, before, one, other)
        for weeks in ((one, other), (other, one)):
            assert lifts(PLAN, after, swap(PLAN, after, *weeks))
        assert not lifts(PLAN, after, swap(PLAN, after, one, third))
        anew = [*after, replace(whole, id=2000, person="emil")]
        assert not lifts(PLAN, anew, swap(PLAN, anew, one, other))


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
        ("Thu 19.03. 06:00", "boris", "clara"),  # the backup is on duty, so who has the week after is the backup
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


def test_backups_follow_a_swap_of_neighbouring_weeks() -> None:
    plan = Plan(zone="Europe/Berlin", first_week=date(2026, 3, 16), rotation=("operator", "admin"))
    overrides = swapped(plan, (), date(2026, 3, 23), date(2026, 3, 30))
    found = shifts(plan, overrides, since=at(BERLIN, 2026, 3, 16, 12), until=at(BERLIN, 2026, 4, 13, 9))
    assert named(found) == [
        ("Mon 16.03. 10:00", "operator", "admin"),
        ("Mon 23.03. 10:00", "operator", "admin"),
        ("Mon 30.03. 10:00", "admin", "operator"),
        ("Mon 06.04. 10:00", "admin", "operator"),
    ]
    threes = replace(plan, rotation=("anna", "boris", "clara"))
    overrides = swapped(threes, (), date(2026, 3, 16), date(2026, 3, 23))
    found = shifts(threes, overrides, since=at(BERLIN, 2026, 3, 16, 12), until=at(BERLIN, 2026, 4, 6, 9))
    assert named(found) == [
        ("Mon 16.03. 10:00", "boris", "anna"),
        ("Mon 23.03. 10:00", "anna", "clara"),
        ("Mon 30.03. 10:00", "clara", "anna"),
    ]
    back = swapped(threes, overrides, date(2026, 3, 16), date(2026, 3, 23))
    back[len(overrides) :] = [replace(each, id=each.id + 10) for each in back[len(overrides) :]]
    since, until = at(BERLIN, 2026, 3, 16, 12), at(BERLIN, 2026, 4, 6, 9)
    assert shifts(threes, back, since=since, until=until) == shifts(threes, (), since=since, until=until)


def test_an_override_that_names_the_backup_makes_the_next_in_turn_the_backup() -> None:
    plan = Plan(zone="Europe/Berlin", first_week=date(2026, 3, 16), rotation=("operator", "admin"))
    evening = (at(BERLIN, 2026, 3, 18, 18), at(BERLIN, 2026, 3, 18, 23))
    since, until = at(BERLIN, 2026, 3, 16, 12), at(BERLIN, 2026, 3, 23, 9)
    found = shifts(plan, [an_override(1, "on_duty", "admin", *evening)], since=since, until=until)
    assert named(found)[1] == ("Wed 18.03. 18:00", "admin", "operator")
    # Who is the backup by an override and is then put on duty too is on duty only.
    both = [an_override(1, "backup", "admin", *evening), an_override(2, "on_duty", "admin", *evening)]
    assert named(shifts(plan, both, since=since, until=until))[1] == ("Wed 18.03. 18:00", "admin", "operator")
    nobody = [an_override(1, "backup", None, *evening)]
    assert named(shifts(plan, nobody, since=since, until=until))[1] == ("Wed 18.03. 18:00", "operator", None)


def test_a_swap_leaves_parts_of_a_week_that_somebody_else_has_taken() -> None:
    tuesday = an_override(1, "on_duty", "clara", at(BERLIN, 2026, 3, 24, 10), at(BERLIN, 2026, 3, 25, 10))
    plan = replace(PLAN, rotation=("anna", "boris", "dora"))
    overrides = swapped(plan, [tuesday], date(2026, 3, 16), date(2026, 3, 23))
    found = shifts(plan, overrides, since=at(BERLIN, 2026, 3, 16, 12), until=at(BERLIN, 2026, 3, 30, 9))
    assert named(found) == [
        ("Mon 16.03. 10:00", "boris", "anna"),
        ("Mon 23.03. 10:00", "anna", "dora"),
        ("Tue 24.03. 10:00", "clara", "dora"),
        ("Wed 25.03. 10:00", "anna", "dora"),
    ]


def test_time_before_the_plan_is_a_gap_in_which_overrides_hold() -> None:
    plan = Plan(zone="Europe/Moscow", first_week=date(2027, 1, 4), rotation=("anna", "boris"))
    now = datetime(2026, 11, 29, 16, tzinfo=UTC)
    tomorrow = an_override(1, "on_duty", "anna", now - timedelta(hours=1), now + timedelta(days=1))
    assert shift_at(plan, [tomorrow], now).on_duty == "anna"
    found = shifts(plan, [tomorrow], since=now, until=datetime(2027, 1, 5, tzinfo=UTC))
    assert [shift.on_duty for shift in found] == ["anna", "anna", None, None, None, None, None, "anna"]
    assert (gaps(found)[0].starts_at, gaps(found)[-1].ends_at) == (
        now + timedelta(days=1),
        datetime(2027, 1, 4, 7, tzinfo=UTC),
    )
    assert all(one.ends_at == other.starts_at for one, other in pairwise(found))


def test_before_the_first_week_nobody_is_on_duty_and_weeks_begin_on_mondays() -> None:
    before = shift_at(PLAN, (), at(BERLIN, 2026, 3, 16, 9, 59))
    assert (before.on_duty, before.backup, before.ends_at) == (None, None, at(BERLIN, 2026, 3, 16, 10))
    with pytest.raises(ValueError, match="2026-03-17 is no Monday"):
        Plan(zone="Europe/Berlin", first_week=date(2026, 3, 17))
    with pytest.raises(ValueError, match="there is no time zone"):
        Plan(zone="Mars/Base", first_week=date(2026, 3, 16))


_MOMENTS = st.integers(0, 600_000).map(
    lambda minutes: datetime(2026, 3, 16, 18, tzinfo=UTC) + timedelta(minutes=minutes)
)


@given(
    edges=st.lists(
        st.tuples(
            _MOMENTS, _MOMENTS, st.sampled_from(["on_duty", "backup"]), st.sampled_from(["anna", "boris", "zoe", None])
        ),
        max_size=6,
    ),
    since=_MOMENTS,
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
    rotation=st.lists(st.sampled_from(["anna", "boris", "clara"]), max_size=5),
    backups=st.lists(st.sampled_from(["anna", "boris", "clara"]), max_size=3),
    first_week=st.sampled_from([date(2026, 3, 16), date(2026, 6, 1)]),
    week=st.tuples(st.sampled_from(["anna", "boris", None]), st.sampled_from(["clara", "anna", None])),
    swaps=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=2),
)
def test_shifts_have_no_hole_and_no_overlap_and_nobody_is_on_duty_and_backup(
    edges: list[tuple[datetime, datetime, Place, str | None]],
    since: datetime,
    zone: str,
    rotation: list[str],
    backups: list[str],
    first_week: date,
    week: tuple[str | None, str | None],
    swaps: list[tuple[int, int]],
) -> None:
    plan = Plan(
        zone=zone,
        first_week=first_week,
        rotation=tuple(rotation),
        backups=tuple(backups),
        weeks={date(2026, 3, 30): Week(on_duty=week[0], backup=week[1])},
    )
    overrides = [
        Override(id=number, place=place, person=person, starts_at=min(one, other), ends_at=max(one, other))
        for number, (one, other, place, person) in enumerate(edges)
        if one != other
    ]
    for one, other in swaps:
        if one != other:
            overrides = swapped(plan, overrides, *(first_week + timedelta(weeks=number) for number in (one, other)))
    found = shifts(plan, overrides, since=since, until=since + timedelta(weeks=3))
    assert found
    assert (found[0].starts_at <= since, found[-1].ends_at >= since + timedelta(weeks=3)) == (True, True)
    assert all(one.ends_at == other.starts_at for one, other in pairwise(found))
    for shift in found:
        assert shift.on_duty is None or shift.on_duty != shift.backup
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
        revision=7,
        changed_at=datetime(2026, 3, 16, tzinfo=UTC),
        zone="Europe/Berlin",
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
        "X-WR-TIMEZONE:Europe/Berlin",
        "REFRESH-INTERVAL;VALUE=DURATION:PT15M",
        "X-PUBLISHED-TTL:PT15M",
    }
    assert set(unfolded[event + 1 : unfolded.index("END:VEVENT")]) == {
        "UID:shift-20260316T090000Z@order-suite",
        "DTSTAMP:20260316T000000Z",
        "LAST-MODIFIED:20260316T000000Z",
        "SEQUENCE:7",
        "TRANSP:TRANSPARENT",
        "DTSTART:20260316T090000Z",
        "DTEND:20260323T090000Z",
        "SUMMARY:Анна Иванова\\, старшая дежурная по заказам и возвратам",
        "DESCRIPTION:boris",
    }
    [event_read] = icalendar.Calendar.from_ical(raw).events
    assert (event_read.start, event_read.end) == (found[0].starts_at, found[0].ends_at)


@pytest.mark.parametrize(
    "name",
    [
        "a\x07\x0bb",
        "x\r\nATTENDEE:mailto:y",
        "👩‍🚒" * 40,
        '\\n;,:"^',
        "e\u0301" * 60,
        "\u202eצהל\u2028",
        "BEGIN:VEVENT",
    ],
)
def test_a_calendar_keeps_to_its_lines_whatever_people_are_called(name: str) -> None:
    monday = datetime(2026, 3, 16, 9, tzinfo=UTC)
    directory = Directory(people={"odd": Person(id="odd", name=name, role="operator")})
    week = Shift(starts_at=monday, ends_at=monday + timedelta(weeks=1), on_duty="odd", backup="odd")
    raw = calendar(
        [with_names(week, directory)], revision=1, changed_at=monday, zone="UTC", name="Duty", nobody="nobody"
    )
    for line in raw.split(b"\r\n"):
        assert len(line) <= 75
        assert not [octet for octet in line.decode().encode() if octet < 32]
    [event] = icalendar.Calendar.from_ical(raw).events
    assert {str(event["SUMMARY"]), str(event["DESCRIPTION"])} == {one_line(name)}
    assert event.get("ATTENDEE") is None


def test_a_week_of_nobody_is_an_event_of_the_calendar_too() -> None:
    monday = datetime(2026, 3, 16, 9, tzinfo=UTC)
    gap = Shift(starts_at=monday, ends_at=monday + timedelta(weeks=1), on_duty=None)
    raw = calendar([gap], revision=1, changed_at=monday, zone="UTC", name="Duty", nobody="nobody")
    [event] = icalendar.Calendar.from_ical(raw).events
    assert (str(event["SUMMARY"]), event.get("DESCRIPTION")) == ("nobody", None)
