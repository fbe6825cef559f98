"""Messages about what happens to an order beyond its hooks, and the events that workflows of one order send each other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from common.contracts import alerts, orders
from common.ids import derived_id
from orchestrator.engine.model import NewEvent
from orchestrator.orders.messages import SERVICE, Encoded, encode_message


def to_workflow(
    number: str,
    kind: str,
    event_type: str,
    identity: str,
    *,
    key: str = "",
    attributes: Mapping[str, Any] | None = None,
    now: datetime,
    traceparent: str | None,
) -> NewEvent:
    """Return an event for another workflow of the same order. ``identity`` tells events of one type and order apart."""
    return NewEvent(
        order_number=number,
        kind=kind,
        key=key,
        type=event_type,
        event_id=derived_id(kind, number, key, event_type, identity),
        attributes=attributes or {},
        payload=b"",
        received_at=now,
        traceparent=traceparent,
    )


def hold_wanted(
    number: str, amount: int, currency: str, *, version: int, now: datetime, traceparent: str | None
) -> Encoded:
    """Return the wish to hold an order's tips at a sum (DECISIONS "Money"); 0 undoes an earlier hold.

    ``version`` is the order's, with the hold noted: one wish a version.
    """
    message = orders.TipsHoldWantedV1(order_number=number, amount=amount, currency=currency, held_at=now)
    event_id = derived_id(message.TYPE, number, str(version))
    return encode_message(message, event_id=event_id, subject=number, now=now, traceparent=traceparent)


def refund_wanted(
    number: str,
    payment_id: str,
    *,
    amount: int | None,
    currency: str,
    reason: str,
    business_key: str,
    source: str | None,
    now: datetime,
    traceparent: str | None,
) -> Encoded:
    """Return the wish that money goes back. The same business key has the same id, and gives the same refund."""
    message = orders.RefundWantedV1(
        order_number=number,
        payment_id=payment_id,
        amount=amount,
        currency=currency,
        reason=reason,
        business_key=business_key,
        source=source,
    )
    event_id = derived_id(message.TYPE, business_key)
    return encode_message(message, event_id=event_id, subject=number, now=now, traceparent=traceparent)


def refund_problem(
    number: str,
    business_key: str,
    kind: str,
    summary: str,
    *,
    details: Mapping[str, str],
    now: datetime,
    traceparent: str | None,
) -> Encoded:
    """Return the problem of a refund that was asked for and does not come about."""
    message = alerts.ProblemRaisedV1(
        kind=kind,
        severity="critical",
        fingerprint=f"{kind}:{business_key}",
        summary=summary,
        details=dict(details),
        service=SERVICE,
        order_number=number,
        occurred_at=now,
    )
    event_id = derived_id(message.TYPE, message.fingerprint)
    return encode_message(message, event_id=event_id, subject=number, now=now, traceparent=traceparent)


def refund_problem_over(
    number: str, business_key: str, kind: str, *, now: datetime, traceparent: str | None
) -> Encoded:
    """Return the end of such a problem."""
    message = alerts.ProblemResolvedV1(
        fingerprint=f"{kind}:{business_key}",
        summary="The refunds service has answered",
        service=SERVICE,
        occurred_at=now,
    )
    event_id = derived_id(message.TYPE, message.fingerprint)
    return encode_message(message, event_id=event_id, subject=number, now=now, traceparent=traceparent)
