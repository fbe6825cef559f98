"""A notifier's intake and its sender by hand, for tests of what happens between the two."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from prometheus_client import CollectorRegistry

from common.contracts.envelope import Message as Event
from common.postgres import Connection, Database
from notifier.channels.telegram import telegram_limits
from notifier.delivery.deliver import Deliver
from notifier.delivery.dispatch import Dispatcher, HandOver
from notifier.delivery.model import Added, Claim, Message
from notifier.delivery.outcomes import Outcome, Sent
from notifier.delivery.queue import DeliveryQueues
from notifier.incidents.problems import Problems
from notifier.inputs.events import IngestEvents
from notifier.messages.words import Words
from notifier.metrics import NotifierMetrics
from notifier.routing.file import read_routes
from tests.integration.notifier.factories import ONE_CHAT, enveloped


@dataclass
class Replica:
    """A notifier's intake and its sender on Telegram, by hand; it stands for the channel's dispatcher."""

    database: Database
    routes: dict[str, Any] = field(default_factory=lambda: ONE_CHAT)
    channel: str = "telegram"
    handed: list[Claim] = field(default_factory=list)
    told: list[Message] = field(default_factory=list)
    woken: int = 0
    claimer: Dispatcher | None = None

    def __post_init__(self) -> None:
        routes, words = read_routes(json.dumps(self.routes), name="test"), Words("en")
        queues = DeliveryQueues(
            self.database, channel="telegram", limits=lambda chat: telegram_limits(bot="4242", chat=chat)
        )
        self.queues = queues
        self.deliver = Deliver(
            channel="telegram",
            queues=queues,
            sender=self,
            words=words,
            watch=NotifierMetrics(CollectorRegistry()),
            deadline=1.0,
            monotonic=lambda: 0.0,  # a machine that stops between claim and call has no fault
        )
        hand_over = HandOver()
        hand_over.to(cast("Dispatcher", self))
        self.ingest = IngestEvents(
            routes=routes,
            words=words,
            environment="production",
            problems=Problems(routes=routes, words=words, environment="production"),
            hand_over=hand_over,
        )

    async def claim(self, connection: Connection, added: Sequence[Added]) -> list[Claim]:
        """Claim whatever may go, or what the dispatcher does that is asked instead."""
        if self.claimer is not None:
            return await self.claimer.claim(connection, added)
        return await self.deliver.claim_added(connection, added, most=8)

    def take(self, claims: Sequence[Claim]) -> None:
        """Keep what is handed over."""
        self.handed += claims

    def wake(self) -> None:
        """Count."""
        self.woken += 1

    async def send(self, message: Message, *, deadline: float) -> Outcome:
        """Be Telegram."""
        self.told.append(message)
        return Sent(message_id=str(len(self.told)))

    async def take_in(self, *events: Event) -> None:
        """Take events in, in one transaction, and do what follows its commit."""
        async with self.database.transaction() as connection:
            committed = await self.ingest(connection, [enveloped(event) for event in events])
        committed()

    async def carry_out(self) -> list[bool]:
        """Send and record what was handed over; return for each whether more waits there."""
        claims, self.handed = self.handed, []
        return [await self.deliver.record(claim, await self.deliver.send(claim)) for claim in claims]

    async def rows(self, statement: str) -> list[dict[str, Any]]:
        """Read the database."""
        async with self.database.acquire() as connection:
            return [dict(row) for row in await connection.fetch(statement)]

    async def states(self) -> list[str]:
        """How the deliveries stand, in order."""
        return [row["state"] for row in await self.rows("SELECT state FROM deliveries ORDER BY id")]
