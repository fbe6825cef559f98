"""Keeps every delivery, notes it in the orders' timelines, raises alerts for what a person has to look at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from common.contracts import intake
from common.contracts.envelope import Envelope, Message
from common.contracts.intake import IntakeMessage
from common.contracts.journal import JournalEntryV1
from common.ids import derived_id
from common.messaging import outbox
from common.postgres import Connection, Database
from webhook_gateway.deliveries import store, unarrived
from webhook_gateway.deliveries.digests import PeopleDigests
from webhook_gateway.deliveries.oddities import problems_of
from webhook_gateway.deliveries.quarantine import quarantined
from webhook_gateway.deliveries.store import DeliveryRow
from webhook_gateway.deliveries.unarrived import AwaitedOrder
from webhook_gateway.hooks.model import ENTERED, ORDER_CREATED, REPLAY_OF, SERVICE, Outcome
from webhook_gateway.rescue.record import json_or_none
from webhook_gateway.rescue.take_in import take_in

_DIRECTLY_S = 3.0
_CONNECTION_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a batch of deliveries comes to."""

    deliveries: Sequence[DeliveryRow]
    awaited: Sequence[AwaitedOrder]
    events: Sequence[Envelope]


class RecordDeliveries:
    """Runs inside the consumer's transaction. Carrying out the same deliveries again changes nothing."""

    def __init__(self, *, digests: PeopleDigests) -> None:
        self._digests = digests

    async def __call__(self, connection: Connection, hooks: Sequence[IntakeMessage]) -> None:
        """Keep the deliveries, and put what follows from them into the outbox."""
        await outbox.add(connection, *await self.keep(connection, hooks))

    async def keep(self, connection: Connection, hooks: Sequence[IntakeMessage]) -> list[Envelope]:
        """Keep the deliveries; return what is to be published of them in the same transaction."""
        recording = self.plan(hooks)
        await store.save_deliveries(connection, recording.deliveries)
        await unarrived.expect(connection, recording.awaited)
        odd = await problems_of(connection, hooks)
        rescue = await take_in(connection, hooks)
        return [*recording.events, *odd, *rescue]

    async def directly(self, database: Database, hook: IntakeMessage) -> None:
        """Record one hook without broker and spool, within three seconds: a website waits for its answer."""
        async with asyncio.timeout(_DIRECTLY_S), database.transaction(timeout=_CONNECTION_S) as connection:
            await self(connection, [hook])

    def plan(self, hooks: Sequence[IntakeMessage]) -> Recording:
        """Say what is to be kept of the deliveries, and what follows."""
        came_here = [hook for hook in hooks if hook.type != intake.FRONTEND_ERROR_REPORTED]
        events: list[Envelope] = []
        for hook in came_here:
            if hook.number is not None and hook.actor is None:  # what a person did was noted when it was done
                events.append(_journal(hook))
            if hook.type == intake.HOOK_QUARANTINED:
                events.append(
                    _envelope(hook, quarantined(hook), derived_id("problem", "hook.quarantined", hook.delivery_id))
                )
        return Recording(
            deliveries=[_row(hook, self._digests) for hook in came_here],
            awaited=[order for order in map(_awaited, hooks) if order is not None],
            events=events,
        )


def outcome_of(hook: IntakeMessage) -> Outcome:
    """Return the outcome that was fixed when the delivery was answered."""
    if hook.reason is not None and hook.reason.startswith(REPLAY_OF):
        return Outcome.REPLAYED
    if hook.reason == ENTERED:
        return Outcome.ENTERED
    if hook.type == intake.WEBSITE_ORDER_REFUSED:
        return Outcome.REFUSED
    if hook.type == intake.HOOK_QUARANTINED:
        return Outcome.QUARANTINED
    return Outcome.SPOOLED if hook.lane == "spool" else Outcome.CONFIRMED


def journal_id(delivery_id: str) -> str:
    """Return what the timeline's line about a delivery is known by, whoever publishes it."""
    return derived_id("journal", SERVICE, delivery_id)


def _awaited(hook: IntakeMessage) -> AwaitedOrder | None:
    """Return the order that the orchestrator has to announce: whoever sent the ``created`` had a positive answer, quarantined or not."""
    acknowledged = hook.type == intake.HOOK_RECEIVED or (
        hook.type == intake.HOOK_QUARANTINED and hook.status is not None and hook.status < HTTPStatus.MULTIPLE_CHOICES
    )
    if hook.event != ORDER_CREATED or hook.number is None or not acknowledged:
        return None
    return AwaitedOrder(
        number=hook.number, source=hook.source, external_id=hook.external_id, acknowledged_at=hook.received_at
    )


def _row(hook: IntakeMessage, digests: PeopleDigests) -> DeliveryRow:
    outcome = outcome_of(hook)
    origin = None
    if outcome is Outcome.REPLAYED and hook.reason is not None:
        origin = hook.reason.removeprefix(REPLAY_OF)
    headers = json_or_none(hook.headers)
    return DeliveryRow(
        hook=hook,
        outcome=outcome.value,
        replay_of=origin,
        headers=headers if isinstance(headers, dict) else {},
        people=digests.of_body(hook.body, form=hook.body_form),
    )


def _journal(hook: IntakeMessage) -> Envelope:
    outcome = outcome_of(hook).value
    entry = JournalEntryV1(
        order_number=hook.number or "",
        service=SERVICE,
        kind="hook.received",
        actor=hook.source,
        summary=f"{hook.event}: {outcome}",
        details={
            "event": hook.event,
            "outcome": outcome,
            "lane": hook.lane,
            "delivery_id": hook.delivery_id,
            "replica": hook.replica,
            "status": str(hook.status or ""),
        },
        occurred_at=hook.received_at,
    )
    return _envelope(hook, entry, journal_id(hook.delivery_id))


def _envelope(hook: IntakeMessage, message: Message, event_id: str) -> Envelope:
    return Envelope.of(
        message,
        event_id=event_id,
        source=f"/{SERVICE}",
        subject=hook.number,
        time=hook.received_at,
        traceparent=hook.traceparent,
    )
