"""Change the roster: the plan as a whole, an override, a swap of two weeks; each audited with what it was before."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta

from common.errors import Conflict, Unprocessable
from common.http import Change
from notifier.duty.roster import Override, Place, Plan, swap, week_start
from notifier.duty.roster_store import RosterStore, plan_to
from notifier.people.model import Directory


class ChangeRoster:
    """Everybody named must be in the directory. Changes are one after another: each locks the roster."""

    def __init__(self, *, directory: Directory) -> None:
        self._directory = directory

    async def replace(self, change: Change, plan: Plan, *, expected_version: int | None) -> None:
        """Replace the plan; overrides stay. Raises ``Conflict`` when it is at another version than expected."""
        self._known(plan.people())
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

    async def override(
        self, change: Change, *, place: Place, person: str | None, starts_at: datetime, ends_at: datetime
    ) -> Override:
        """Put somebody (or nobody) over the plan for a while."""
        self._known(() if person is None else (person,))
        await RosterStore(change.connection).locked()
        return await _add(change, "roster.override", place, person, starts_at, ends_at)

    async def swap(self, change: Change, one: date, other: date) -> list[Override]:
        """Let two weeks change places, as they are now: two overrides in one transaction."""
        store = RosterStore(change.connection)
        plan, _ = await store.locked()
        if plan is None:
            raise Conflict("there is no roster yet")
        since = week_start(plan, min(one, other)) - timedelta(days=8)
        until = week_start(plan, max(one, other)) + timedelta(days=15)
        try:
            wanted = swap(plan, await store.overrides(since=since, until=until), one, other)
        except ValueError as error:
            raise Unprocessable(str(error)) from None
        return [
            await _add(
                change,
                "roster.swap",
                place,
                person,
                week_start(plan, monday),
                week_start(plan, monday + timedelta(days=7)),
            )
            for place, person, monday in wanted
        ]

    def _known(self, names: Collection[str]) -> None:
        strangers = sorted(set(names) - set(self._directory.people))
        if strangers:
            raise Unprocessable(f"not in the directory of people: {', '.join(strangers)[:200]}")


async def _add(
    change: Change, action: str, place: Place, person: str | None, starts_at: datetime, ends_at: datetime
) -> Override:
    made = await RosterStore(change.connection).add(
        place=place,
        person=person,
        starts_at=starts_at,
        ends_at=ends_at,
        reason=change.reason,
        by=change.principal.name,
    )
    await change.record(
        action,
        f"roster_override:{made.id}",
        after={
            "place": made.place,
            "person": made.person,
            "starts_at": made.starts_at.isoformat(),
            "ends_at": made.ends_at.isoformat(),
        },
    )
    return made
