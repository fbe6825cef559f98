"""Encodes what an order's tips and sum to pay produce: messages for other services, and lines of the order's timeline."""

from __future__ import annotations

from datetime import datetime

from common.contracts import orders
from common.money import to_decimal_string
from orchestrator.engine.messages import encode_message
from orchestrator.engine.model import Encoded, TimelineEntry, timeline_entry
from orchestrator.tips.model import Transactions

# The five places that zero tips, by the names they have here.
_ZEROED = {
    "refund": "The order was refunded in full; its tips are zero for good",
    "close_with_cash": "The order was closed with cash; its tips are zero for good",
    "mark_paid_in_cash": "The order was marked as paid in cash; its tips are zero for good",
    "move_back_to_cash": "The order was moved back to cash; its tips are zero for good",
    "courier_not_accepted": "The courier was not accepted; the tips of the order are zero for good",
}


def hold_requested(
    number: str, amount: int, currency: str, *, version: int, now: datetime, traceparent: str | None
) -> Encoded:
    """Return the request to hold an order's tips at a sum; 0 undoes an earlier hold.

    ``version`` is the order's, with the hold noted: one request a version.
    """
    message = orders.TipsHoldWantedV1(order_number=number, amount=amount, currency=currency, held_at=now)
    return encode_message(message, number, str(version), subject=number, now=now, traceparent=traceparent)


def hold_entry(number: str, amount: int, currency: str, *, now: datetime, traceparent: str | None) -> TimelineEntry:
    """Return the line that says that tips are to be held at a sum; 0 undoes an earlier hold."""
    details = {"amount": to_decimal_string(amount, currency), "currency": currency}
    summary = "The tips are to be held" if amount else "The hold of the tips is to be undone"
    return timeline_entry(number, "tips.hold_wanted", summary, now=now, traceparent=traceparent, details=details)


def zeroed_entry(
    number: str, reason: str, previous: int, currency: str, *, actor: str, now: datetime, traceparent: str | None
) -> TimelineEntry:
    """Return the line that says that an order's tips were set to zero for good."""
    details = {"reason": reason, "before": to_decimal_string(previous, currency), "currency": currency}
    return timeline_entry(
        number, "tips.zeroed", _ZEROED[reason], now=now, traceparent=traceparent, actor=actor, details=details
    )


def transactions_entry(row: Transactions, *, traceparent: str | None) -> TimelineEntry:
    """Return the line that says what an iteration of ``update_transactions`` came to."""
    details = {
        "sum_to_pay": to_decimal_string(row.sum_to_pay, row.currency),
        "tips": to_decimal_string(row.tips, row.currency),
        "currency": row.currency,
        "decided_by": row.decided_by,
    }
    if row.fallback is not None:
        details["fallback"] = row.fallback
    if row.next_check_at is not None:
        details["next_check_at"] = row.next_check_at.isoformat()
    summary = "The sum to pay and the tips were worked out"
    return timeline_entry(
        row.number, "transactions.updated", summary, now=row.computed_at, traceparent=traceparent, details=details
    )
