"""Take events in: decide whether anything is told, to whom, and keep it, all in the transaction that marks the event as seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from common.contracts import Envelope, parse
from common.contracts.alerts import HeartbeatV1, ProblemRaisedV1, ProblemResolvedV1
from common.contracts.orders import (
    OrderCancelledV1,
    OrderChangedV1,
    OrderCorrectedV1,
    OrderCreatedV1,
    OrderDeliveredV1,
    OrderEvent,
    OrderPaidV1,
    OrderReceivedV1,
    WorkflowCrashedV1,
    WorkflowStoppedV1,
)
from common.contracts.refunds import RefundRejectedV1
from common.ids import new_id
from common.messaging import Handler
from common.messaging.topology import NOTIFIER_ALERTS, NOTIFIER_ORDERS, NOTIFIER_REFUNDS
from common.postgres import Connection
from notifier.delivery.model import NewNotice
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.problems import NO_ROUTE, Problems, Report, Resolution
from notifier.inputs import facts
from notifier.messages.incident_notices import HEARTBEAT, render_heartbeat
from notifier.messages.order_notices import OrderFact, render_order
from notifier.messages.words import Words
from notifier.routing.model import Labels, Routes

_ORDER_EVENTS: dict[str, type[OrderEvent]] = {
    model.TYPE: model
    for model in (
        OrderCreatedV1,
        OrderChangedV1,
        OrderPaidV1,
        OrderReceivedV1,
        OrderDeliveredV1,
        OrderCancelledV1,
        OrderCorrectedV1,
    )
}
_ORDER = "order."
_CREATED = "order.created"
_HOLD_SECONDS = 2.0
_NOT_TOLD = "the orchestrator decided that nobody is told (M7)"


class IngestEvents:
    """Turns events into notices.

    The effect of one event is the same however often it comes (the inbox and the unique (subject, transition) see to that). An
    event that cannot be read raises ``ValueError``; nothing of its batch is kept then.
    """

    def __init__(
        self,
        *,
        routes: Routes,
        words: Words,
        environment: str,
        problems: Problems,
    ) -> None:
        self._routes = routes
        self._words = words
        self._environment = environment
        self._problems = problems

    async def __call__(self, notifications: NotificationStore, envelopes: Sequence[Envelope]) -> None:
        """Take a batch in: orders in its order, each problem's reports and ends in theirs. Types that nobody is told of are left alone."""
        read = [entry for envelope in envelopes if (entry := self._read(envelope)) is not None]
        orders = [entry for entry in read if isinstance(entry, NewNotice)]
        taken = await self._problems(notifications, [entry for entry in read if not isinstance(entry, NewNotice)])
        await notifications.add(await self._behind_their_past(notifications, [*orders, *taken.notices]))
        await self._problems.refresh(notifications, taken)

    def _read(self, envelope: Envelope) -> Report | Resolution | NewNotice | None:
        event_id, trace = envelope.id, envelope.traceparent
        if (model := _ORDER_EVENTS.get(envelope.type)) is not None:
            return self._order_notice(facts.order_fact(parse(envelope, model)), envelope)
        if envelope.type == WorkflowStoppedV1.TYPE:
            fact = facts.workflow_fact(parse(envelope, WorkflowStoppedV1), self._words)
            return Report(fact=fact, event_id=event_id, traceparent=trace, always=True)
        if envelope.type == WorkflowCrashedV1.TYPE:
            fact = facts.workflow_fact(parse(envelope, WorkflowCrashedV1), self._words)
            return Report(fact=fact, event_id=event_id, traceparent=trace, always=True)
        if envelope.type == ProblemRaisedV1.TYPE:
            fact = facts.problem_fact(parse(envelope, ProblemRaisedV1))
            return Report(fact=fact, event_id=event_id, traceparent=trace)
        if envelope.type == RefundRejectedV1.TYPE:
            fact = facts.rejection_fact(parse(envelope, RefundRejectedV1))
            return Report(fact=fact, event_id=event_id, traceparent=trace)
        if envelope.type == HeartbeatV1.TYPE:
            return self._heartbeat(parse(envelope, HeartbeatV1), envelope)
        if envelope.type == ProblemResolvedV1.TYPE:
            over = parse(envelope, ProblemResolvedV1)
            return Resolution(
                fingerprint=over.fingerprint,
                actor=over.service,
                summary=over.summary,
                at=over.occurred_at,
                event_id=event_id,
                traceparent=trace,
            )
        return None

    def _heartbeat(self, beat: HeartbeatV1, envelope: Envelope) -> NewNotice:
        """The dead-man's switch: a notice like any other, to whom the routes send ``heartbeat``."""
        labels = Labels(environment=self._environment, kind=HEARTBEAT, service=beat.service)
        chosen = self._routes.choose(labels)
        return NewNotice(
            id=new_id(),
            subject=f"heartbeat:{envelope.id}",
            transition=HEARTBEAT,
            sequence=0,
            kind=HEARTBEAT,
            severity="info",
            event_id=envelope.id,
            occurred_at=beat.occurred_at,
            document=render_heartbeat(beat.occurred_at, environment=self._environment, words=self._words),
            reason=None if chosen else NO_ROUTE,
            traceparent=envelope.traceparent,
            chosen=chosen,
            labels=labels,
        )

    def _order_notice(self, fact: OrderFact, envelope: Envelope) -> NewNotice:
        order = fact.order
        labels = Labels(
            environment=self._environment,
            kind=fact.kind,
            source=order.source,
            store_id=order.store_id,
            zone=order.zone,
            order_number=order.number,
        )
        chosen = self._routes.choose(labels) if fact.tell else ()
        return NewNotice(
            id=new_id(),
            subject=f"order:{order.number}",
            transition=f"{fact.kind}:{order.version}",
            sequence=order.version,
            kind=fact.kind,
            severity="info",
            event_id=envelope.id,
            occurred_at=envelope.time,
            order_number=order.number,
            document=render_order(fact, self._words) if chosen else None,
            reason=None if chosen else (NO_ROUTE if fact.tell else _NOT_TOLD),
            traceparent=envelope.traceparent,
            chosen=chosen,
            labels=labels if fact.tell else None,
        )

    async def _behind_their_past(self, notifications: NotificationStore, notices: list[NewNotice]) -> list[NewNotice]:
        """Hold back what follows a version that has not been seen: another replica may be taking that in right now.

        Versions may skip, so the hold is short and only once.
        """
        here = {(notice.order_number, notice.sequence) for notice in notices if notice.kind.startswith(_ORDER)}
        gaps = {
            (notice.order_number, notice.sequence - 1)
            for notice in notices
            if notice.chosen and notice.order_number and notice.kind.startswith(_ORDER) and notice.kind != _CREATED
        } - here
        if not gaps:
            return notices
        unseen = gaps - await notifications.versions_seen([(str(number), version) for number, version in sorted(gaps)])
        return [
            replace(notice, hold_for=_HOLD_SECONDS)
            if notice.kind.startswith(_ORDER)
            and notice.kind != _CREATED
            and (notice.order_number, notice.sequence - 1) in unseen
            else notice
            for notice in notices
        ]


QUEUES = (NOTIFIER_ORDERS, NOTIFIER_REFUNDS, NOTIFIER_ALERTS)


def intake_handler(
    ingest_events: IngestEvents, *, notifications_on: Callable[[Connection], NotificationStore]
) -> Handler:
    """Return the handler of every queue: events become notices in the transaction of the inbox."""

    async def handle(connection: Connection, envelopes: Sequence[Envelope]) -> None:
        """Take a batch in."""
        await ingest_events(notifications_on(connection), envelopes)

    return handle
