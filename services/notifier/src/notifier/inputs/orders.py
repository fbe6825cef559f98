"""Order events as notices for pickers and stores. Free text that people wrote is scrubbed of phones, mails and tokens here."""

from __future__ import annotations

import re
from dataclasses import replace

from common.contracts import Envelope, parse
from common.contracts.orders import (
    OrderCancelledV1,
    OrderChangedV1,
    OrderCorrectedV1,
    OrderCreatedV1,
    OrderDeliveredV1,
    OrderDifference,
    OrderEvent,
    OrderPaidV1,
    OrderReceivedV1,
    OrderSnapshot,
    Position,
)
from common.ids import new_id
from common.telemetry import scrub_text
from notifier.delivery.model import NewNotice
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.problems import NO_ROUTE
from notifier.messages.order_notices import Difference, Goods, Order, OrderFact, render_order
from notifier.messages.words import Words
from notifier.routing.model import Labels, Routes

ORDER_EVENTS: dict[str, type[OrderEvent]] = {
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
_NOT_NOTIFIED = "the orchestrator decided that nobody is told"
_MASK = "[masked]"
_MOST = 4000  # far more than any notice shows; keeps a text of a megabyte from costing anything
_GAP = r"[\s().\-\u2010-\u2015/_]{0,3}"
_TAIL = re.compile(r"[\d\s().\-\u2010-\u2015/_+]+\Z")
# Ten digits or more, however they are parted, are a phone to us: in a comment nothing else of that length is worth reading.
_LONG_NUMBER = re.compile(rf"\+?\d(?:{_GAP}\d){{9,}}")
_DATE = re.compile(r"(?<!\d)(\d{1,2}[./-]\d{1,2}[./-]20[2-4]\d|20[2-4]\d-\d{2}-\d{2})(?!\d)")


class OrderNotices:
    """Makes the notices of order events, for whom the routes name."""

    def __init__(self, *, routes: Routes, words: Words, environment: str) -> None:
        self._routes = routes
        self._words = words
        self._environment = environment

    def notice(self, envelope: Envelope) -> NewNotice:
        """Return the notice of an order event (one of ``ORDER_EVENTS``). Raises ``ValueError`` when it cannot be read."""
        fact = order_fact(parse(envelope, ORDER_EVENTS[envelope.type]))
        order = fact.order
        labels = Labels(
            environment=self._environment,
            kind=fact.kind,
            source=order.source,
            store_id=order.store_id,
            zone=order.zone,
            order_number=order.number,
        )
        chosen = self._routes.choose(labels) if fact.notify else ()
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
            reason=None if chosen else (NO_ROUTE if fact.notify else _NOT_NOTIFIED),
            traceparent=envelope.traceparent,
            chosen=chosen,
            labels=labels if fact.notify else None,
        )


async def held_behind_gaps(notifications: NotificationStore, notices: list[NewNotice]) -> list[NewNotice]:
    """Hold back notices that follow a version of their order which has not been seen: another replica may be taking that in right now.

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


def order_fact(event: OrderEvent) -> OrderFact:
    """Return what an order event says; its kind is the type without context's plural and version (``order.created``)."""
    difference = event.difference if isinstance(event, OrderChangedV1 | OrderPaidV1 | OrderCorrectedV1) else None
    reason = None
    if isinstance(event, OrderCancelledV1):
        reason = event.description or event.slug
    return OrderFact(
        kind=event.TYPE.removeprefix("orders.").rpartition(".")[0],
        order=_order(event.order),
        notify=event.notify,
        difference=None if difference is None else _difference(difference),
        reason=None if reason is None else free_text(reason),
    )


def free_text(text: str) -> str:
    """Mask phones (in every way people write them), mail addresses and tokens. Dates stay; what is beyond 4,000 characters goes."""
    if len(text) > _MOST:
        text = _TAIL.sub("", text[:_MOST]) + "…"  # not half a phone
    pieces = _DATE.split(scrub_text(text))
    return "".join(piece if index % 2 else _LONG_NUMBER.sub(_MASK, piece) for index, piece in enumerate(pieces))


def _order(order: OrderSnapshot) -> Order:
    return Order(
        number=order.number,
        external_id=order.external_id,
        version=order.version,
        status=order.status,
        source=order.source,
        store_id=order.store_id,
        zone=order.zone,
        comment=None if order.comment is None else free_text(order.comment),
        shipment_method=order.shipment_method,
        replacement_policy=order.replacement_policy,
        currency=order.currency,
        goods=tuple(_goods(position) for position in order.positions),
        total=order.total_price,
        discounted_total=order.total_discount_price,
    )


def _goods(position: Position) -> Goods:
    price = position.price if position.discount_price is None else position.discount_price
    return Goods(id=position.id, name=position.name, quantity=position.quantity, price=price)


def _difference(difference: OrderDifference) -> Difference:
    return Difference(
        added=tuple(_goods(position) for position in difference.added),
        removed=tuple(_goods(position) for position in difference.removed),
        changed=tuple((_goods(change.before), _goods(change.after)) for change in difference.changed),
        fields=tuple(
            (name, before if before is None else free_text(before), after if after is None else free_text(after))
            for name, before, after in difference.fields
        ),
    )
