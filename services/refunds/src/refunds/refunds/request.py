"""A refund is wanted: over HTTP (``POST /refunds/v1/refunds``) or by ``orders.refund.wanted.v1``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from common.contracts.refunds import TCreateRefundV1
from common.ids import derived_id, new_id
from refunds.payments.choose import GatewayRoutes
from refunds.payments.model import DoesNotFit, Fits, fit
from refunds.providers.provider import RefundStore
from refunds.refunds.errors import BusinessKeyReused, LineConflict, LinesDoNotAddUp, NoPayment, does_not_fit
from refunds.refunds.lines import BadLine, RefundedLine, WantedLine, price
from refunds.refunds.model import Attempt, Refund, gateway_key
from refunds.refunds.states import RefundState
from refunds.refunds.transition import announce


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted.

    ``amount`` in minor units; None for the sum of ``lines``, or without lines for everything that is captured and not refunded. With
    both, they must agree. ``source`` is the order's, where it is known.
    """

    order_number: str
    payment_id: str | None
    amount: int | None
    currency: str
    reason: str
    business_key: str
    traceparent: str | None
    lines: tuple[WantedLine, ...] = ()
    source: str | None = None


async def request_refund(
    store: RefundStore, wish: Wish, *, gateways: GatewayRoutes, actor: str, now: datetime
) -> Refund:
    """Make the refund, inside the caller's transaction, or return the one that the business key stands for already.

    The payment's row is locked, so concurrent wishes are decided one after another, and the database refuses a sum over what was
    captured besides. While the captured sum is not known the refund waits in CREATE without holding anything; it is settled before
    anything is sent. Raises, having written nothing: ``NoPayment``, ``BusinessKeyReused``, ``ExceedsCaptured``, ``NothingLeft``,
    ``NothingCaptured``, ``CurrencyMismatch``, ``LineConflict``, ``LinesDoNotAddUp``.
    """
    if not wish.payment_id:
        raise NoPayment(f"order {wish.order_number} has no payment of ours to refund")
    known = await store.by_business_key(wish.business_key)
    if known is not None:
        return _same(known, wish)
    await store.ensure_payment(wish.payment_id, gateway=gateways.choose(wish.payment_id, source=wish.source))
    payment = await store.lock_payment(wish.payment_id)
    known = await store.by_business_key(wish.business_key)  # again: another may have had the lock before
    if known is not None:
        return _same(known, wish)
    lines = await _priced(store, wish)
    amount = sum(line.amount for line in lines) if lines else wish.amount
    verdict = fit(payment, amount=amount, currency=wish.currency)
    if isinstance(verdict, DoesNotFit):
        raise does_not_fit(verdict.code, verdict.detail)
    refund_id = new_id()
    refund = Refund(
        id=refund_id,
        business_key=wish.business_key,
        order_number=wish.order_number,
        payment_id=wish.payment_id,
        amount=verdict.amount if isinstance(verdict, Fits) else amount,
        currency=wish.currency,
        reason=wish.reason,
        state=RefundState.CREATE,
        version=1,
        attempt=1,
        reserved=verdict.amount if isinstance(verdict, Fits) else 0,
        tries=0,
        declines=0,
        error=None,
        next_attempt_at=None,  # TCreateRefund sets it going
        created_at=now,
        state_since=now,
        traceparent=wish.traceparent,
    )
    if not await store.add(refund, happened="wanted", actor=actor):
        # The key was taken at the same moment for another payment; under one payment the lock has sorted that out.
        raise BusinessKeyReused(f"business key {wish.business_key} was just used for another payment")
    await store.add_attempt(
        Attempt(
            refund_id=refund_id,
            number=1,
            gateway=payment.gateway,
            gateway_key=gateway_key(refund_id, 1),
            began_at=now,
            sent_at=None,
            gateway_refund_id=None,
        )
    )
    await store.add_lines(refund, lines)
    await announce(store, refund, now=now, actor=actor, detail=wish.reason, lines=lines)
    await order_work(store, refund, now=now)
    return refund


async def order_work(store: RefundStore, refund: Refund, *, now: datetime) -> None:
    """Promise TCreateRefund for the refund's present attempt. Its id is a function of (refund, attempt): it is consumed once."""
    await store.promise(
        TCreateRefundV1(refund_id=refund.id, attempt=refund.attempt),
        event_id=derived_id("tcreate-refund", refund.id, str(refund.attempt)),
        traceparent=refund.traceparent,
        order_number=refund.order_number,
        now=now,
    )


async def _priced(store: RefundStore, wish: Wish) -> tuple[RefundedLine, ...]:
    if not wish.lines:
        return ()
    lines = price(wish.lines, await store.lines_taken(wish.payment_id or ""))
    if isinstance(lines, BadLine):
        raise LineConflict(f"{lines.code}: {lines.detail}")
    total = sum(line.amount for line in lines)
    if total == 0 or wish.amount not in {None, total}:
        raise LinesDoNotAddUp(f"the lines come to {total}, not to {'more than nothing' if total == 0 else wish.amount}")
    return lines


def _same(known: Refund, wish: Wish) -> Refund:
    if (known.order_number, known.payment_id) != (wish.order_number, wish.payment_id):
        raise BusinessKeyReused(f"business key {wish.business_key} belongs to a refund of another order or payment")
    return known
