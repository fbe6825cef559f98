"""The duty roster: weeks from Monday 10:00 local wall time, overrides over them, and the *final* shifts that follow.

Everything that pages, announces or shows the calendar uses these shifts, so they cannot disagree. Local wall time stays 10:00 over a
change of the clocks: weeks are counted in local dates by ``rrule``, never by adding seconds.
Why: docs/requirements.md#duty-roster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo

from dateutil.rrule import MO, WEEKLY, rrule
from dateutil.tz import resolve_imaginary

Place = Literal["on_duty", "backup"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """Who has one week. None is nobody, on purpose: the week is a gap."""

    on_duty: str | None
    backup: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The rotation: from the Monday ``first_week`` on, each has a week in turn; ``weeks`` names single weeks otherwise.

    The backup of a week is the next of ``backups`` in turn; without any it is who has the following week, swaps included. Where that
    is who is on duty, it is the next one in turn.
    """

    zone: str
    first_week: date
    rotation: tuple[str, ...] = ()
    backups: tuple[str, ...] = ()
    weeks: Mapping[date, Week] = field(default_factory=dict)
    starts: time = time(10, 0)

    def __post_init__(self) -> None:
        """Refuse weeks that do not begin on a Monday, and an unknown zone: ``ValueError`` with one line."""
        for day in (self.first_week, *self.weeks):
            if day.weekday() != 0:
                raise ValueError(f"{day.isoformat()} is no Monday")
        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"there is no time zone {self.zone!r}") from None

    def people(self) -> frozenset[str]:
        """Return everybody whom the plan names."""
        named = {*self.rotation, *self.backups}
        for week in self.weeks.values():
            named.update(person for person in (week.on_duty, week.backup) if person is not None)
        return frozenset(named)


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Somebody else (or nobody) for a while. Of two that overlap the later one (larger ``id``) holds. Moments have a zone."""

    id: int
    place: Place
    person: str | None
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A final shift: nothing changes between these moments (UTC). A week has one, or several where overrides cut it."""

    starts_at: datetime
    ends_at: datetime
    on_duty: str | None
    backup: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """Who answers instead of whom (None: nobody) after a change of the roster, for a while."""

    place: Place
    person: str | None
    instead_of: str | None
    starts_at: datetime
    ends_at: datetime


def week_start(plan: Plan, monday: date) -> datetime:
    """Return the moment (UTC) at which a week begins. A wall time that a change of the clocks skips is the first one after it."""
    local = datetime.combine(monday, plan.starts, tzinfo=ZoneInfo(plan.zone))
    return resolve_imaginary(local).astimezone(UTC)


def shifts(plan: Plan, overrides: Sequence[Override], *, since: datetime, until: datetime) -> tuple[Shift, ...]:
    """Return the final shifts that touch the time between two moments, in order, without a hole.

    Before the plan's first week nobody is planned: that time is a gap, and overrides hold there as anywhere. Nobody is on duty and the
    backup at once. Shifts are whole: the first may begin before ``since``, the last may end after ``until``. Weeks never merge, parts of
    a week in which the same people answer do.
    """
    zone = ZoneInfo(plan.zone)
    from_day = since.astimezone(zone).date() - timedelta(days=8)
    to_day = until.astimezone(zone).date() + timedelta(days=8)
    mondays = [
        moment.date()
        for moment in rrule(
            WEEKLY,
            byweekday=MO,
            dtstart=datetime.combine(from_day - timedelta(days=from_day.weekday()), time()),
            until=datetime.combine(to_day, time()),
        )
    ]
    found: list[Shift] = []
    for monday in mondays:
        found.extend(_week(plan, overrides, monday))
    return tuple(shift for shift in found if shift.ends_at > since and shift.starts_at < until)


def running(found: Sequence[Shift], now: datetime) -> Shift | None:
    """Return the one of these shifts that runs now."""
    return next((shift for shift in found if shift.starts_at <= now < shift.ends_at), None)


def gaps(found: Sequence[Shift]) -> tuple[Shift, ...]:
    """Return the shifts in which nobody is on duty."""
    return tuple(shift for shift in found if shift.on_duty is None)


def replaced(before: Sequence[Shift], after: Sequence[Shift], *, since: datetime) -> tuple[Replaced, ...]:
    """Return who answers instead of whom from ``since`` on; both are shifts of one time without a hole. What touches is one.

    What has begun by ``since`` begins when the roster has it, so that it is named alike whenever that is asked.
    """
    edges = {moment for shift in (*before, *after) for moment in (shift.starts_at, shift.ends_at)}
    first = max((shift.starts_at for shift in (running(before, since), running(after, since)) if shift), default=since)
    parts = list(pairwise(sorted({first, *(edge for edge in edges if edge > first)})))
    found: list[Replaced] = []
    places: tuple[Place, ...] = ("on_duty", "backup")
    for place in places:
        last: Replaced | None = None
        for start, end in parts:
            was, now = running(before, start), running(after, start)
            one, other = (None if shift is None else getattr(shift, place) for shift in (was, now))
            if was is None or now is None or one == other:
                continue
            if last is not None and (last.ends_at, last.person, last.instead_of) == (start, other, one):
                start = found.pop().starts_at
            last = Replaced(place=place, person=other, instead_of=one, starts_at=start, ends_at=end)
            found.append(last)
    return tuple(found)


def swap(
    plan: Plan, overrides: Sequence[Override], one: date, other: date
) -> tuple[tuple[str | None, datetime, datetime], ...]:
    """Return who gets the duty when two weeks change places: (person, from, until) for each override to make.

    A part of a week that somebody else than its main person has stays as it is. Raises ``ValueError`` for a week before the plan or for
    one and the same week.
    """
    if one == other:
        raise ValueError("a week cannot be swapped with itself")
    made: list[tuple[str | None, datetime, datetime]] = []
    for monday, source in ((one, other), (other, one)):
        if monday.weekday() != 0:
            raise ValueError("weeks are named by their Monday")
        if monday < plan.first_week and monday not in plan.weeks:
            raise ValueError(f"{monday.isoformat()} lies before the roster begins")
        whose, gets = _main_person(plan, overrides, monday), _main_person(plan, overrides, source)
        made += [(gets, start, end) for start, end, person in _parts(plan, overrides, monday) if person == whose]
    return tuple(made)


def lifts(plan: Plan, overrides: Sequence[Override], made: Sequence[tuple[str | None, datetime, datetime]]) -> bool:
    """Say whether overrides would do nothing but undo others of just these times: who lies beneath those gets the duty back."""
    on_duty = [each for each in overrides if each.place == "on_duty"]
    tops = [_latest(on_duty, start, end) for _, start, end in made]
    if any((top and (top.starts_at, top.ends_at)) != each[1:] for top, each in zip(tops, made, strict=True)):
        return False
    beneath = [each for each in overrides if each not in tops]
    return all(
        shift.on_duty == person
        for person, start, end in made
        for shift in shifts(plan, beneath, since=start, until=end)
    )


def _week(plan: Plan, overrides: Sequence[Override], monday: date) -> list[Shift]:
    backups = [each for each in overrides if each.place == "backup"]
    found: list[Shift] = []
    for begins, ends, on_duty in _parts(plan, overrides, monday):
        for start, end in _cut(backups, begins, ends):
            shift = Shift(
                starts_at=start.astimezone(UTC),
                ends_at=end.astimezone(UTC),
                on_duty=on_duty,
                backup=_backup(plan, overrides, monday, (start, end), on_duty=on_duty),
            )
            if found and (found[-1].on_duty, found[-1].backup) == (shift.on_duty, shift.backup):
                shift = replace(shift, starts_at=found.pop().starts_at)
            found.append(shift)
    return found


def _parts(plan: Plan, overrides: Sequence[Override], monday: date) -> list[tuple[datetime, datetime, str | None]]:
    """Return the parts of a week, as long as they can be, with who is on duty in each."""
    begins, ends = week_start(plan, monday), week_start(plan, monday + timedelta(weeks=1))
    over_it = [
        each for each in overrides if each.place == "on_duty" and each.starts_at < ends and each.ends_at > begins
    ]
    found: list[tuple[datetime, datetime, str | None]] = []
    for start, end in _cut(over_it, begins, ends):
        over = _latest(over_it, start, end)
        person = _planned(plan, monday) if over is None else over.person
        if found and found[-1][2] == person:
            start, _, _ = found.pop()
        found.append((start, end, person))
    return found


def _main_person(plan: Plan, overrides: Sequence[Override], monday: date) -> str | None:
    """Return who has most of a week."""
    time_of: dict[str | None, timedelta] = {}
    for start, end, person in _parts(plan, overrides, monday):
        time_of[person] = time_of.get(person, timedelta()) + (end - start)
    return max(time_of, key=lambda person: time_of[person])


def _backup(
    plan: Plan, overrides: Sequence[Override], monday: date, part: tuple[datetime, datetime], *, on_duty: str | None
) -> str | None:
    """Return the backup of a part of a week: as an override says, else the first in turn; never whoever is on duty."""
    over = _latest([each for each in overrides if each.place == "backup"], *part)
    if over is not None and (over.person is None or over.person != on_duty):
        return over.person
    in_turn = _backups_in_turn(plan, overrides, monday)
    return next((person for person in in_turn if person is not None and person != on_duty), None)


def _backups_in_turn(plan: Plan, overrides: Sequence[Override], monday: date) -> Iterator[str | None]:
    """Yield who may be a week's backup, best first: as planned, then who has the following weeks, last whose week it was to be."""
    named = plan.weeks.get(monday)
    if (monday < plan.first_week and named is None) or (named is not None and named.backup is None):
        return  # nobody, on purpose
    if named is not None:
        yield named.backup
    number = (monday - plan.first_week).days // 7
    for ahead in range(len(plan.backups)):
        yield plan.backups[(number + ahead) % len(plan.backups)]
    for ahead in range(1, 2 * len(plan.rotation) + 1):  # twice: a swap may give somebody two weeks running
        yield _main_person(plan, overrides, monday + timedelta(weeks=ahead))
    yield _main_person(plan, overrides, monday)


def _planned(plan: Plan, monday: date) -> str | None:
    named = plan.weeks.get(monday)
    if named is not None:
        return named.on_duty
    if monday < plan.first_week or not plan.rotation:
        return None
    return plan.rotation[(monday - plan.first_week).days // 7 % len(plan.rotation)]


def _latest(overrides: Sequence[Override], begins: datetime, ends: datetime) -> Override | None:
    over = [each for each in overrides if each.starts_at <= begins and each.ends_at >= ends]
    return max(over, key=lambda each: each.id, default=None)


def _cut(overrides: Sequence[Override], begins: datetime, ends: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the parts into which the edges of overrides cut a time."""
    edges = {min(max(edge, begins), ends) for each in overrides for edge in (each.starts_at, each.ends_at)}
    yield from pairwise(sorted({begins, ends, *edges}))
