"""The incidents of differences: told once, over when both sides agree or a person has settled it."""

from __future__ import annotations

from datetime import datetime

from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.ids import derived_id
from refunds.differences.model import Difference
from refunds.differences.store import add_difference, close_differences
from refunds.refunds.store import RefundStore

_INSTRUCTION = (
    "Compare our refund with the gateway's own records (runbook refunds-differences). Nothing is paid or taken back by itself. When it "
    "is settled, in the console or by command: ordersctl difference adopt takes the gateway's side, ordersctl difference acknowledge notes "
    "that people have settled it; the incident ends with either, or when a reconciliation finds that both agree."
)


async def update_incident(
    store: RefundStore, difference: Difference | None, *, subject: str, but: str | None = None, now: datetime
) -> None:
    """Raise the difference's incident, once; without one, resolve the subject's, ``but`` for a kind that whoever calls cannot see.

    Inside the caller's transaction.
    """
    if difference is None:
        await resolve_differences(store, subject, but=but, now=now)
    else:
        await raise_difference(store, difference, now=now)


async def raise_difference(store: RefundStore, difference: Difference, *, now: datetime) -> None:
    """Store a difference and raise its incident, unless it is known. Inside the caller's transaction."""
    if not await add_difference(store.connection, difference, now=now):
        return
    store.count_problem("refund.difference")
    await store.add_to_outbox(
        ProblemRaisedV1(
            kind="refund.difference",
            severity="critical",
            fingerprint=difference.fingerprint,
            summary=f"Refund {difference.subject} and {difference.gateway} disagree: {difference.kind}",
            details={
                "difference": difference.kind,
                "detail": difference.detail,
                **({"refund_id": difference.refund_id} if difference.refund_id is not None else {}),
                "instruction": _INSTRUCTION,
            },
            service="refunds",
            order_number=difference.order_number,
            occurred_at=now,
        ),
        event_id=derived_id("refund-difference", difference.fingerprint, now.isoformat()),
        traceparent=None,
        order_number=difference.order_number or difference.subject,
        now=now,
    )


async def resolve_differences(store: RefundStore, subject: str, *, but: str | None = None, now: datetime) -> None:
    """End the subject's differences and their incidents."""
    for one in await close_differences(store.connection, subject, but=but, now=now):
        if one.acknowledged_at is None:
            summary = f"Refund {subject} and {one.difference.gateway} agree"
            await resolve_incident(store, one.difference, summary=summary, now=now)


async def resolve_incident(store: RefundStore, difference: Difference, *, summary: str, now: datetime) -> None:
    """Publish that a difference needs nobody any more. Inside the caller's transaction."""
    await store.add_to_outbox(
        ProblemResolvedV1(fingerprint=difference.fingerprint, summary=summary, service="refunds", occurred_at=now),
        event_id=derived_id("refund-difference-over", difference.fingerprint, now.isoformat()),
        traceparent=None,
        order_number=difference.order_number or difference.subject,
        now=now,
    )
