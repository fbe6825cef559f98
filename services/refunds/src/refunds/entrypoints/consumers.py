"""The two queues: refunds that are wanted, and attempts that are to be carried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from common.clock import Clock
from common.contracts import Envelope, parse
from common.contracts.orders import RefundWantedV1
from common.contracts.refunds import RefundRejectedV1, TCreateRefundV1
from common.errors import Conflict
from common.ids import derived_id
from common.messaging import Handler
from common.postgres import Connection
from refunds.application.begin_attempt import begin_attempt
from refunds.application.ports import RefundStore
from refunds.application.request_refund import Wish, request_refund

StoreOn = Callable[[Connection], RefundStore]
_ACTOR = "orchestrator"


def wanted_handler(*, store_on: StoreOn, clock: Clock, gateway: str) -> Handler:
    """Return the handler of ``refunds.wanted``: the same use case as over HTTP. What cannot be made is published as rejected."""

    async def handle(connection: Connection, envelopes: Sequence[Envelope]) -> None:
        """Carry the events out in the consumer's transaction."""
        store = store_on(connection)
        wishes = [_wish(envelope) for envelope in envelopes]
        # One order of locking payments for every replica, or two batches could wait for each other.
        for wish in sorted(wishes, key=lambda wish: wish.payment_id or ""):
            try:
                await request_refund(store, wish, gateway=gateway, actor=_ACTOR, now=clock.now())
            except Conflict as error:
                await _reject(store, wish, error)

    async def _reject(store: RefundStore, wish: Wish, error: Conflict) -> None:
        now = clock.now()
        await store.promise(
            RefundRejectedV1(
                order_number=wish.order_number,
                payment_id=wish.payment_id or "",
                business_key=wish.business_key,
                code=error.code,
                detail=error.detail,
                occurred_at=now,
            ),
            event_id=derived_id("refund-wish-rejected", wish.business_key, error.code),
            order_number=wish.order_number,
            traceparent=wish.traceparent,
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


def _wish(envelope: Envelope) -> Wish:
    wanted = parse(envelope, RefundWantedV1)
    return Wish(
        order_number=wanted.order_number,
        payment_id=wanted.payment_id,
        amount=wanted.amount,
        currency=wanted.currency,
        reason=wanted.reason,
        business_key=wanted.business_key,
        traceparent=envelope.traceparent,
    )
