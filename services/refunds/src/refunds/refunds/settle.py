"""CREATE: settle the sum against what was captured, before anything is sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from refunds.differences.model import Difference, DifferenceKind
from refunds.payments.model import DoesNotFit, Payment, fit, is_cancellation
from refunds.providers.model import PaymentInfo
from refunds.refunds.differences import raise_difference, resolve_differences
from refunds.refunds.model import Refund
from refunds.refunds.states import Happened, RefundState
from refunds.refunds.store import RefundStore
from refunds.refunds.transition import move


async def save_captured(
    store: RefundStore, payment_id: str, info: PaymentInfo, *, now: datetime, cancelled: bool = False
) -> None:
    """Store what was captured and settle every refund that waited for it, oldest first, inside the caller's transaction.

    Nothing captured is not stored: the payment may still be captured, and will be asked again by the next refund. Less than is refunded
    or on its way is a difference, and nothing more can be refunded then. ``cancelled``: the payment was cancelled, so what was requested
    of all of it has come about without a refund.
    """
    payment = await store.payments.lock(payment_id)
    await tell_captured(store, replace(payment, captured=info.captured, currency=info.currency), now=now)
    known = replace(payment, captured=info.captured, currency=info.currency)
    if max(info.captured, payment.reserved) > 0:
        kept = replace(info, captured=max(info.captured, payment.reserved))
        known = await store.payments.save_captured(payment_id, kept, now=now)
    for refund in await store.not_held_whole(payment_id):
        known = await _hold(store, known, refund)
    for refund in await store.waiting_for_captured(payment_id):
        if cancelled and is_cancellation(info, amount=refund.amount, currency=refund.currency):
            detail = "nothing was captured: the payment was cancelled instead of refunded"
            await move(store, refund, Happened.CANCELLED, now=now, detail=detail)
        else:
            known = await _settle(store, known, refund, now=now)


async def tell_captured(store: RefundStore, payment: Payment, *, now: datetime) -> None:
    """Raise that the customer has or may have more than was captured, by refunds and by other ways together, or that this is over."""
    if payment.captured is None:
        return
    counted = await store.counted_whole(payment.payment_id)
    if payment.captured < counted:
        detail = (
            f"{payment.captured} {payment.currency} are captured, {counted} refunded, on their way or settled outside"
        )
        difference = Difference(
            DifferenceKind.CAPTURED_BELOW_REFUNDED,
            payment.gateway,
            payment.payment_id,
            detail,
            payment_id=payment.payment_id,
            amount=payment.captured,
            currency=payment.currency,
        )
        await raise_difference(store, difference, now=now)
    else:
        await resolve_differences(store, payment.payment_id, now=now)


async def _hold(store: RefundStore, payment: Payment, refund: Refund) -> Payment:
    """What the customer has counts as spent, as far as the payment has it."""
    available = payment.left + refund.reserved
    held = available if refund.amount is None else min(refund.amount, available)
    if held <= refund.reserved or payment.currency != refund.currency:
        return payment
    await store.save(refund, replace(refund, amount=refund.amount or held, reserved=held))
    return replace(payment, reserved=payment.reserved + held - refund.reserved)


async def reject_all(store: RefundStore, payment_id: str, *, code: str, detail: str, now: datetime) -> None:
    """The gateway does not know the payment: reject every refund that waited for it, inside the caller's transaction."""
    await store.payments.lock(payment_id)
    for refund in await store.waiting_for_captured(payment_id):
        await move(store, refund, Happened.DOES_NOT_FIT, now=now, error=code, detail=detail)


async def settle_waiting(store: RefundStore, payment_id: str, *, now: datetime) -> bool:
    """Settle the refunds that wait and fit what is known to be captured. False when the gateway has to be asked (anew) for one of them."""
    payment, all_settled = await store.payments.lock(payment_id), True
    for refund in await store.waiting_for_captured(payment_id):
        if payment.must_be_asked(amount=refund.amount, currency=refund.currency, now=now):
            all_settled = False
        else:
            payment = await _settle(store, payment, refund, now=now)
    return all_settled


async def _settle(store: RefundStore, payment: Payment, refund: Refund, *, now: datetime) -> Payment:
    verdict = fit(payment, amount=refund.amount, currency=refund.currency)
    if verdict is None:
        return payment
    if isinstance(verdict, DoesNotFit):
        await move(store, refund, Happened.DOES_NOT_FIT, now=now, error=verdict.code, detail=verdict.detail)
        return payment
    # One that waits for the gateway to come back need not wait any longer; one that TCreateRefund has not begun still does.
    due = None if refund.next_attempt_at is None else now
    await store.save(refund, replace(refund, amount=verdict, reserved=verdict, next_attempt_at=due))
    return replace(payment, reserved=payment.reserved + verdict)


def holds_its_sum(refund: Refund) -> bool:
    """Return whether the refund may be sent: it waits in CREATE and its sum is taken from the payment."""
    return refund.state is RefundState.CREATE and refund.amount is not None and refund.reserved == refund.amount
