"""What the orchestrator takes from RabbitMQ. Each handler runs inside the consumer's transaction, once for each event."""

from __future__ import annotations

from collections.abc import Sequence

from common.contracts.envelope import Envelope, parse
from common.contracts.journal import JournalEntryV1
from common.contracts.refunds import RefundRejectedV1, RefundStateChangedV1
from common.postgres import Connection
from orchestrator.engine.lookups import Intake
from orchestrator.engine.model import NewEvent, TimelineEntry
from orchestrator.orders import stories
from orchestrator.orders.hooks import to_workflow_event
from orchestrator.refunds import answers as follow_refunds


class Taker:
    """The handlers, one a queue."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def take_hooks(self, connection: Connection, envelopes: Sequence[Envelope]) -> None:
        """Append hooks to the workflows of their orders. Bodies are read later, so that an unreadable one stops its order alone."""
        await self._intake.ingest(connection, [to_workflow_event(envelope) for envelope in envelopes])

    async def take_journal(self, connection: Connection, envelopes: Sequence[Envelope]) -> None:
        """Gather what other services did for an order into its timeline."""
        await self._intake.tell(
            connection,
            [
                stories.from_journal(parse(envelope, JournalEntryV1), traceparent=envelope.traceparent)
                for envelope in envelopes
            ],
        )

    async def take_refunds(self, connection: Connection, envelopes: Sequence[Envelope]) -> None:
        """Keep the states of refunds and tell whoever follows them; a full refund sets the order's tips to zero (M17).

        The refunds service tells the timeline of them itself. Types of a later release are left alone.
        """
        entries: list[TimelineEntry] = []
        states: list[RefundStateChangedV1] = []
        told: list[NewEvent] = []
        for envelope in envelopes:
            if envelope.type == RefundStateChangedV1.TYPE:
                states.append(parse(envelope, RefundStateChangedV1))
                told += follow_refunds.moved(states[-1], traceparent=envelope.traceparent)
            elif envelope.type == RefundRejectedV1.TYPE:
                rejected = parse(envelope, RefundRejectedV1)
                entries.append(stories.refund_rejected(rejected, traceparent=envelope.traceparent))
                told.append(follow_refunds.rejected(rejected, traceparent=envelope.traceparent))
        await self._intake.tell_followers(connection, told)  # workflows are locked before orders
        for number in await self._intake.store_refunds(connection, states):
            await self._intake.zero_refunded(connection, number)
        await self._intake.tell(connection, entries)
