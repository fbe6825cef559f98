"""Change the roster: the plan as a whole, an override, a swap of two weeks; each audited with what it was before."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import takewhile

from common.errors import ChangedSince, Conflict, Unprocessable
from common.http import Change
from notifier.duty.roster import Override, Place, Plan, lifts, swap, week_start
from notifier.duty.roster_store import SHOWN, RosterStore, plan_to
from notifier.people.model import Directory

_CLOCKS_DIFFER = timedelta(minutes=1)


class ChangeRoster:
    """Everybody named must be in the directory. Changes are one after another: each locks the roster."""

    def __init__(self, *, directory: Directory) -> None:
        self._directory = directory

    async def replace(self, change: Change, plan: Plan, *, expected_version: int | None) -> None:
        """Replace the plan; overrides stay. Raises ``Conflict`` when it is at another version than expected."""
        self._known(plan.people())
        for monday, week in plan.weeks.items():
            if week.on_duty is not None and week.on_duty == week.backup:
                raise Unprocessable(f"{week.on_duty} cannot be on duty and the backup at once (week of {monday})")
        store = RosterStore(change.connection)
        before, version = await store.locked()
        if expected_version is not None and expected_version != version:
            raise Conflict(f"the roster is at version {version}")
        after = await store.save(plan, by=change.principal.name)
        await change.record(
            "roster.change",
            "roster",
            before=None if before is None else {"version": version},
            after={"version": after, "plan": plan_to(plan)},
        )

    async def ensure_unchanged(self, change: Change, expected: int | None) -> None:
        """Lock the roster. Raises ``ChangedSince`` when it is at another revision than expected."""
        store = RosterStore(change.connection)
        await store.locked()
        ChangedSince.require("the roster", at=await store.current_revision(), expected=expected)

    async def override(
        self, change: Change, *, place: Place, person: str | None, starts_at: datetime, ends_at: datetime
    ) -> Override:
        """Put somebody (or nobody) over the plan for a while. The backup is never made whoever is on duty: ``Unprocessable``.

        Whoever is put on duty and was the backup is the backup no more; the next in turn is. Raises ``Conflict`` where that person answers
        there now, and does so to the end that is asked for. It lasts whole seconds, so that no sliver is left of what lies beneath.
        Time that is over is nobody's to give: ``Unprocessable``.
        """
        self._known(() if person is None else (person,))
        _require_ahead(ends_at, await _now(change))
        starts_at = starts_at.replace(microsecond=0)
        ends_at += timedelta(microseconds=-ends_at.microsecond % 1_000_000)
        store = RosterStore(change.connection)
        await store.locked()
        if place == "backup" and person is not None:
            on_duty = [shift for shift in await store.shifts(since=starts_at, until=ends_at) if shift.on_duty == person]
            if on_duty:
                raise Unprocessable(f"{person} is on duty then (from {on_duty[0].starts_at.isoformat()})")
        if person is not None:
            await _need_change(change, store, place, person, starts_at=starts_at, ends_at=ends_at)
        return await _add(change, "roster.override", place, person, starts_at, ends_at)

    async def swap(self, change: Change, one: date, other: date, *, looked_at: bool) -> list[Override]:
        """Let two weeks change places, as they are now, in one transaction; backups follow.

        Of two who swap the same weeks the second would undo what the first did: ``ChangedSince``, but for whoever ``looked_at`` the roster.
        """
        store = RosterStore(change.connection)
        plan, _ = await store.locked()
        if plan is None:
            raise Conflict("there is no roster yet")
        since = week_start(plan, min(one, other)) - timedelta(days=8)
        until = week_start(plan, max(one, other)) + timedelta(days=15)
        try:
            known = await store.overrides(since=since, until=until)
            wanted = swap(plan, known, one, other)
        except ValueError as error:
            raise Unprocessable(str(error)) from None
        _require_ahead(max(ends_at for _, _, ends_at in wanted), await _now(change))
        if not looked_at and lifts(plan, known, wanted):
            revision = await store.current_revision()
            raise ChangedSince(
                f"these weeks are swapped already, at version {revision}: look at it, and name it to swap them back"
            )
        return [
            await _add(change, "roster.swap", "on_duty", person, starts_at, ends_at)
            for person, starts_at, ends_at in wanted
        ]

    async def take_back(self, change: Change, override_id: int) -> Override:
        """Take an override back: what lies under it holds again from now on. Raises ``NotFound``, ``Conflict`` for one that is over."""
        store = RosterStore(change.connection)
        await store.locked()
        override = await store.override(override_id)
        now = await _now(change)
        if override.ends_at <= now:
            raise Conflict("the override is over already")
        await store.take_back(override, now=now)
        begun = override.starts_at < now
        await change.record(
            "roster.override.delete",
            f"roster_override:{override.id}",
            before=_recorded(override),
            after=_recorded(replace(override, ends_at=now)) if begun else None,
        )
        return override

    def _known(self, names: Collection[str]) -> None:
        strangers = sorted(set(names) - set(self._directory.people))
        if strangers:
            raise Unprocessable(f"not in the directory of people: {', '.join(strangers)[:200]}")


async def _now(change: Change) -> datetime:
    now: datetime = await change.connection.fetchval("SELECT clock_timestamp()")
    return now


def _require_ahead(ends_at: datetime, now: datetime) -> None:
    if ends_at <= now:
        raise Unprocessable(f"that time was over at {ends_at:%Y-%m-%dT%H:%M:%SZ}: nobody's duty would change")


async def _need_change(
    change: Change, store: RosterStore, place: Place, person: str, *, starts_at: datetime, ends_at: datetime
) -> None:
    """Raise ``Conflict`` where an override from now on would change nothing; one for later holds whatever the plan becomes."""
    now = await _now(change)
    if starts_at > now + _CLOCKS_DIFFER:
        return
    ahead = await store.shifts(since=now, until=ends_at + SHOWN)
    theirs = list(takewhile(lambda shift: getattr(shift, place) == person, ahead))
    if theirs and theirs[-1].ends_at >= ends_at:
        until = f"{theirs[-1].ends_at:%Y-%m-%dT%H:%M:%SZ}"
        raise Conflict(f"{person} is {'on duty' if place == 'on_duty' else 'the backup'} already, until {until}")


async def _add(
    change: Change, action: str, place: Place, person: str | None, starts_at: datetime, ends_at: datetime
) -> Override:
    made = await RosterStore(change.connection).add(
        place=place, person=person, starts_at=starts_at, ends_at=ends_at, reason=change.reason, by=change.principal.name
    )
    await change.record(action, f"roster_override:{made.id}", after=_recorded(made))
    return made


def _recorded(override: Override) -> dict[str, str | None]:
    return {
        "place": override.place,
        "person": override.person,
        "starts_at": override.starts_at.isoformat(),
        "ends_at": override.ends_at.isoformat(),
    }
