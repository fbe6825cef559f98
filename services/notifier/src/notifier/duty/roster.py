"""The duty roster: weeks from Monday 10:00 local wall time, overrides over them, and the *final* shifts that follow.

Everything that pages, announces or shows the calendar uses these shifts, so they cannot disagree. Local wall time stays 10:00 over a
change of the clocks: weeks are counted in local dates by ``rrule``, never by adding seconds.
Why: docs/requirements.md#duty-roster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    The backup of a week is the next of ``backups`` in turn; without any it is who has the following week.
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


def week_start(plan: Plan, monday: date) -> datetime:
    """Return the moment (UTC) at which a week begins. A wall time that a change of the clocks skips is the first one after it."""
    local = datetime.combine(monday, plan.starts, tzinfo=ZoneInfo(plan.zone))
    return resolve_imaginary(local).astimezone(UTC)


def shifts(plan: Plan, overrides: Sequence[Override], *, since: datetime, until: datetime) -> tuple[Shift, ...]:
    """Return the final shifts that touch the time between two moments, in order, without a hole from the first week on.

    Shifts are whole: the first may begin before ``since``, the last may end after ``until``. Weeks never merge, parts of a week in
    which the same people answer do.
    """
    zone = ZoneInfo(plan.zone)
    from_day = since.astimezone(zone).date() - timedelta(days=8)
    to_day = until.astimezone(zone).date() + timedelta(days=8)
    first = max(plan.first_week, from_day - timedelta(days=from_day.weekday()))
    mondays = [
        moment.date()
        for moment in rrule(
            WEEKLY,
            byweekday=MO,
            dtstart=datetime.combine(first, time()),
            until=datetime.combine(to_day + timedelta(days=7), time()),
        )
    ]
    found: list[Shift] = []
    for monday, following in pairwise(mondays):
        found.extend(_week(plan, overrides, monday, following))
    return tuple(shift for shift in found if shift.ends_at > since and shift.starts_at < until)


def shift_at(plan: Plan, overrides: Sequence[Override], moment: datetime) -> Shift | None:
    """Return the shift that runs at a moment, None before the first week."""
    found = shifts(plan, overrides, since=moment, until=moment + timedelta(microseconds=1))
    return found[0] if found else None


def running(found: Sequence[Shift], now: datetime) -> Shift | None:
    """Return the one of these shifts that runs now."""
    return next((shift for shift in found if shift.starts_at <= now < shift.ends_at), None)


def gaps(found: Sequence[Shift]) -> tuple[Shift, ...]:
    """Return the shifts in which nobody is on duty."""
    return tuple(shift for shift in found if shift.on_duty is None)


def swap(
    plan: Plan, overrides: Sequence[Override], one: date, other: date
) -> tuple[tuple[Place, str | None, date], ...]:
    """Return what two weeks get when they change places: (place, person, the week's Monday) for each override to make.

    Raises ``ValueError`` for a week before the plan or for one and the same week.
    """
    if one == other:
        raise ValueError("a week cannot be swapped with itself")
    made: list[tuple[Place, str | None, date]] = []
    for monday, source in ((one, other), (other, one)):
        if monday.weekday() != 0 or source.weekday() != 0:
            raise ValueError("weeks are named by their Monday")
        shift = shift_at(plan, overrides, week_start(plan, source))
        if shift is None:
            raise ValueError(f"{source.isoformat()} lies before the roster begins")
        made.append(("on_duty", shift.on_duty, monday))
    return tuple(made)


def _week(plan: Plan, overrides: Sequence[Override], monday: date, following: date) -> list[Shift]:
    begins, ends = week_start(plan, monday), week_start(plan, following)
    whole = _planned(plan, monday)
    inside = [each for each in overrides if each.starts_at < ends and each.ends_at > begins]
    borders = sorted(
        {begins, ends, *(min(max(edge, begins), ends) for each in inside for edge in (each.starts_at, each.ends_at))}
    )
    parts: list[Shift] = []
    for start, end in pairwise(borders):
        part = Shift(
            starts_at=start.astimezone(UTC),
            ends_at=end.astimezone(UTC),
            on_duty=_holder("on_duty", whole.on_duty, inside, start),
            backup=_holder("backup", whole.backup, inside, start),
        )
        if parts and (parts[-1].on_duty, parts[-1].backup) == (part.on_duty, part.backup):
            part = replace(part, starts_at=parts.pop().starts_at)
        parts.append(part)
    return parts


def _holder(place: Place, planned: str | None, overrides: Sequence[Override], moment: datetime) -> str | None:
    over = [each for each in overrides if each.place == place and each.starts_at <= moment < each.ends_at]
    return max(over, key=lambda each: each.id).person if over else planned


def _planned(plan: Plan, monday: date) -> Week:
    named = plan.weeks.get(monday)
    if named is not None:
        return named
    number = (monday - plan.first_week).days // 7
    on_duty = plan.rotation[number % len(plan.rotation)] if plan.rotation else None
    if plan.backups:
        return Week(on_duty=on_duty, backup=plan.backups[number % len(plan.backups)])
    follower = plan.rotation[(number + 1) % len(plan.rotation)] if len(plan.rotation) > 1 else None
    return Week(on_duty=on_duty, backup=follower)
