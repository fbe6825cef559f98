"""The one reducer: worker, poll, notification and operator all change a refund's state through ``move``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from common.contracts.journal import JournalEntryV1
from common.contracts.orders import RefundWantedV1
from common.contracts.refunds import RefundRejectedV1, RefundStateChangedV1
from common.ids import derived_id
from refunds.providers.gateway import Impossible
from refunds.refunds.lines import RefundedLine
from refunds.refunds.model import Refund
from refunds.refunds.problems import update_problems
from refunds.refunds.states import Happened, Move, RefundState, Refuse, releases, rule
from refunds.refunds.store import RefundStore

SERVICE = "refunds"


async def move(
    store: RefundStore,
    refund: Refund,
    happened: Happened,
    *,
    now: datetime,
    actor: str = SERVICE,
    detail: str = "",
    error: str | None = None,
    next_attempt_at: datetime | None = None,
    **changes: Any,
) -> Refund:
    """Apply what happened, inside the caller's transaction, and return the refund as it is then.

    A move is compare-and-set on state and version; history, RefundStateChangedV1 and JournalEntryV1 go with it in the same
    transaction. A no-op of the state machine only writes ``changes`` and the schedule. A sum that is proven not to have gone out
    is released. ``changes`` are other fields of the refund. Raises ``Overtaken`` when somebody else was faster, ``Impossible``
    when the state machine refuses.
    """
    ruling = rule(refund.state, happened)
    if isinstance(ruling, Refuse):
        raise Impossible(f"refund {refund.id} in {refund.state.name}, {happened}: {ruling.why}")
    after = replace(refund, next_attempt_at=next_attempt_at, **changes)
    if not isinstance(ruling, Move):
        if error is not None:
            after = replace(after, error=error)  # why it waits
        await store.save(refund, after)
        return after
    if releases(refund.state, ruling.to):
        after = replace(after, reserved=0)
    after = replace(
        after, state=ruling.to, version=refund.version + 1, error=error, state_since=now, tries=changes.get("tries", 0)
    )
    if after.reserved != refund.reserved:
        await store.payments.lock(refund.payment_id)  # payments are locked before refunds
    await store.save(refund, after)
    await store.record(after, before=refund.state, happened=happened, actor=actor, detail=detail or error or "")
    await announce(store, after, now=now, actor=actor, detail=detail or error or "")
    if ruling.to is RefundState.REJECTED:
        event_id = derived_id("refund-rejected", after.id)
        await publish_rejection(
            store,
            after,
            code=error or "rejected",
            detail=detail,
            event_id=event_id,
            traceparent=after.traceparent,
            now=now,
        )
    await update_problems(store, after, before=refund.state, now=now)
    return after


async def announce(
    store: RefundStore, refund: Refund, *, now: datetime, actor: str, detail: str, lines: Sequence[RefundedLine] = ()
) -> None:
    """Publish the two events of a change of state: for other services, and for the order's timeline."""
    version = str(refund.version)
    changed = RefundStateChangedV1(
        refund_id=refund.id,
        order_number=refund.order_number,
        payment_id=refund.payment_id,
        business_key=refund.business_key,
        state=refund.state,
        state_name=refund.state_name,
        version=refund.version,
        attempt=refund.attempt,
        amount=refund.amount,
        currency=refund.currency,
        reason=refund.reason,
        error=refund.error,
        settled=refund.settled,
        released=refund.released,
        occurred_at=now,
    )
    journal = JournalEntryV1(
        order_number=refund.order_number,
        service=SERVICE,
        kind=f"refund.{refund.state.name.lower()}",
        actor=actor,
        summary=f"Refund {refund.id}: {refund.state.name}" + (f" ({detail})" if detail else ""),
        details={
            "refund_id": refund.id,
            "attempt": str(refund.attempt),
            "amount": "everything" if refund.amount is None else str(refund.amount),
            **({"lines": "; ".join(map(_line, lines))} if lines else {}),
            **({"detail": detail} if detail else {}),
        },
        occurred_at=now,
    )
    await store.publish_about(refund, changed, event_id=derived_id("refund", refund.id, version), now=now)
    await store.publish_about(refund, journal, event_id=derived_id("refund-journal", refund.id, version), now=now)


def _line(line: RefundedLine) -> str:
    return f"{line.kind} {line.id}: {line.quantity.normalize():f} of {line.of_quantity.normalize():f} = {line.amount}"


async def publish_rejection(
    store: RefundStore,
    requested: Refund | RefundWantedV1,
    *,
    code: str,
    detail: str,
    event_id: str,
    traceparent: str | None,
    now: datetime,
) -> None:
    """Publish that what was requested cannot be refunded."""
    rejected = RefundRejectedV1(
        order_number=requested.order_number,
        payment_id=requested.payment_id,
        business_key=requested.business_key,
        code=code,
        detail=detail,
        occurred_at=now,
    )
    await store.add_to_outbox(
        rejected, event_id=event_id, order_number=requested.order_number, traceparent=traceparent, now=now
    )
