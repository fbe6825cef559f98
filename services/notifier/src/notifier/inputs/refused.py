"""Notifications that are refused for their token or signature: all are counted, and those that look genuine are a problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address, ip_network

from common.clock import Clock
from common.ids import derived_id
from common.postgres import Database
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.model import ProblemFact
from notifier.incidents.problems import Problems, Report
from notifier.messages.words import Words

_MOST_NETWORKS = 20
"""Networks an hour that are told of; more are strangers, and are only counted."""


class RefusedAlerts:
    """Tells of a sender that is refused: one problem a sender and hour, reported again for each network that it is refused from.

    What does not look like the sender's own is only counted (``count``: sender, whether it looks genuine). A refusal that cannot be kept
    raises: its sender is to try again.
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
        self._hour = ""
        self._told: set[tuple[str, str]] = set()
        self._counted: Counter[str] = Counter()

    async def __call__(self, sender: str, *, genuine: bool, address: str | None) -> None:
        """Take note of a notification that is refused. It was ``genuine`` if it looks so; ``address`` is whom it came from."""
        self._count(sender, genuine)
        if not genuine:
            return
        now = self._clock.now()
        hour = f"{now:%Y-%m-%dT%H}"
        if hour != self._hour:
            self._hour, self._told, self._counted = hour, set(), Counter()
        self._counted[sender] += 1
        network = network_of(address)
        if (sender, network) in self._told or sum(each == sender for each, _ in self._told) >= _MOST_NETWORKS:
            return
        fact = ProblemFact(
            kind="problem.alerts_refused",
            severity="critical",
            fingerprint=f"alerts_refused:{sender}:{hour}",
            summary=self._words["refused.summary"].format(sender=sender),
            service="notifier",
            occurred_at=now,
            details={"network": network, "refused": str(self._counted[sender])},
            what_to_do=self._words["refused.do"],
        )
        report = Report(fact=fact, event_id=derived_id("alerts_refused", sender, network, hour))
        async with self._database.transaction() as connection:
            await self._problems.ingest(NotificationStore(connection), [report])
        if hour == self._hour:
            self._told.add((sender, network))
        self._wake()


def network_of(address: str | None) -> str:
    """Return the network that an address is in (IPv4: /24, IPv6: /48); ``-`` for what is no address."""
    try:
        known = ip_address(address or "")
    except ValueError:
        return "-"
    return str(ip_network(f"{known.exploded}/{24 if known.version == 4 else 48}", strict=False))
