"""The workflows that an order's life begins or tells: tips and sum to pay, the document, the refund of a cancelled order.

They are told in the transaction that changes the order, so none is forgotten and none begins for a change that was rolled back.
"""

from __future__ import annotations

from datetime import datetime

from orchestrator.engine.model import ORDER_DOCUMENT, REFUND_REQUEST, UPDATE_TRANSACTIONS, NewEvent
from orchestrator.orders.model import OrderState, Status
from orchestrator.refunds.messages import to_workflow

ORDER_FINISHED = "order.finished"
ORDER_CLOSED = "order.closed"
ORDER_CHANGED = "order.changed"
REFUND_PUBLISHED = "refund.published"

_MONEY = ("status", "total_price", "total_discount_price", "payment_method", "payment_id", "finished_at")
_SHOWN = ("lines", "total_price", "total_discount_price", "store_id", "payment_method", "currency")


def tell_children(
    before: OrderState | None, after: OrderState, *, refund: bool, seq: int, now: datetime, traceparent: str | None
) -> list[NewEvent]:
    """Return what other workflows of the order are told. ``refund``: the refund of a cancellation was just asked for."""
    told: list[tuple[str, str, str]] = []
    was_finished = before is not None and before.status is Status.DELIVERED
    if after.status is Status.DELIVERED and not was_finished:
        told.append((UPDATE_TRANSACTIONS, "", ORDER_FINISHED))
    elif was_finished and _differ(before, after, _MONEY):
        told.append((UPDATE_TRANSACTIONS, "", ORDER_CHANGED))
    if after.closed and after.status is not Status.CANCELLED:
        if before is None or not before.closed or before.status is Status.CANCELLED:
            told.append((ORDER_DOCUMENT, "", ORDER_CLOSED))
        elif _differ(before, after, _SHOWN):
            told.append((ORDER_DOCUMENT, "", ORDER_CHANGED))
    events = [
        to_workflow(after.number, kind, name, str(seq), key=key, now=now, traceparent=traceparent)
        for kind, key, name in told
    ]
    if refund:
        events.append(_follow_cancellation(after, seq=seq, now=now, traceparent=traceparent))
    return events


def _follow_cancellation(order: OrderState, *, seq: int, now: datetime, traceparent: str | None) -> NewEvent:
    return to_workflow(
        order.number,
        REFUND_REQUEST,
        REFUND_PUBLISHED,
        str(seq),
        key=f"{order.number}:cancel",
        attributes={
            "payment_id": order.payment_id,
            "amount": None,
            "currency": order.currency,
            "reason": order.cancel_slug or "order_cancelled",
            "requested_by": "orchestrator",
        },
        now=now,
        traceparent=traceparent,
    )


def _differ(before: OrderState | None, after: OrderState, fields: tuple[str, ...]) -> bool:
    return any(getattr(before, name) != getattr(after, name) for name in fields)
