"""Calls of other systems that are refused for their token or signature: all are counted, and those that look genuine are a problem."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from aiohttp import web

from common.clock import Clock
from common.ids import derived_id
from common.postgres import Database
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.model import ProblemFact
from notifier.incidents.problems import Problems, Report, Resolution
from notifier.messages.words import Words

ALERTS = frozenset({"alertmanager", "sentry"})
"""Senders whose alerts nobody hears of while they are refused. What others send is buttons, and how calls go on."""
_MOST_NETWORKS = 20
"""Networks that are told of at a time; more are strangers, and are only counted."""
_AT_MOST_EVERY = timedelta(minutes=1)  # the database hears of one network
_QUIET = timedelta(minutes=15)
_KEPT = timedelta(days=1)
_REFUSED = """
INSERT INTO refusals AS r (sender, network, refused_at) VALUES ($1, $2, $3)
ON CONFLICT (sender, network) DO UPDATE SET refused_at = greatest(r.refused_at, excluded.refused_at)
"""
_FORGET = "DELETE FROM refusals WHERE refused_at < $1"
_IS_OPEN = "SELECT EXISTS (SELECT FROM incidents WHERE fingerprint = $1 AND state <> 'resolved')"
_RIGHT_AGAIN = "DELETE FROM refusals WHERE sender = $1 AND (network = $2 OR refused_at < $3)"
_STILL_REFUSED = "SELECT EXISTS (SELECT FROM refusals WHERE sender = $1)"


class Refusals:
    """Tells of a sender that is refused: one problem a sender, until it is accepted again.

    It ends when something of the sender is accepted and every network that it was refused from either had something accepted since, or
    has been quiet for a quarter of an hour. So a right sender beside a wrong one ends nothing, and of strangers nobody hears for ever.
    What does not look like the sender's own is only counted (``count``: sender, whether it looks genuine). A refusal that cannot be kept
    raises: its sender is to try again. Any number of replicas: it is one problem.
    """

    def __init__(
        self,
        *,
        problems: Problems,
        database: Database,
        clock: Clock,
        words: Words,
        count: Callable[[str, bool], None],
        wake: Callable[[], None],
    ) -> None:
        self._problems = problems
        self._database = database
        self._clock = clock
        self._words = words
        self._count = count
        self._wake = wake
        self._told: dict[tuple[str, str], datetime] = {}

    async def refused(self, sender: str, *, genuine: bool, address: str | None) -> None:
        """Take note of a call that is refused. It was ``genuine`` if it looks so; ``address`` is whom it came from."""
        self._count(sender, genuine)
        if not genuine:
            return
        now = self._clock.now()
        network = network_of(address)
        self._told = {key: at for key, at in self._told.items() if now - at < _AT_MOST_EVERY}
        if (sender, network) in self._told or sum(each == sender for each, _ in self._told) >= _MOST_NETWORKS:
            return
        report = Report(
            fact=self._problem(sender, network, now), event_id=derived_id("refused", sender, network, now.isoformat())
        )
        async with self._database.transaction() as connection:
            notifications = NotificationStore(connection)
            await notifications.lock([report.fact.fingerprint])
            await connection.execute(_REFUSED, sender, network, now)
            await connection.execute(_FORGET, now - _KEPT)
            await self._problems.ingest(notifications, [report])
        self._told[sender, network] = now
        self._wake()

    async def accepted(self, sender: str, *, address: str | None) -> None:
        """Take note of a call that was right and taken whole: it may end the sender's problem."""
        fingerprint, now = _fingerprint(sender), self._clock.now()
        async with self._database.acquire() as connection:
            if not await connection.fetchval(_IS_OPEN, fingerprint):
                return
        over = Resolution(
            fingerprint=fingerprint,
            actor="notifier",
            summary="resolved",
            at=now,
            event_id=derived_id(fingerprint, now.isoformat(), "over"),
        )
        async with self._database.transaction() as connection:
            notifications = NotificationStore(connection)
            await notifications.lock([fingerprint])
            await connection.execute(_RIGHT_AGAIN, sender, network_of(address), now - _QUIET)
            if await connection.fetchval(_STILL_REFUSED, sender):
                return
            await self._problems.ingest(notifications, [over])
        self._told = {key: at for key, at in self._told.items() if key[0] != sender}
        self._wake()

    def _problem(self, sender: str, network: str, now: datetime) -> ProblemFact:
        if sender in ALERTS:
            return ProblemFact(
                kind="problem.alerts_refused",
                severity="critical",
                fingerprint=_fingerprint(sender),
                summary=self._words["refused.summary"].format(sender=sender),
                service="notifier",
                occurred_at=now,
                details={"network": network},
                what_to_do=self._words["refused.do"],
            )
        return ProblemFact(
            kind="problem.webhook_refused",
            severity="warning",
            fingerprint=_fingerprint(sender),
            summary=self._words["refused.summary"].format(sender=sender),
            service="notifier",
            occurred_at=now,
            details={"network": network},
            what_to_do=self._words[f"refused.do.{sender}"],
        )


def address_of(request: web.Request) -> str | None:
    """Return whom a request comes from, as the edge says."""
    return request.headers.get("X-Real-IP", request.remote)


def network_of(address: str | None) -> str:
    """Return the network that an address is in (IPv4: /24, IPv6: /48); ``-`` for what is no address."""
    try:
        known = ip_address(address or "")
    except ValueError:
        return "-"
    return str(ip_network(f"{known.exploded}/{24 if known.version == 4 else 48}", strict=False))


def _fingerprint(sender: str) -> str:
    return f"{'alerts' if sender in ALERTS else 'webhook'}_refused:{sender}"
