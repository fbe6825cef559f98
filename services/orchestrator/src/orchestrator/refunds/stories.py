"""Lines of an order's timeline about what happens beyond its hooks. No customer's data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from common.money import to_decimal_string
from orchestrator.engine.model import Document, TimelineEntry, Transactions
from orchestrator.orders.stories import SERVICE

_ZEROED = {
    "refund": "The order was refunded in full; its tips are zero for good",
    "close_with_cash": "The order was closed with cash; its tips are zero for good",
    "mark_paid_in_cash": "The order was marked as paid in cash; its tips are zero for good",
    "move_back_to_cash": "The order was moved back to cash; its tips are zero for good",
    "courier_not_accepted": "The courier was not accepted; the tips of the order are zero for good",
}
ZEROED_REASONS = tuple(_ZEROED)
"""M17's five places, by the names they have here."""


def _entry(
    number: str,
    kind: str,
    summary: str,
    *,
    now: datetime,
    actor: str = SERVICE,
    details: Mapping[str, str] | None = None,
    traceparent: str | None = None,
) -> TimelineEntry:
    return TimelineEntry(
        order_number=number,
        occurred_at=now,
        service=SERVICE,
        kind=kind,
        actor=actor,
        summary=summary,
        details=details or {},
        traceparent=traceparent,
    )


def worked_out(row: Transactions, *, traceparent: str | None) -> TimelineEntry:
    """Tell what an iteration of ``update_transactions`` came to."""
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
    return _entry(
        row.number,
        "transactions.updated",
        "The sum to pay and the tips were worked out",
        now=row.computed_at,
        details=details,
        traceparent=traceparent,
    )


def hold_wanted(number: str, amount: int, currency: str, *, now: datetime, traceparent: str | None) -> TimelineEntry:
    """Tell that tips are to be held at a sum; 0 undoes an earlier hold."""
    details = {"amount": to_decimal_string(amount, currency), "currency": currency}
    summary = "The tips are to be held" if amount else "The hold of the tips is to be undone"
    return _entry(number, "tips.hold_wanted", summary, now=now, details=details, traceparent=traceparent)


def zeroed(
    number: str, reason: str, previous: int, currency: str, *, actor: str, now: datetime, traceparent: str | None
) -> TimelineEntry:
    """Tell that the tips of an order were set to zero for good (M17)."""
    return _entry(
        number,
        "tips.zeroed",
        _ZEROED[reason],
        now=now,
        actor=actor,
        details={"reason": reason, "before": to_decimal_string(previous, currency), "currency": currency},
        traceparent=traceparent,
    )


def refund_step(
    number: str, business_key: str, kind: str, summary: str, *, now: datetime, actor: str, traceparent: str | None
) -> TimelineEntry:
    """Tell how far a refund that was asked for has come; ``kind`` is wanted, unanswered, answered, failed, rejected or done."""
    return _entry(
        number,
        f"refund_request.{kind}",
        summary,
        now=now,
        actor=actor,
        details={"business_key": business_key},
        traceparent=traceparent,
    )


def document_issued(document: Document, *, traceparent: str | None) -> TimelineEntry:
    """Tell that a version of the order's document was issued."""
    return _entry(
        document.order_number,
        "document.issued" if document.version == 1 else "document.reissued",
        f"Version {document.version} of the order's document was issued",
        now=document.issued_at,
        actor=document.issued_by,
        details={"version": str(document.version), "digest": document.digest, "reason": document.reason},
        traceparent=traceparent,
    )
