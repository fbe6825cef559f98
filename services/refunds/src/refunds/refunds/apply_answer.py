"""What a gateway's answer changes in a refund. Worker, poll, notification, reconciliation and restart all come through here."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from refunds.providers.model import Attempt, GatewayPolicy, GatewayStatus, Receipt
from refunds.refunds.model import Refund
from refunds.refunds.retry import RetryPolicy
from refunds.refunds.states import TERMINAL, Happened, RefundState
from refunds.refunds.store import RefundStore
from refunds.refunds.transition import move

_UNDER_WAY = frozenset({RefundState.SENDING, RefundState.PENDING, RefundState.UNKNOWN})
_MEANS = {
    GatewayStatus.OPENED: Happened.NOT_STARTED,
    GatewayStatus.PENDING: Happened.ACCEPTED,
    GatewayStatus.SUCCEEDED: Happened.SUCCEEDED,
    GatewayStatus.FAILED: Happened.FAILED,
    GatewayStatus.MISSING: Happened.NO_ANSWER,  # a refund that the gateway cannot find is no proof of anything
}


async def apply_answer(
    store: RefundStore,
    refund: Refund,
    attempt: Attempt,
    receipt: Receipt,
    *,
    policy: GatewayPolicy,
    retries: RetryPolicy,
    now: datetime,
    actor: str = "refunds",
) -> Refund:
    """Apply an answer about the refund's present attempt, inside the caller's transaction; return the refund as it is then.

    An answer that came late, twice or out of order is a named no-op of the state machine. Raises ``Overtaken`` when the refund is not in
    the state and version given any more.
    """
    if receipt.status is GatewayStatus.FAILED and refund.state in _UNDER_WAY:
        return await decline(
            store, refund, attempt, error="declined", detail=receipt.detail, policy=policy, retries=retries, now=now
        )
    if refund.state is RefundState.CREATE:
        return refund  # its worker asks before it sends anything
    if receipt.status is GatewayStatus.MISSING:
        if refund.state in TERMINAL or refund.state is RefundState.ERROR:
            return refund
        return await put_off(store, refund, attempt, error="gateway_forgot", retries=retries, now=now)
    if refund.state is RefundState.ERROR and receipt.status in {GatewayStatus.PENDING, GatewayStatus.SUCCEEDED}:
        return await adopt(store, refund, attempt, receipt, retries=retries, now=now, actor=actor, detail="")
    waits = receipt.status in {GatewayStatus.PENDING, GatewayStatus.OPENED} and refund.state in _UNDER_WAY
    tries = refund.tries + 1 if refund.state is RefundState.PENDING else 0
    reversal = refund.state is RefundState.SUCCESS and receipt.status is GatewayStatus.FAILED
    return await move(
        store,
        refund,
        _MEANS[receipt.status],
        now=now,
        actor=actor,
        detail=receipt.detail,
        error="reversed" if reversal else None,
        next_attempt_at=retries.poll_at(tries, now=now) if waits else None,
        tries=tries if waits else refund.tries,
    )


async def adopt(
    store: RefundStore,
    refund: Refund,
    attempt: Attempt,
    receipt: Receipt,
    *,
    retries: RetryPolicy,
    now: datetime,
    actor: str,
    detail: str,
) -> Refund:
    """Take over, for a refund in RS_ERROR, what the gateway has of it. No TCreateRefund: nothing is to be sent.

    It goes on as another attempt under the same key, so that a trouble after this one is a problem of its own.
    """
    payment = await store.payments.lock(refund.payment_id)
    name = attempt.gateway_refund_id or receipt.gateway_refund_id  # it may have been found by our key
    carried = replace(attempt.carried_on(now=now), gateway_refund_id=name)
    await store.add_attempt(carried)
    # The money is out or on its way, so it counts as spent again, as far as the payment has it.
    reserved = min(refund.amount or 0, payment.left + refund.reserved)
    pending = receipt.status is GatewayStatus.PENDING
    return await move(
        store,
        refund,
        _MEANS[receipt.status],
        now=now,
        actor=actor,
        detail=detail or receipt.detail,
        next_attempt_at=retries.poll_at(0, now=now) if pending else None,
        reserved=reserved,
        attempt=carried.number,
        declines=0,
    )


async def decline(
    store: RefundStore,
    refund: Refund,
    attempt: Attempt,
    *,
    error: str,
    detail: str,
    policy: GatewayPolicy,
    retries: RetryPolicy,
    now: datetime,
    again: bool = True,
) -> Refund:
    """A definite failure: decline, then another attempt with a new key, or a person. ``again`` False: it would be refused again."""
    declined = await move(
        store, refund, Happened.FAILED, now=now, error=error, detail=detail, declines=refund.declines + 1
    )
    if not again or declined.declines >= retries.declines:
        return await move(store, declined, Happened.GAVE_UP, now=now, error=error, detail=detail)
    following = attempt.after_failure(policy=policy, now=now)
    await store.add_attempt(following)
    return await move(
        store,
        declined,
        Happened.RETRIED,
        now=now,
        error=error,
        next_attempt_at=retries.retry_at(declined.declines, now=now),
        attempt=following.number,
    )


async def put_off(
    store: RefundStore,
    refund: Refund,
    attempt: Attempt,
    *,
    error: str,
    retries: RetryPolicy,
    now: datetime,
    happened: Happened = Happened.NO_ANSWER,
    away: bool = False,
) -> Refund:
    """No definite answer: wait, or give up when that has been so for too long. ``away``: this call definitely had no effect."""
    if retries.exhausted(refund, trying_since=attempt.began_at, now=now):
        detail = "no definite answer for too long"
        return await move(store, refund, Happened.GAVE_UP, now=now, error=error, detail=detail)
    lost = refund.state is RefundState.SENDING and happened is Happened.NO_ANSWER
    if refund.state is RefundState.PENDING:
        when = retries.poll_at(refund.tries, now=now)
    elif away or refund.state is RefundState.CREATE:
        when = retries.retry_at(refund.tries, now=now)
    else:
        when = retries.look_up_at(unknown_since=now if lost else refund.state_since, now=now)
    kept = refund.error if refund.state is RefundState.PENDING else error
    return await move(
        store, refund, happened, now=now, next_attempt_at=when, tries=1 if lost else refund.tries + 1, error=kept
    )
