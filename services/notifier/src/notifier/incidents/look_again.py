"""Look again at what nobody was notified of: problems that were silenced or explained, and reports that came too soon after an end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from common.clock import Clock
from common.ids import derived_id
from common.postgres import Database
from common.service import in_halves, kept_apart
from notifier.delivery.notifications import Kept, NotificationStore
from notifier.incidents.doubtful import past_doubt, take_past_doubt
from notifier.incidents.problems import Problems, Report

_DOUBT = timedelta(minutes=2)  # as long as ``NotificationStore.report`` believes no repeat
_AT_A_TIME = 100


class LookAgain:
    """Looks once; any number of replicas may. Each of what it finds is notified once."""

    def __init__(self, *, problems: Problems, database: Database, clock: Clock) -> None:
        self._problems = problems
        self._database = database
        self._clock = clock

    async def __call__(self) -> int:
        """Notify of what lasts longer than what kept it back; returns of how many problems."""
        async with self._database.transaction() as connection:
            notifications = NotificationStore(connection)
            unmute, muted = partial(self._problems.unmute, notifications), await notifications.muted(_AT_A_TIME)
            found = sum(await in_halves(muted, unmute, name=_named, within=connection, but=kept_apart()))
        return found + await self._open_again()

    async def _open_again(self) -> int:
        before = self._clock.now() - _DOUBT
        async with self._database.transaction() as connection:
            fingerprints = await past_doubt(connection, before, limit=_AT_A_TIME, but=kept_apart())
            notifications = NotificationStore(connection)
            if fingerprints:
                await notifications.lock(fingerprints)
            believe = partial(self._believe, notifications, before)
            return sum(await in_halves(fingerprints, believe, name="problem {}".format, within=connection))

    async def _believe(self, notifications: NotificationStore, before: datetime, fingerprints: Sequence[str]) -> int:
        facts, now = await take_past_doubt(notifications.connection, fingerprints, before), before + _DOUBT
        reports = [
            Report(
                fact=replace(fact, seen_at=now),
                event_id=derived_id("notifier.past-doubt", fact.fingerprint, now.isoformat()),
            )
            for fact in facts
        ]
        opened = await self._problems.ingest(notifications, reports) if reports else ()
        return sum(incident is not None for incident in opened)


def _named(kept: Kept) -> str:
    return f"incident {kept.incident_id}"
