"""Encodes what a refund that was asked for produces: messages for other services, and lines of the order's timeline."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from common.contracts import alerts, orders
from orchestrator.engine.messages import encode_message, problem_over
from orchestrator.engine.model import SERVICE, Claim, Encoded, TimelineEntry, timeline_entry
from orchestrator.refunds.model import RefundRequest


def refund_requested(request: RefundRequest, *, source: str | None, now: datetime, traceparent: str | None) -> Encoded:
    """Return the message that asks for the money. The same business key has the same id, and gives the same refund."""
    message = refund_wanted(request, source=source)
    return encode_message(message, request.business_key, subject=request.order_number, now=now, traceparent=traceparent)


def refund_wanted(request: RefundRequest, *, source: str | None) -> orders.RefundWantedV1:
    """Return what a request asks the refunds service for."""
    goods = tuple(
        orders.RefundLine(id=part.id, quantity=part.quantity, of_quantity=part.of_quantity, paid=part.paid)
        for part in request.goods
    )
    tips = (orders.RefundLine(id="tips", kind="tips", paid=request.tips),) if request.tips else ()
    return orders.RefundWantedV1(
        order_number=request.order_number,
        payment_id=request.payment_id,
        amount=None if goods else request.amount,  # the refunds service works it out
        currency=request.currency,
        reason=request.reason,
        business_key=request.business_key,
        lines=(*goods, *tips),
        source=source,
    )


def refund_problem(
    claim: Claim, kind: str, summary: str, *, details: Mapping[str, str], now: datetime, traceparent: str | None
) -> Encoded:
    """Return the problem of a refund that does not come about."""
    message = alerts.ProblemRaisedV1(
        kind=kind,
        severity="critical",
        fingerprint=f"{kind}:{claim.key}",
        summary=summary,
        details={"business_key": claim.key, **details},
        service=SERVICE,
        order_number=claim.order_number,
        occurred_at=now,
    )
    return encode_message(message, message.fingerprint, subject=claim.order_number, now=now, traceparent=traceparent)


def refund_problem_over(claim: Claim, kind: str, *, now: datetime) -> Encoded:
    """Return the end of such a problem."""
    summary, trace = "The refunds service has answered", claim.traceparent
    return problem_over(f"{kind}:{claim.key}", summary, subject=claim.order_number, now=now, traceparent=trace)


def refund_entry(
    claim: Claim, kind: str, summary: str, *, now: datetime, traceparent: str | None, actor: str = "refunds"
) -> TimelineEntry:
    """Return a line of the timeline; ``kind`` is wanted, unanswered, answered, failed, rejected or done."""
    return timeline_entry(
        claim.order_number,
        f"refund_request.{kind}",
        summary,
        now=now,
        traceparent=traceparent,
        actor=actor,
        details={"business_key": claim.key},
    )
