"""The events that the orchestrator sends, encoded.

Written as plain dictionaries and encoded once: this is the hot path, and validating each position of each event as a model costs more
than everything else in it. A test holds them against the models of ``common.contracts``, field by field.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from common.contracts import alerts, orders
from common.contracts.envelope import Envelope, Message
from common.ids import derived_id
from common.money import to_decimal_string
from orchestrator.orders.decisions import Announcement
from orchestrator.orders.difference import Difference
from orchestrator.orders.documents import encode_difference, encode_line, number_text
from orchestrator.orders.events import Hook, Line
from orchestrator.orders.model import Incident, IncidentKind, OrderState

SERVICE = "orchestrator"
SOURCE = "/orchestrator"

Encoded = tuple[str, bytes]
"""(type, encoded envelope), as the outbox takes it."""

_TYPES: Mapping[Hook, str] = {
    Hook.CREATED: orders.OrderCreatedV1.TYPE,
    Hook.CHANGED: orders.OrderChangedV1.TYPE,
    Hook.PAID: orders.OrderPaidV1.TYPE,
    Hook.RECEIVED: orders.OrderReceivedV1.TYPE,
    Hook.DELIVERED: orders.OrderDeliveredV1.TYPE,
    Hook.CANCELLED: orders.OrderCancelledV1.TYPE,
}
_WITH_DIFFERENCE = frozenset({Hook.CHANGED, Hook.PAID})

_SUMMARIES: Mapping[IncidentKind, str] = {
    IncidentKind.CREATED_DIFFERS: "The order came again with another content; the first content was kept",
    IncidentKind.CHANGED_AFTER_CLOSING: "The order was changed after it had been closed for changes; the change was not applied",
    IncidentKind.RECEIVED_AFTER_CANCELLING: "The order was handed to a courier after it had been cancelled",
    IncidentKind.DELIVERED_AFTER_CANCELLING: "The order was delivered after it had been cancelled",
}
_MOST_LINES = 10
_PERSONAL = frozenset({"comment"})  # free text of a customer: the order holds it, alerts do not


def announcement(
    item: Announcement, *, version: int, zone: str, tariff: str, now: datetime, traceparent: str | None
) -> Encoded:
    """Return the order event of an announcement. The same fact has the same id however often it is told."""
    fact, order = item.fact, item.order
    kind = orders.OrderCorrectedV1.TYPE if item.correction else _TYPES[fact.hook]
    data: dict[str, Any] = {
        "order": snapshot(order, version=version, zone=zone, tariff=tariff, updated_at=now),
        "notify": item.notify,
        "occurred_at": fact.moment,
    }
    if item.correction:
        data["difference"] = encode_difference(item.difference)
        data["late_event"] = fact.hook
    elif fact.hook in _WITH_DIFFERENCE:
        data["difference"] = encode_difference(item.difference)
    elif fact.hook is Hook.CANCELLED:
        data["slug"] = order.cancel_slug
        data["description"] = order.cancel_description
    event_id = derived_id(kind, order.number, fact.event_id)
    return kind, _encode(kind, data, event_id=event_id, subject=order.number, time=now, traceparent=traceparent)


def snapshot(order: OrderState, *, version: int, zone: str, tariff: str, updated_at: datetime) -> dict[str, Any]:
    """Return the contract's ``OrderSnapshot`` of a state."""
    return {
        "number": order.number,
        "source": order.source,
        "external_id": order.external_id,
        "version": version,
        "status": order.status,
        "closed_for_changes": order.closed,
        "shipped": order.shipped,
        "store_id": order.store_id,
        "zone": zone,
        "tariff": tariff,
        "comment": order.comment,
        "shipment_method": order.shipment_method,
        "replacement_policy": order.replacement_policy,
        "currency": order.currency,
        "positions": [encode_line(line) for line in order.lines],
        "total_price": order.total_price,
        "total_discount_price": order.total_discount_price,
        "payment_method": order.payment_method,
        "payment_id": order.payment_id,
        "updated_at": updated_at,
    }


def refund_wanted(order: OrderState, *, now: datetime, traceparent: str | None) -> Encoded:
    """Return the wish to give back all that was captured for a cancelled paid order (DECISIONS "Money")."""
    key = f"{order.number}:cancel"
    message = orders.RefundWantedV1(
        order_number=order.number,
        payment_id=order.payment_id or "",
        amount=None,
        currency=order.currency,
        reason=order.cancel_slug or "order_cancelled",
        business_key=key,
        source=order.source,
    )
    return encode_message(
        message, event_id=derived_id(message.TYPE, key), subject=order.number, now=now, traceparent=traceparent
    )


def problem_raised(
    incident: Incident, order: OrderState, *, seq: int, zone: str, now: datetime, traceparent: str | None
) -> Encoded:
    """Return the alert of an incident, with the difference in words.

    ``seq`` is the workflow event that brought it up: an incident that was resolved and comes up again is another event.
    """
    message = alerts.ProblemRaisedV1(
        kind=incident.kind,
        severity="warning",
        fingerprint=fingerprint(order.number, incident),
        summary=_SUMMARIES[incident.kind],
        details={
            "hook": incident.hook,
            "status": order.status,
            "sent_at": incident.moment.isoformat(),
            **_in_words(incident.difference, order.currency),
        },
        service=SERVICE,
        order_number=order.number,
        source=order.source,
        store_id=order.store_id,
        zone=zone,
        occurred_at=now,
    )
    event_id = derived_id(message.TYPE, message.fingerprint, str(seq))
    return encode_message(message, event_id=event_id, subject=order.number, now=now, traceparent=traceparent)


def problem_resolved(
    incident: Incident, order: OrderState, *, seq: int, now: datetime, traceparent: str | None
) -> Encoded:
    """Return the end of an incident that a late, older event explained."""
    message = alerts.ProblemResolvedV1(
        fingerprint=fingerprint(order.number, incident),
        summary="An older event arrived late and explains it",
        service=SERVICE,
        occurred_at=now,
    )
    event_id = derived_id(message.TYPE, message.fingerprint, str(seq))
    return encode_message(message, event_id=event_id, subject=order.number, now=now, traceparent=traceparent)


def fingerprint(number: str, incident: Incident) -> str:
    """Return what makes events one problem."""
    return f"order:{number}:{incident.identity}"


def encode_message(
    message: Message, *, event_id: str, subject: str | None, now: datetime, traceparent: str | None
) -> Encoded:
    """Encode a message that is not on the hot path."""
    envelope = Envelope.of(
        message, event_id=event_id, source=SOURCE, subject=subject, time=now, traceparent=traceparent
    )
    return message.TYPE, envelope.encode()


def _encode(
    kind: str, data: dict[str, Any], *, event_id: str, subject: str, time: datetime, traceparent: str | None
) -> bytes:
    envelope = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": kind,
        "subject": subject,
        "time": time,
        "datacontenttype": "application/json",
        "data": data,
    }
    if traceparent is not None:
        envelope["traceparent"] = traceparent
    return orjson.dumps(envelope, option=orjson.OPT_UTC_Z)


def _in_words(difference: Difference, currency: str) -> dict[str, str]:
    words: dict[str, str] = {}
    if difference.added:
        words["added"] = _list([_line(line, currency) for line in difference.added])
    if difference.removed:
        words["removed"] = _list([_line(line, currency) for line in difference.removed])
    if difference.changed:
        words["changed"] = _list(
            [f"{_line(item.before, currency)} → {_line(item.after, currency)}" for item in difference.changed]
        )
    for name, before, after in difference.fields:
        words[name] = "changed" if name in _PERSONAL else f"{before or '–'} → {after or '–'}"
    return words


def _list(items: list[str]) -> str:
    more = len(items) - _MOST_LINES
    return "; ".join(items[:_MOST_LINES]) + (f"; and {more} more" if more > 0 else "")


def _line(line: Line, currency: str) -> str:
    text = f"{line.id} × {'?' if line.quantity is None else number_text(line.quantity)}"
    return text if line.price is None else f"{text} at {to_decimal_string(line.price, currency)}"
