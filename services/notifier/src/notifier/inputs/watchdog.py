"""The alert that always fires: while it comes, the way from that Prometheus through its Alertmanager to this service is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from common.clock import Clock
from common.ids import derived_id
from common.postgres import Connection, Database
from common.telemetry import scrub_text
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.model import ProblemFact
from notifier.incidents.problems import Problems, Report, Resolution
from notifier.inputs.lenient import Vocabulary, first
from notifier.messages.words import Words

WATCHDOG = "Watchdog"
"""The alert's name, as everybody calls it."""
_UNNAMED = "alertmanager"
_FINGERPRINTS = "alerts_silent:"
_ENVIRONMENT = ("environment", "env")
_CLUSTER = ("cluster",)
_LONGEST_NAME = 100
_SEEN = """
WITH former AS (
    INSERT INTO watchdogs AS w (sender, seen_at) VALUES ('alertmanager', $3)
    ON CONFLICT (sender) DO UPDATE SET seen_at = greatest(w.seen_at, excluded.seen_at)
)
INSERT INTO alert_senders AS s (name, environment, seen_at)
SELECT name, environment, $3 FROM unnest($1::text[], $2::text[]) AS new (name, environment)
ON CONFLICT (name) DO UPDATE SET seen_at = greatest(s.seen_at, excluded.seen_at), environment = excluded.environment
"""
_OPEN = f"SELECT fingerprint, first_seen_at FROM incidents WHERE fingerprint LIKE '{_FINGERPRINTS}%' AND state <> 'resolved'"  # noqa: S608 - a constant of ours

_LIST = """
SELECT s.id, s.name, s.environment, s.seen_at, i.id AS incident_id, CASE WHEN i.id IS NULL THEN 'heard' ELSE 'silent' END AS state
FROM alert_senders AS s LEFT JOIN incidents AS i ON i.fingerprint = 'alerts_silent:' || s.name AND i.state <> 'resolved'
WHERE $1::bigint IS NULL OR s.id > $1 ORDER BY s.id LIMIT $2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSender:
    """One Alertmanager, or several that stand for each other; ``seen_at`` None: nothing has ever come."""

    name: str
    environment: str | None = None
    seen_at: datetime | None = None

    @property
    def fingerprint(self) -> str:
        """The problem that its silence is."""
        return f"{_FINGERPRINTS}{self.name}"


def sender_of(labels: Mapping[str, str], url: str, vocabulary: Vocabulary) -> AlertSender:
    """Return whose Watchdog it is: named by its environment and its cluster.

    Without a label that says so, by the host of Alertmanager's external address if somebody gave it one; its own default is the name of
    the container that it happens to run in. Replicas of one Alertmanager have the same labels, so they are one.
    """
    folded = {name.strip().casefold(): text.strip() for name, text in labels.items()}
    environment, unknown = vocabulary.environment(first(folded, _ENVIRONMENT))
    named = [each for each in (unknown or environment, first(folded, _CLUSTER)) if each]
    try:
        host = urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        host = ""
    name = "/".join(named) or (host if "." in host else "") or _UNNAMED
    return AlertSender(name=scrub_text(name[:_LONGEST_NAME]), environment=environment)


async def watchdog_came(connection: Connection, senders: Sequence[AlertSender], at: datetime) -> None:
    """Remember whose alert came."""
    found = {sender.name: sender.environment for sender in senders}
    await connection.execute(_SEEN, list(found), list(found.values()), at)


class Watchdog:
    """Raises a problem for each sender whose alert has not come for ``patience`` since this process began; ends it when it has come again.

    While nothing has come from anybody, somebody is missing, too. Any number of replicas may look: each silence is one problem.
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
        """Look once; returns whose is overdue, None when nobody's is."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            notifications = NotificationStore(connection)
            senders, open_since = await self._locked(notifications)
            late = [
                sender for sender in senders if now - max(sender.seen_at or self._began, self._began) > self._patience
            ]
            entries: list[Report | Resolution] = [
                self._report(sender, now) for sender in late if sender.fingerprint not in open_since
            ]
            heard = {sender.fingerprint: sender.seen_at for sender in senders if sender not in late}
            known = {sender.fingerprint for sender in senders}
            for fingerprint, since in open_since.items():
                if fingerprint not in known:
                    entries.append(
                        over(fingerprint, actor="notifier", at=now)
                    )  # given up, or the first of all has come
                elif (seen := heard.get(fingerprint)) is not None and seen > since:
                    entries.append(over(fingerprint, actor="notifier", at=seen))
            if entries:
                await self._problems.ingest(notifications, entries)
        if entries:
            self._wake()
        return f"no {WATCHDOG} of {', '.join(sender.name for sender in late)}" if late else None

    async def _locked(self, notifications: NotificationStore) -> tuple[list[AlertSender], dict[str, datetime]]:
        """Return who is expected, and since when which silence is open, with all these problems locked."""
        for locked in (False, True):
            senders = await senders_known(notifications.connection)
            open_since = {
                row["fingerprint"]: row["first_seen_at"] for row in await notifications.connection.fetch(_OPEN)
            }
            if not locked:
                await notifications.lock([*(sender.fingerprint for sender in senders), *open_since])
        return senders, open_since

    def _report(self, sender: AlertSender, now: datetime) -> Report:
        seen = sender.seen_at
        fact = ProblemFact(
            kind="problem.alerts_silent",
            severity="critical",
            fingerprint=sender.fingerprint,
            summary=self._words["silent.summary"].format(sender=sender.name),
            service="notifier",
            occurred_at=now,
            details={"last": "-" if seen is None else f"{seen:%Y-%m-%d %H:%M} UTC"},
            what_to_do=self._words["silent.do"],
            environment=sender.environment,
        )
        return Report(fact=fact, event_id=derived_id(sender.fingerprint, now.isoformat()))


async def senders_known(connection: Connection) -> list[AlertSender]:
    """Return whose alert is expected, oldest first: everybody's from whom it ever came; an unnamed one's while it came from nobody."""
    rows = await connection.fetch("SELECT name, environment, seen_at FROM alert_senders ORDER BY id")
    return [AlertSender(**row) for row in rows] or [AlertSender(name=_UNNAMED)]


def select_senders(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
    """Return the statement of the senders, oldest first, behind the position (id), and its values."""
    return _LIST, [None if after is None else after[0], limit]


async def senders_silent(connection: Connection) -> list[str]:
    """Return from whom nothing comes, by name."""
    return [row["fingerprint"].removeprefix(_FINGERPRINTS) for row in await connection.fetch(f"{_OPEN} ORDER BY id")]


def over(fingerprint: str, *, actor: str, at: datetime) -> Resolution:
    """Return the end of a silence: it was heard again, or nobody waits for it any more."""
    return Resolution(
        fingerprint=fingerprint,
        actor=actor,
        summary="resolved",
        at=at,
        event_id=derived_id(fingerprint, at.isoformat(), "over"),
    )
