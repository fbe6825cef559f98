"""The two queues: refunds that are wanted, and attempts that are to be carried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

from common.clock import Clock
from common.contracts import Envelope, parse
from common.contracts.orders import RefundLine, RefundWantedV1
from common.contracts.refunds import RefundRejectedV1, TCreateRefundV1
from common.errors import Conflict, SuiteError, Unprocessable
from common.ids import derived_id
from common.messaging import Handler
from common.postgres import Connection
from refunds.payments.choose import GatewayRoutes
from refunds.providers.provider import RefundStore
from refunds.refunds.begin import begin_attempt
from refunds.refunds.errors import LinesDoNotAddUp
from refunds.refunds.lines import LineKind, WantedLine
from refunds.refunds.request import Wish, request_refund

StoreOn = Callable[[Connection], RefundStore]
_ACTOR = "orchestrator"


def wanted_handler(*, store_on: StoreOn, clock: Clock, gateways: GatewayRoutes) -> Handler:
    """Return the handler of ``refunds.wanted``: the same use case as over HTTP. What cannot be made is published as rejected."""

    async def handle(connection: Connection, envelopes: Sequence[Envelope]) -> None:
        """Carry the events out in the consumer's transaction."""
        store = store_on(connection)
        wanted = [(parse(envelope, RefundWantedV1), envelope.traceparent) for envelope in envelopes]
        # One order of locking payments for every replica, or two batches could wait for each other.
        for event, traceparent in sorted(wanted, key=lambda each: each[0].payment_id):
            try:
                wish = _wish(event, traceparent)
                await request_refund(store, wish, gateways=gateways, actor=_ACTOR, now=clock.now())
            except (Conflict, Unprocessable) as error:
                await _reject(store, event, traceparent, error)

    async def _reject(store: RefundStore, event: RefundWantedV1, traceparent: str | None, error: SuiteError) -> None:
        now = clock.now()
        await store.promise(
            RefundRejectedV1(
                order_number=event.order_number,
                payment_id=event.payment_id,
                business_key=event.business_key,
                code=error.code,
                detail=error.detail,
                occurred_at=now,
            ),
            event_id=derived_id("refund-wish-rejected", event.business_key, error.code),
            order_number=event.order_number,
            traceparent=traceparent,
            now=now,
        )

    return handle


def work_handler(*, store_on: StoreOn, clock: Clock) -> Handler:
    """Return the handler of ``refunds.work``: TCreateRefund makes an attempt due, once per (refund, attempt)."""

    async def handle(connection: Connection, envelopes: Sequence[Envelope]) -> None:
        """Carry the events out in the consumer's transaction."""
        store = store_on(connection)
        events = [parse(envelope, TCreateRefundV1) for envelope in envelopes]
        for event in sorted(events, key=lambda event: event.refund_id):
            await begin_attempt(store, refund_id=event.refund_id, attempt=event.attempt, now=clock.now())

    return handle


def work_key(envelope: Envelope) -> str:
    """Return what the inbox recognises a TCreateRefund by: refund and attempt, whoever published it under whatever id."""
    event = parse(envelope, TCreateRefundV1)
    return f"{event.refund_id}:{event.attempt}"


def _wish(wanted: RefundWantedV1, traceparent: str | None) -> Wish:
    return Wish(
        order_number=wanted.order_number,
        payment_id=wanted.payment_id,
        amount=wanted.amount,
        currency=wanted.currency,
        reason=wanted.reason,
        business_key=wanted.business_key,
        traceparent=traceparent,
        lines=tuple(_line(line) for line in wanted.lines),
        source=wanted.source,
    )


def _line(line: RefundLine) -> WantedLine:
    try:
        quantity, of_quantity = Decimal(line.quantity), Decimal(line.of_quantity)
    except InvalidOperation:
        raise LinesDoNotAddUp(f"the quantity of line {line.id} is no number") from None
    if not (quantity.is_finite() and of_quantity.is_finite() and 0 < quantity <= of_quantity and line.paid >= 0):
        raise LinesDoNotAddUp(f"the quantities of line {line.id} cannot be")
    return WantedLine(line.id, LineKind(line.kind), quantity, of_quantity, line.paid)
