"""A refund is requested: over HTTP (``POST /refunds/v1/refunds``) or by ``orders.refund.wanted.v1``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation

from common.contracts.orders import RefundLine, RefundWantedV1
from common.errors import FieldError
from common.ids import new_id
from refunds.payments.model import CurrencyMismatch, DoesNotFit, GatewayRoutes, fit
from refunds.providers.model import Attempt, first_key
from refunds.refunds.attempt import publish_attempt
from refunds.refunds.errors import BusinessKeyReused, LinesDoNotAddUp, NoPayment
from refunds.refunds.lines import LineKind, RefundedLine, RequestedLine, price
from refunds.refunds.model import Refund
from refunds.refunds.states import RefundState
from refunds.refunds.store import RefundStore
from refunds.refunds.transition import announce


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """What somebody asks for.

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
    lines: tuple[RequestedLine, ...] = ()
    source: str | None = None


def from_event(event: RefundWantedV1, traceparent: str | None) -> RefundRequest:
    """Return what an event asks for. Raises ``LinesDoNotAddUp`` on quantities that are none."""
    return RefundRequest(
        order_number=event.order_number,
        payment_id=event.payment_id,
        amount=event.amount,
        currency=event.currency,
        reason=event.reason,
        business_key=event.business_key,
        traceparent=traceparent,
        lines=tuple(_line(line) for line in event.lines),
        source=event.source,
    )


def _line(line: RefundLine) -> RequestedLine:
    try:
        quantity, of_quantity = Decimal(line.quantity), Decimal(line.of_quantity)
    except InvalidOperation:
        raise LinesDoNotAddUp(f"the quantity of line {line.id} is no number") from None
    if not (quantity.is_finite() and of_quantity.is_finite() and 0 < quantity <= of_quantity and line.paid >= 0):
        raise LinesDoNotAddUp(f"the quantities of line {line.id} cannot be")
    return RequestedLine(line.id, LineKind(line.kind), quantity, of_quantity, line.paid)


async def request_refund(
    store: RefundStore,
    request: RefundRequest,
    *,
    gateways: GatewayRoutes,
    actor: str,
    now: datetime,
    patient: bool = False,
) -> Refund:
    """Make the refund, inside the caller's transaction, or return the one that the business key stands for already.

    The payment's row is locked, so concurrent requests are decided one after another, and the database refuses a sum over what was
    captured besides. While the captured sum is not known the refund waits in CREATE without holding anything; it is settled before
    anything is sent. So it does (``patient``), when what is captured may have changed since and it does not fit; otherwise that is
    refused at once. Raises, having written nothing: ``NoPayment``, ``BusinessKeyReused``, ``DoesNotFit``, ``LineConflict``,
    ``LinesDoNotAddUp``.
    """
    payment_id = request.payment_id
    if not payment_id:
        raise NoPayment(f"order {request.order_number} has no payment of ours to refund")
    known = await store.by_business_key(request.business_key)
    if known is not None:
        return await ensure_same(store, known, request)
    await store.payments.ensure(payment_id, gateway=gateways.choose(payment_id, source=request.source))
    payment = await store.payments.lock(payment_id)
    known = await store.by_business_key(request.business_key)  # again: another may have had the lock before
    if known is not None:
        return await ensure_same(store, known, request)
    lines = await priced(store, request, payment_id)
    amount = sum(line.amount for line in lines) if lines else request.amount
    fitting = fit(payment, amount=amount, currency=request.currency)
    must_be_asked = payment.must_be_asked(amount=amount, currency=request.currency, now=now)
    if must_be_asked and (patient or amount is None) and not isinstance(fitting, CurrencyMismatch):
        fitting = None
    if isinstance(fitting, DoesNotFit):
        raise fitting
    refund = Refund(
        id=new_id(),
        business_key=request.business_key,
        order_number=request.order_number,
        payment_id=payment_id,
        amount=amount if fitting is None else fitting,
        currency=request.currency,
        reason=request.reason,
        state=RefundState.CREATE,
        version=1,
        attempt=1,
        reserved=fitting or 0,
        tries=0,
        declines=0,
        error=None,
        next_attempt_at=None,  # until TCreateRefund begins the attempt
        created_at=now,
        state_since=now,
        traceparent=request.traceparent,
        everything=amount is None,
    )
    if not await store.add(refund, happened="wanted", actor=actor):
        # The key was taken at the same moment for another payment; under one payment the lock has sorted that out.
        raise BusinessKeyReused(f"business key {request.business_key} was just used for another payment")
    await store.add_attempt(
        Attempt(
            refund_id=refund.id,
            number=1,
            gateway=payment.gateway,
            gateway_key=first_key(payment_id, refund.business_key),
            began_at=now,
            sent_at=None,
            gateway_refund_id=None,
        )
    )
    await store.add_lines(refund, lines)
    await announce(store, refund, now=now, actor=actor, detail=request.reason, lines=lines)
    await publish_attempt(store, refund, now=now)
    return refund


async def priced(store: RefundStore, request: RefundRequest, payment_id: str) -> tuple[RefundedLine, ...]:
    """Return what each line comes to after earlier refunds of it. Raises ``LineConflict``, ``LinesDoNotAddUp``."""
    if not request.lines:
        return ()
    lines = price(request.lines, await store.lines_taken(payment_id))
    total, wanted = sum(line.amount for line in lines), request.amount
    if total == 0 or wanted not in {None, total}:
        raise LinesDoNotAddUp(f"the lines come to {total}, not to {'more than nothing' if total == 0 else wanted}")
    return lines


async def ensure_same(store: RefundStore, known: Refund, request: RefundRequest) -> Refund:
    """Return the refund that the key stands for, if it is what is asked for now. Raises ``BusinessKeyReused``, which says its sum."""
    lines = {(line.id, line.kind, line.quantity, line.of_quantity, line.paid) for line in await store.lines(known.id)}
    asked = {(line.id, line.kind, line.quantity, line.of_quantity, line.paid) for line in request.lines}
    if request.amount is None:
        # Refunds of before do not say whether everything was asked for.
        same_sum = bool(request.lines) or known.everything is not False
    else:
        same_sum = request.amount == known.amount and (not known.everything or bool(request.lines))
    same_order = (known.order_number, known.payment_id) == (request.order_number, request.payment_id)
    if same_order and same_sum and lines == asked and known.currency == request.currency:
        return known
    total = "everything captured" if known.amount is None else f"{known.amount} {known.currency}"
    where = f" of order {known.order_number}" if same_order else " of another order or payment"
    raise BusinessKeyReused(
        f"business key {request.business_key} stands for refund {known.id}{where}, of {total} in minor units",
        fields=(FieldError("amount", "refunded_under_this_key", total),),
    )
