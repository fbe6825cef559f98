"""What an order's change sets off in its other workflows: the sum to pay and tips, the document, the refund of a cancelled order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from orchestrator.engine.model import ORDER_DOCUMENT, REFUND_REQUEST, SERVICE, UPDATE_TRANSACTIONS, NewEvent, new_event
from orchestrator.orders.model import OrderState, Status

ORDER_FINISHED = "order.finished"
ORDER_CLOSED = "order.closed"
ORDER_CHANGED = "order.changed"
REFUND_PUBLISHED = "refund.published"

Changed = Callable[[OrderState | None, OrderState], bool]


def _finished(before: OrderState | None, after: OrderState) -> bool:
    return after.status is Status.DELIVERED and not _was_finished(before)


def _changed_when_finished(before: OrderState | None, after: OrderState) -> bool:
    money = ("status", "total_price", "total_discount_price", "payment_method", "payment_id", "finished_at")
    return _was_finished(before) and _differ(before, after, money)


def _closed(before: OrderState | None, after: OrderState) -> bool:
    return _has_document(after) and not _has_document(before)


def _changed_when_closed(before: OrderState | None, after: OrderState) -> bool:
    shown = (
        "lines", "total_price", "total_discount_price", "store_id", "payment_method", "currency", "customer", "address",
        "delivery_window",
    )  # fmt: skip
    return _has_document(after) and _has_document(before) and _differ(before, after, shown)


FOLLOWERS: tuple[tuple[Changed, str, str], ...] = (
    (_finished, UPDATE_TRANSACTIONS, ORDER_FINISHED),
    (_changed_when_finished, UPDATE_TRANSACTIONS, ORDER_CHANGED),
    (_closed, ORDER_DOCUMENT, ORDER_CLOSED),
    (_changed_when_closed, ORDER_DOCUMENT, ORDER_CHANGED),
)
"""When the order changed so → the workflow that begins or goes on → the event it gets."""


def follower_events(
    before: OrderState | None, after: OrderState, *, refund: bool, seq: int, now: datetime, traceparent: str | None
) -> list[NewEvent]:
    """Return events for the order's other workflows: sum to pay and tips, the document, the refund of a cancelled order.

    They are appended in the transaction that changes the order, so none is forgotten and none begins for a change that was rolled back.
    ``refund``: the refund of a cancellation was just asked for.
    """
    events = [
        new_event(after.number, kind, event, str(seq), now=now, traceparent=traceparent)
        for changed, kind, event in FOLLOWERS
        if changed(before, after)
    ]
    if refund:
        asked = {
            "payment_id": after.payment_id,
            "amount": None,
            "currency": after.currency,
            "reason": after.cancel_slug or "order_cancelled",
            "requested_by": SERVICE,
        }
        key = f"{after.number}:cancel"
        events.append(
            new_event(
                after.number,
                REFUND_REQUEST,
                REFUND_PUBLISHED,
                str(seq),
                key=key,
                attributes=asked,
                now=now,
                traceparent=traceparent,
            )
        )
    return events


def _was_finished(before: OrderState | None) -> bool:
    return before is not None and before.status is Status.DELIVERED


def _has_document(order: OrderState | None) -> bool:
    return order is not None and order.closed and order.status is not Status.CANCELLED


def _differ(before: OrderState | None, after: OrderState, fields: tuple[str, ...]) -> bool:
    return any(getattr(before, name) != getattr(after, name) for name in fields)
