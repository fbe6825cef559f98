"""Hooks: appended to the workflows of their orders byte for byte, and read when they are carried out.

Reading is tolerant about form and strict about meaning: numbers may come as strings and strings as numbers, unknown fields are ignored
here and stay in the stored event.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import orjson

from common.contracts.envelope import Envelope
from common.contracts.intake import IntakeMessage
from common.errors import InvalidInput
from common.ids import order_number
from common.money import to_minor
from common.postgres import Connection
from orchestrator.engine.model import ORDER_LIFE, NewEvent, WorkflowEvent
from orchestrator.engine.store import append_events
from orchestrator.orders.model import HookType, Line, OrderFact

DEFAULT_CURRENCY = "RUB"
_SAID = ("source", "external_id", "body_form", "delivery_id", "lane", "sent_at", "digest", "currency")
_LARGEST_QUANTITY = Decimal(10) ** 11  # what the column of stock movements holds
_QUANTITY_DIGITS = Decimal("0.000001")


class UnreadableHook(InvalidInput):
    """The hook's body does not say what it has to. The same body will fail again."""

    code = "unreadable_hook"


class _UnfitError(ValueError):
    """A value that does not fit; becomes an ``UnreadableHook`` that names the event."""


async def append_hooks(connection: Connection, envelopes: Sequence[Envelope]) -> None:
    """Append hooks to the workflows of their orders, in the consumer's transaction.

    Bodies are read later, so that an unreadable one stops its own order and no other.
    """
    await append_events(connection, [to_workflow_event(envelope) for envelope in envelopes])


def event_id_of(envelope: Envelope) -> str:
    """Return what recognises a repeat.

    The gateway's id of ``created`` is the same whatever the content, so that the marketplace gets the same answer. Here a repeat with
    another content must be seen (it is an incident), so the content's digest is added.
    """
    digest = envelope.extension("contentdigest")
    if envelope.extension("hookevent") == HookType.CREATED.value and digest is not None:
        return f"{envelope.id}:{digest}"
    return envelope.id


def to_workflow_event(envelope: Envelope) -> NewEvent:
    """Return the event that the order's workflow is fed. The body is not looked into. Raises ``ValueError`` when it is no hook of ours."""
    hook = IntakeMessage.from_envelope(envelope)
    name = HookType(hook.event)
    if hook.external_id is None:
        raise ValueError(f"intake event {envelope.id} has no attribute externalid")
    said = ((name, getattr(hook, name)) for name in _SAID)
    event = WorkflowEvent(
        type=name.value,
        event_id=event_id_of(envelope),
        attributes={name: value for name, value in said if value is not None},
        payload=hook.body,
        traceparent=hook.traceparent,
        received_at=hook.received_at,
    )
    number = hook.number or order_number(hook.source, hook.external_id)
    return NewEvent(order_number=number, kind=ORDER_LIFE, event=event)


def to_fact(event: WorkflowEvent) -> OrderFact:
    """Read the hook out of a stored event. Raises ``UnreadableHook``."""
    attributes = event.attributes
    payload = _payload(event.payload, attributes["body_form"])
    payment = _object(payload, "payment")
    total = _object(payload, "total")
    cancellation = _object(payload, "cancellation")
    currency = _text(payload.get("currency")) or attributes.get("currency") or DEFAULT_CURRENCY
    try:
        return OrderFact(
            hook=HookType(event.type),
            event_id=event.event_id,
            arrival=event.seq,
            source=attributes["source"],
            external_id=attributes["external_id"],
            received_at=event.received_at,
            sent_at=_moment(attributes.get("sent_at")),
            digest=attributes.get("digest"),
            lines=_lines(payload.get("positions"), currency),
            store_id=_text(payload.get("storeID")),
            zone=_text(payload.get("zone")),
            tariff=_text(payload.get("tariff")),
            comment=_text(payload.get("comment")),
            shipment_method=_text(payload.get("shipmentMethod")),
            replacement_policy=_text(payload.get("replacementPolicy")),
            currency=currency,
            payment_method=_text(payment.get("method")),
            payment_id=_text(payment.get("id")),
            total_price=_sum(total.get("totalPrice"), currency),
            total_discount_price=_sum(total.get("discountTotalPrice"), currency),
            slug=_text(cancellation.get("slug")),
            description=_text(cancellation.get("description")),
        )
    except ValueError as error:
        raise UnreadableHook(f"{event.type}: {error}") from None


def _payload(body: bytes, form: str) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            document = json.loads(body.decode("utf-8-sig", "replace"), strict=False)
        except (ValueError, RecursionError):
            raise UnreadableHook("the body is no JSON") from None
    if form == "envelope" and isinstance(document, dict):
        document = document.get("payload")
    if not isinstance(document, dict):
        raise UnreadableHook("the payload is no JSON object")
    return document


def _object(payload: dict[str, Any], name: str) -> dict[str, Any]:
    value = payload.get(name)
    return value if isinstance(value, dict) else {}


def _lines(value: Any, currency: str) -> tuple[Line, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise _UnfitError("positions are no list")
    return tuple(_line(item, currency) for item in value)


def _line(item: Any, currency: str) -> Line:
    if not isinstance(item, dict):
        raise _UnfitError("a position is no object")
    identifier = _text(item.get("id"))
    if identifier is None:
        raise _UnfitError("a position has no id")
    return Line(
        id=identifier,
        name=_text(item.get("name")),
        quantity=_quantity(item.get("quantity")),
        original_quantity=_quantity(item.get("originalQuantity")),
        price=_sum(item.get("price"), currency),
        discount_price=_sum(item.get("discountPrice"), currency),
        total_price=_sum(item.get("totalPrice"), currency),
        total_discount_price=_sum(item.get("totalDiscountPrice"), currency),
        weight=_quantity(item.get("weight")),
    )


def _text(value: Any) -> str | None:
    # A NUL is the one character that PostgreSQL's text cannot hold.
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode() or None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None


def _sum(value: Any, currency: str) -> int | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise _UnfitError("a sum is no number")
    return _minor(value, currency)


# Prices and quantities are few and come again and again. Typed: the number 1 and the text "1" are read alike, but not True.
_minor = lru_cache(maxsize=8192, typed=True)(to_minor)


def _quantity(value: Any) -> Decimal | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise _UnfitError("a quantity is no number")
    return _decimal(value)


@lru_cache(maxsize=8192, typed=True)
def _decimal(value: str | float) -> Decimal:
    try:
        number = Decimal(str(value).strip().replace(",", "."))
    except InvalidOperation:
        raise _UnfitError("a quantity is no number") from None
    if not number.is_finite() or abs(number) >= _LARGEST_QUANTITY:
        raise _UnfitError("a quantity is out of bounds")
    exponent = number.as_tuple().exponent
    return number.quantize(_QUANTITY_DIGITS) if isinstance(exponent, int) and exponent < -6 else number


def _moment(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
