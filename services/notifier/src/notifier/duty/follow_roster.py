"""What follows from a change of the roster: who answers instead of whom, and which handovers are announced, now and later."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from common.contracts.notices import NOBODY, notice
from common.http import Change
from notifier.delivery.named import place
from notifier.duty.keep_roster import KeepRoster
from notifier.duty.roster import Replaced, Shift, replaced
from notifier.duty.roster_store import HandoverStore, RosterStore
from notifier.incidents.act import NameNotices

_FORESEEN = timedelta(weeks=53)
"""How far ahead it is looked."""


class FollowRoster:
    """Of the next year. To be asked twice in the transaction of a change: ``before`` it and after it."""

    def __init__(self, *, keep: KeepRoster, name_notices: NameNotices) -> None:
        self._keep = keep
        self._name_notices = name_notices

    async def before(self, change: Change) -> Sequence[Shift]:
        """Lock the roster and return the final shifts as they are."""
        store = RosterStore(change.connection)
        await store.locked()
        now = await change.connection.fetchval("SELECT now()")
        return await store.shifts(since=now, until=now + _FORESEEN)

    async def __call__(self, change: Change, before: Sequence[Shift]) -> Sequence[Replaced]:
        """Do what is due of the roster as it is now, and name it, with the handovers to come; returns who answers instead of whom."""
        rosters = HandoverStore(change.connection)
        kept = await self._keep.keep(rosters)
        change.after_commit(lambda: self._keep.count(kept))
        await self._name_notices(change, rosters.notifications, ())
        now: datetime = await change.connection.fetchval("SELECT now()")
        after = await rosters.shifts(since=now, until=now + _FORESEEN)
        known = {(shift.starts_at, shift.on_duty) for shift in before}
        places = [place(each.name, each.channel) for each in self._keep.announced_to()] or [NOBODY]
        for shift in after:
            if (
                shift.starts_at > await rosters.now()
                and (shift.starts_at, shift.on_duty) not in known
                and shift.on_duty
            ):
                at = f"{shift.starts_at:%Y-%m-%dT%H:%M:%SZ}"
                change.tells(*(notice("roster.handover (announced)", of=at, to=each) for each in places))
        return replaced(before, after, since=now)
