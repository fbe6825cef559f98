"""Look again at what nobody was notified of: problems that were silenced or explained, and reports that came too soon after an end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from common.clock import Clock
from common.ids import derived_id
from common.postgres import Database
from notifier.delivery.notifications import NotificationStore
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
            found = await self._problems.unmute(NotificationStore(connection), limit=_AT_A_TIME)
        return found + await self._open_again()

    async def _open_again(self) -> int:
        now = self._clock.now()
        async with self._database.transaction() as connection:
            fingerprints = await past_doubt(connection, now - _DOUBT, limit=_AT_A_TIME)
            if not fingerprints:
                return 0
            notifications = NotificationStore(connection)
            await notifications.lock(fingerprints)
            facts = await take_past_doubt(connection, fingerprints, now - _DOUBT)
            reports = [
                Report(
                    fact=replace(fact, seen_at=now),
                    event_id=derived_id("notifier.past-doubt", fact.fingerprint, now.isoformat()),
                )
                for fact in facts
            ]
            opened = await self._problems.ingest(notifications, reports) if reports else ()
        return sum(incident is not None for incident in opened)
