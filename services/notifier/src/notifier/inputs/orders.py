"""Order events as notices for pickers and stores. Free text that people wrote is scrubbed of phones, mails and tokens here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from common.contracts import Envelope, parse
from common.contracts.orders import (
    DeliveryWindow,
    OrderCancelledV1,
    OrderChangedV1,
    OrderCorrectedV1,
    OrderCreatedV1,
    OrderCustomer,
    OrderDeliveredV1,
    OrderDifference,
    OrderEvent,
    OrderPaidV1,
    OrderReceivedV1,
    OrderSnapshot,
    Position,
)
from common.ids import new_id
from common.reading import read_moment
from common.telemetry import scrub_text
from notifier.delivery.model import NewNotice
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.problems import NO_ROUTE
from notifier.messages.links import Links
from notifier.messages.order_notices import Difference, Goods, Order, OrderFact, render_order
from notifier.messages.words import Words
from notifier.routing.model import Chosen, Labels, Routes

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
_AT_A_TIME = 4000  # characters that are searched for a phone: patterns take longer than a text's length
_OF_A_PHONE = "0123456789().-\u2010\u2011\u2012\u2013\u2014\u2015/_+ \t\r\n\u00a0\u2009\u202f"
_GAP = r"[\s().\-\u2010-\u2015/_]{0,3}"
# Ten digits or more, however they are parted, are a phone to us: in a comment nothing else of that length is worth reading.
_LONG_NUMBER = re.compile(rf"\+?\d(?:{_GAP}\d){{9,}}")
_DATE = re.compile(r"(?<!\d)(\d{1,2}[./-]\d{1,2}[./-]20[2-4]\d|20[2-4]\d-\d{2}-\d{2})(?!\d)")


class OrderNotices:
    """Makes the notices of order events, for whom the routes name. ``console_url``: where people look the order up."""

    def __init__(self, *, routes: Routes, words: Words, environment: str, console_url: str | None = None) -> None:
        self._routes = routes
        self._words = words
        self._environment = environment
        self._console_url = console_url

    def notice(self, envelope: Envelope) -> NewNotice:
        """Return the notice of an order event (one of ``ORDER_EVENTS``). Raises ``ValueError`` when it cannot be read."""
        fact = order_fact(parse(envelope, ORDER_EVENTS[envelope.type]), console_url=self._console_url)
        order = fact.order
        labels = Labels(
            environment=self._environment,
            kind=fact.kind,
            source=order.source,
            store_id=order.store_id,
            zone=order.zone,
            order_number=order.number,
        )
        chosen = self._choose(fact, labels) if fact.notify else ()
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
            # Of an older orchestrator nothing is known.
            received_at=read_moment(envelope.extension("receivedat")),
            taken_at=read_moment(envelope.extension("takenat")),
            came_by=by if (by := envelope.extension("cameby") or "").isalpha() else None,
        )

    def _choose(self, fact: OrderFact, labels: Labels) -> tuple[Chosen, ...]:
        """Return who is told: those of the order's store, and those of the store that has it no longer."""
        chosen = self._routes.choose(labels)
        fields = () if fact.difference is None else fact.difference.fields
        left = next((before for name, before, _ in fields if name == "store_id"), None)
        if left is None:
            return chosen
        places = {(each.destination.chat, each.destination.topic) for each in chosen}
        others = self._routes.choose(replace(labels, store_id=left))
        return (*chosen, *(each for each in others if (each.destination.chat, each.destination.topic) not in places))


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


def order_fact(event: OrderEvent, *, console_url: str | None = None) -> OrderFact:
    """Return what an order event says; its kind is the type without context's plural and version (``order.created``)."""
    difference = event.difference if isinstance(event, OrderChangedV1 | OrderPaidV1 | OrderCorrectedV1) else None
    reason = None
    if isinstance(event, OrderCancelledV1):
        reason = event.description or event.slug
    return OrderFact(
        kind=event.TYPE.removeprefix("orders.").rpartition(".")[0],
        order=_order(event.order, console_url),
        notify=event.notify,
        difference=None if difference is None else _difference(difference),
        reason=None if reason is None else free_text(reason),
    )


def free_text(text: str) -> str:
    """Mask phones (in every way people write them), mail addresses and tokens. Dates stay, and so does everything else."""
    return "".join(map(_masked, _pieces(text)))


def _pieces(text: str) -> Iterator[str]:
    """Cut a long text where no phone and no word is cut in two, unless one alone is as long as a piece."""
    start = 0
    while len(text) - start > _AT_A_TIME:
        piece = text[start : start + _AT_A_TIME].rstrip(_OF_A_PHONE)
        size = piece.rfind(" ") + 1 or len(piece) or _AT_A_TIME
        yield text[start : start + size]
        start += size
    yield text[start:]


def _masked(text: str) -> str:
    pieces = _DATE.split(scrub_text(text))
    return "".join(piece if index % 2 else _LONG_NUMBER.sub(_MASK, piece) for index, piece in enumerate(pieces))


def _order(order: OrderSnapshot, console_url: str | None) -> Order:
    return Order(
        number=order.number,
        external_id=order.external_id,
        version=order.version,
        status=order.status,
        source=order.source,
        store_id=order.store_id,
        zone=order.zone,
        comment=None if order.comment is None else free_text(order.comment),
        shipment_method=None if order.shipment_method is None else free_text(order.shipment_method),
        replacement_policy=None if order.replacement_policy is None else free_text(order.replacement_policy),
        currency=order.currency,
        goods=tuple(_goods(position) for position in order.positions),
        total=order.total_price,
        discounted_total=order.total_discount_price,
        customer=_customer(order.customer),
        address=None if order.address is None else free_text(order.address),
        delivery_window=_window(order.delivery_window),
        link=Links(console_url).page("o", order.number),
    )


def _customer(customer: OrderCustomer | None) -> str | None:
    if customer is None:
        return None
    said = (customer.name, customer.phone, customer.email)
    return ", ".join(free_text(value) for value in said if value) or None


def _window(window: DeliveryWindow | None) -> str | None:
    if window is None:
        return None
    if window.starts is None and window.ends is None:
        return None if window.text is None else free_text(window.text)
    return _period(window.starts, window.ends)


def _period(starts: datetime | None, ends: datetime | None) -> str:
    """Write a period as people do, the day once: ``29.11.2026 18:00–20:00 (UTC+03:00)``."""
    first = starts or ends
    if first is None:
        return ""
    zone = f" ({first.tzname()})" if first.tzinfo is not None else ""
    begins = "…" if starts is None else f"{starts:%d.%m.%Y %H:%M}"
    if ends is None:
        return f"{begins}–…{zone}"
    same_day = starts is not None and starts.date() == ends.date() and starts.utcoffset() == ends.utcoffset()
    return f"{begins}–{ends:%H:%M}{zone}" if same_day else f"{begins} – {ends:%d.%m.%Y %H:%M}{zone}"


def _goods(position: Position) -> Goods:
    price = position.price if position.discount_price is None else position.discount_price
    return Goods(
        id=position.id, name=position.name, quantity=position.quantity, price=price, replaces=position.replaces
    )


def _difference(difference: OrderDifference) -> Difference:
    return Difference(
        added=tuple(_goods(position) for position in difference.added),
        removed=tuple(_goods(position) for position in difference.removed),
        changed=tuple((_goods(change.before), _goods(change.after)) for change in difference.changed),
        fields=tuple((name, _value(name, before), _value(name, after)) for name, before, after in difference.fields),
    )


def _value(name: str, value: str | None) -> str | None:
    if value is None or name == "store_id":
        return value
    if name == "delivery_window" and len(moments := value.split(" – ")) == 2:
        try:
            return _period(*(datetime.fromisoformat(moment) if moment else None for moment in moments))
        except ValueError:
            pass  # said in words
    return free_text(value)
