"""The problems that a refund raises: one per attempt, with the evidence and what to do, over when the refund ends well.

See docs/requirements.md#problem-orders-open-tickets.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.ids import derived_id
from refunds.providers.model import GatewayCall
from refunds.refunds.differences import raise_difference
from refunds.refunds.model import Refund, paid_after_close
from refunds.refunds.states import RefundState
from refunds.refunds.store import RefundStore

_WHAT_TO_DO = {
    RefundState.ERROR: "Look the refund up at the gateway and mend the cause with its people (runbook refunds-error), then restart it, "
    "on the refund's page in the console or by ordersctl refund restart {id}. It asks the gateway first and cannot pay twice. "
    "If people settled it otherwise: ordersctl refund close {id}.",
    RefundState.REVERSED: "The gateway took a finished refund back: the customer does not have the money. Tell support, then make a new "
    "refund under a new business key (runbook refunds-error).",
}
_ENDS_WELL = frozenset({RefundState.SUCCESS, RefundState.CANCELLED, RefundState.CLOSED})
_PAID = frozenset({RefundState.PENDING, RefundState.SUCCESS})
_MOST_CALLS = 12


async def update_problems(store: RefundStore, refund: Refund, *, before: RefundState, now: datetime) -> None:
    """Raise and resolve the problems of the state which the refund has just come into from ``before``, in the caller's transaction.

    RS_ERROR: a problem of this attempt, once, however often the attempt comes there; the one of an earlier attempt is over, so that a
    refund has one at a time. A good end, and closing: whatever was raised is over. REVERSED: a problem of its own, over when
    the refund leaves that state, and raised anew when it comes back. What people closed and the gateway pays after all is a difference,
    whoever learned of it.
    """
    if refund.state is RefundState.REVERSED:
        await _raise(store, refund, fingerprint=_reversal(refund), time=str(refund.version), now=now)
    elif refund.state is RefundState.ERROR:
        await _close(store, refund, before_attempt=refund.attempt, now=now)
        if await store.open_problem(refund, now=now):
            await _raise(store, refund, fingerprint=refund.fingerprint, now=now)
    elif refund.state in _ENDS_WELL:
        await _close(store, refund, before_attempt=refund.attempt + 1, now=now)
    if before is RefundState.REVERSED:
        await _end(store, refund, fingerprint=_reversal(refund), time=str(refund.version), now=now)
    if refund.settled is not None and refund.state in _PAID:
        attempt = await store.attempt(refund)
        await raise_difference(store, paid_after_close(refund, gateway=attempt.gateway), now=now)


async def _raise(store: RefundStore, refund: Refund, *, fingerprint: str, now: datetime, time: str = "") -> None:
    calls = await store.calls(refund.id, limit=_MOST_CALLS)
    kept = "proven not to have gone out" if refund.reserved == 0 else "may have gone out; counted as spent"
    kind = f"refund.{refund.state.name.lower()}"
    store.count_problem(kind)
    await store.publish_about(
        refund,
        ProblemRaisedV1(
            kind=kind,
            severity="critical",
            fingerprint=fingerprint,
            summary=f"Refund {refund.id} is in {_name(refund.state)} after attempt {refund.attempt}",
            details={
                "refund_id": refund.id,
                "payment_id": refund.payment_id,
                "amount": "everything captured" if refund.amount is None else str(refund.amount),
                "currency": refund.currency,
                "attempt": str(refund.attempt),
                "version": str(refund.version),
                "error": refund.error or "",
                "money": "taken back by the gateway" if refund.state is RefundState.REVERSED else kept,
                "calls": _listed(calls),
                "gateway_now": f"{calls[-1].answer} ({calls[-1].at:%Y-%m-%d %H:%M:%S}Z)" if calls else "was not asked",
                "instruction": _WHAT_TO_DO[refund.state].replace("{id}", refund.id),
            },
            service="refunds",
            order_number=refund.order_number,
            occurred_at=now,
        ),
        event_id=derived_id("refund-problem", fingerprint, time),
        now=now,
    )


async def _close(store: RefundStore, refund: Refund, *, before_attempt: int, now: datetime) -> None:
    for attempt in await store.close_problems(refund.id, before_attempt=before_attempt, now=now):
        await _end(store, refund, fingerprint=f"refund:{refund.id}:{attempt}", now=now)


async def _end(store: RefundStore, refund: Refund, *, fingerprint: str, now: datetime, time: str = "") -> None:
    resolved = ProblemResolvedV1(
        fingerprint=fingerprint,
        summary=f"Refund {refund.id} is in {_name(refund.state)}, attempt {refund.attempt}",
        service="refunds",
        occurred_at=now,
    )
    event_id = derived_id("refund-problem-over", fingerprint, time)
    await store.publish_about(refund, resolved, event_id=event_id, now=now)


def _reversal(refund: Refund) -> str:
    return f"refund-reversed:{refund.id}"


def _listed(calls: Sequence[GatewayCall]) -> str:
    """One line a call: when, what was asked, what came back."""
    return "\n".join(f"{call.at:%Y-%m-%d %H:%M:%S}Z {call.request}: {call.answer} ({call.outcome})" for call in calls)


def _name(state: RefundState) -> str:
    return {RefundState.ERROR: "RS_ERROR", RefundState.CREATE: "RS_CREATE"}.get(state, state.name)
