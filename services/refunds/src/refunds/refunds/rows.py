"""Rows of the refunds database as the domain's values."""

from __future__ import annotations

from common.postgres import Record
from refunds.refunds.errors import Impossible
from refunds.refunds.lines import LineKind, RefundedLine
from refunds.refunds.model import Attempt, Payment, Refund
from refunds.refunds.states import RefundState


def refund_of(row: Record) -> Refund:
    """Turn a row of ``refunds`` into a refund."""
    return Refund(
        id=str(row["id"]),
        business_key=row["business_key"],
        order_number=row["order_number"],
        payment_id=row["payment_id"],
        amount=row["amount"],
        currency=row["currency"],
        reason=row["reason"],
        state=RefundState(row["state"]),
        version=row["version"],
        attempt=row["attempt"],
        reserved=row["reserved"],
        tries=row["tries"],
        declines=row["declines"],
        error=row["error"],
        next_attempt_at=row["next_attempt_at"],
        created_at=row["created_at"],
        state_since=row["state_since"],
        traceparent=row["traceparent"],
    )


def payment_of(row: Record | None) -> Payment:
    """Turn a row of ``payments`` into a payment; a refund without one is ``Impossible``."""
    if row is None:
        raise Impossible("a refund's payment is not there")
    return Payment(
        payment_id=row["payment_id"],
        gateway=row["gateway"],
        captured=row["captured"],
        currency=row["currency"],
        reserved=row["reserved"],
    )


def attempt_of(row: Record) -> Attempt:
    """Turn a row of ``refund_attempts`` into an attempt."""
    return Attempt(
        refund_id=str(row["refund_id"]),
        number=row["attempt"],
        gateway=row["gateway"],
        gateway_key=row["gateway_key"],
        began_at=row["began_at"],
        sent_at=row["sent_at"],
        gateway_refund_id=row["gateway_refund_id"],
    )


def line_of(row: Record) -> RefundedLine:
    """Turn a row of ``refund_lines`` into a line."""
    return RefundedLine(
        id=row["line_id"],
        kind=LineKind(row["kind"]),
        quantity=row["quantity"],
        of_quantity=row["of_quantity"],
        paid=row["paid"],
        amount=row["amount"],
    )
