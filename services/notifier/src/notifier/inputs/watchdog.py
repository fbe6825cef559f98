"""The alert that always fires: while it comes, the way from Prometheus through Alertmanager to this service is open."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from common.clock import Clock
from common.ids import derived_id
from common.postgres import Connection, Database
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.model import ProblemFact
from notifier.incidents.problems import Problems, Report, Resolution
from notifier.messages.words import Words

WATCHDOG = "Watchdog"
"""The alert's name, as everybody calls it."""
_SENDER = "alertmanager"
_FINGERPRINT = f"alerts_silent:{_SENDER}"
_SEEN = """
INSERT INTO watchdogs AS w (sender, seen_at) VALUES ($1, $2)
ON CONFLICT (sender) DO UPDATE SET seen_at = greatest(w.seen_at, excluded.seen_at)
"""
_LAST = "SELECT seen_at FROM watchdogs WHERE sender = $1"
_OPEN_SINCE = "SELECT first_seen_at FROM incidents WHERE fingerprint = $1 AND state <> 'resolved'"


async def watchdog_came(connection: Connection, at: datetime) -> None:
    """Remember that the alert came."""
    await connection.execute(_SEEN, _SENDER, at)


class Watchdog:
    """Raises a problem when the alert has not come for ``patience`` since this process began, and ends it when it has come again.

    Any number of replicas may look: it is one problem.
    """

    def __init__(
        self,
        *,
        problems: Problems,
        database: Database,
        clock: Clock,
        words: Words,
        patience: timedelta,
        wake: Callable[[], None],
    ) -> None:
        self._problems = problems
        self._database = database
        self._clock = clock
        self._words = words
        self._patience = patience
        self._wake = wake
        self._began = clock.now()

    async def look(self) -> str | None:
        """Look once; returns what is overdue, None when nothing is."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            notifications = NotificationStore(connection)
            await notifications.lock([_FINGERPRINT])
            seen: datetime | None = await connection.fetchval(_LAST, _SENDER)
            since: datetime | None = await connection.fetchval(_OPEN_SINCE, _FINGERPRINT)
            late = now - max(seen or self._began, self._began) > self._patience
            entry: Report | Resolution | None = None
            if late and since is None:
                entry = self._report(seen, now)
            elif not late and since is not None and seen is not None and seen > since:
                entry = Resolution(
                    fingerprint=_FINGERPRINT,
                    actor="notifier",
                    summary="resolved",
                    at=seen,
                    event_id=derived_id(_FINGERPRINT, seen.isoformat(), "over"),
                )
            if entry is not None:
                await self._problems.ingest(notifications, [entry])
        if entry is not None:
            self._wake()
        return f"no {WATCHDOG} of {_SENDER}" if late else None

    def _report(self, seen: datetime | None, now: datetime) -> Report:
        fact = ProblemFact(
            kind="problem.alerts_silent",
            severity="critical",
            fingerprint=_FINGERPRINT,
            summary=self._words["silent.summary"].format(sender=_SENDER),
            service="notifier",
            occurred_at=now,
            details={"last": "-" if seen is None else f"{seen:%Y-%m-%d %H:%M} UTC"},
            what_to_do=self._words["silent.do"],
        )
        return Report(fact=fact, event_id=derived_id(_FINGERPRINT, now.isoformat()))
