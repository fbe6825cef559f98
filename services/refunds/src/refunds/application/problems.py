"""The problems that a refund raises: one an attempt, with the evidence and what to do (M11, M21)."""

from __future__ import annotations

from datetime import datetime

from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.ids import derived_id
from refunds.application.ports import RefundStore
from refunds.domain.refund import Refund
from refunds.domain.states import RefundState

_WHAT_TO_DO = {
    RefundState.ERROR: "See runbook refunds-error: look the refund up at the gateway, then restart it "
    "(POST /admin/v1/refunds/{id}/restart); restarting asks the gateway first and cannot pay twice.",
    RefundState.REVERSED: "See runbook refunds-error: the gateway took a finished refund back; tell support, then make a new refund.",
}


async def problem_raised(store: RefundStore, refund: Refund, *, now: datetime) -> None:
    """Promise the event that a person is needed."""
    await store.promise(
        ProblemRaisedV1(
            kind=f"refund.{refund.state.name.lower()}",
            severity="critical",
            fingerprint=refund.fingerprint,
            summary=f"Refund {refund.id} is in {_name(refund.state)} after attempt {refund.attempt}",
            details={
                "refund_id": refund.id,
                "payment_id": refund.payment_id,
                "amount": "everything captured" if refund.amount is None else str(refund.amount),
                "currency": refund.currency,
                "attempt": str(refund.attempt),
                "version": str(refund.version),
                "error": refund.error or "",
                "money": "proven not to have gone out"
                if refund.reserved == 0
                else "may have gone out; counted as spent",
                "instruction": _WHAT_TO_DO[refund.state].replace("{id}", refund.id),
            },
            service="refunds",
            order_number=refund.order_number,
            occurred_at=now,
        ),
        event_id=derived_id("refund-problem", refund.id, str(refund.version)),
        traceparent=refund.traceparent,
        order_number=refund.order_number,
        now=now,
    )


async def problem_over(store: RefundStore, refund: Refund, *, became: RefundState, now: datetime) -> None:
    """Promise the event that the problem of this attempt is over: the refund left RS_ERROR."""
    await store.promise(
        ProblemResolvedV1(
            fingerprint=refund.fingerprint,
            summary=f"Refund {refund.id} left {_name(refund.state)} for {_name(became)}",
            service="refunds",
            occurred_at=now,
        ),
        event_id=derived_id("refund-problem-over", refund.id, str(refund.version)),
        traceparent=refund.traceparent,
        order_number=refund.order_number,
        now=now,
    )


def _name(state: RefundState) -> str:
    return {RefundState.ERROR: "RS_ERROR", RefundState.CREATE: "RS_CREATE"}.get(state, state.name)
