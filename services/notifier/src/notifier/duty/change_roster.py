"""Change the roster: the plan as a whole, an override, a swap of two weeks; each audited with what it was before."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Any

from common.errors import Conflict, Unprocessable
from notifier.duty.roster import Override, Place, Plan, swap, week_start
from notifier.duty.roster_store import RosterStore
from notifier.people.model import Directory


class ChangeRoster:
    """Everybody named must be in the directory. Changes are one after another: each locks the roster."""

    def __init__(self, *, directory: Directory) -> None:
        self._directory = directory

    async def plan(
        self, store: RosterStore, plan: Plan, *, expected_version: int | None, by: str, reason: str, shown: Any
    ) -> int:
        """Replace the plan; overrides stay. Raises ``Conflict`` when it is at another version than expected."""
        self._known(plan.people())
        before, version = await store.locked()
        if expected_version is not None and expected_version != version:
            raise Conflict(f"the roster is at version {version}")
        after = await store.save(plan, by=by)
        await store.audit(
            action="roster.change",
            target="roster",
            reason=reason,
            before=None if before is None else {"version": version},
            after={"version": after, "plan": shown},
        )
        return after

    async def override(
        self,
        store: RosterStore,
        *,
        place: Place,
        person: str | None,
        starts_at: datetime,
        ends_at: datetime,
        by: str,
        reason: str,
    ) -> Override:
        """Put somebody (or nobody) over the plan for a while."""
        self._known(() if person is None else (person,))
        await store.locked()
        made = await store.add(place=place, person=person, starts_at=starts_at, ends_at=ends_at, reason=reason, by=by)
        await self._told(store, made, reason=reason, action="roster.override")
        return made

    async def swap(self, store: RosterStore, *, one: date, other: date, by: str, reason: str) -> tuple[Override, ...]:
        """Let two weeks change places, as they are now: two overrides in one transaction."""
        plan, _ = await store.locked()
        if plan is None:
            raise Conflict("there is no roster yet")
        since = week_start(plan, min(one, other)) - timedelta(days=8)
        until = week_start(plan, max(one, other)) + timedelta(days=15)
        try:
            wanted = swap(plan, await store.overrides(since=since, until=until), one, other)
        except ValueError as error:
            raise Unprocessable(str(error)) from None
        made: list[Override] = []
        for place, person, monday in wanted:
            override = await store.add(
                place=place,
                person=person,
                starts_at=week_start(plan, monday),
                ends_at=week_start(plan, monday + timedelta(days=7)),
                reason=reason,
                by=by,
            )
            await self._told(store, override, reason=reason, action="roster.swap")
            made.append(override)
        return tuple(made)

    async def _told(self, store: RosterStore, override: Override, *, reason: str, action: str) -> None:
        await store.audit(
            action=action,
            target=f"roster_override:{override.id}",
            reason=reason,
            before=None,
            after={
                "place": override.place,
                "person": override.person,
                "starts_at": override.starts_at.isoformat(),
                "ends_at": override.ends_at.isoformat(),
            },
        )

    def _known(self, names: Collection[str]) -> None:
        strangers = sorted(set(names) - set(self._directory.people))
        if strangers:
            raise Unprocessable(f"not in the directory of people: {', '.join(strangers)[:200]}")
