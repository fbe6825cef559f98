"""The two queues: refunds that are requested, and attempts that are to be carried out."""

from __future__ import annotations

from collections.abc import Sequence

from common.clock import Clock
from common.contracts import Envelope, parse
from common.contracts.orders import RefundWantedV1
from common.contracts.refunds import TCreateRefundV1
from common.errors import Conflict, Unprocessable
from common.ids import derived_id
from common.postgres import Connection
from refunds.payments.model import GatewayRoutes
from refunds.refunds.attempt import begin_attempt
from refunds.refunds.confirm import ORCHESTRATOR
from refunds.refunds.errors import NotAskedFor
from refunds.refunds.request import from_event, request_refund
from refunds.refunds.states import RefundState
from refunds.refunds.store import RefundTransactions
from refunds.refunds.transition import publish_rejection


class RefundConsumers:
    """Each handler carries its events out in the consumer's transaction."""

    def __init__(self, transactions: RefundTransactions, clock: Clock, *, gateways: GatewayRoutes) -> None:
        self._transactions = transactions
        self._clock = clock
        self._gateways = gateways

    async def request_refunds(self, connection: Connection, envelopes: Sequence[Envelope]) -> None:
        """``refunds.wanted``: the same use case as over HTTP. What cannot be made is published as rejected."""
        store = self._transactions.store_on(connection)
        wanted = [(parse(envelope, RefundWantedV1), envelope.traceparent) for envelope in envelopes]
        # One order of locking payments for every replica, or two batches could wait for each other.
        for event, traceparent in sorted(wanted, key=lambda each: each[0].payment_id):
            try:
                request = from_event(event, traceparent)
                refund = await request_refund(
                    store, request, gateways=self._gateways, actor=ORCHESTRATOR, now=self._clock.now(), patient=True
                )
                if refund.state is RefundState.REJECTED and refund.error == NotAskedFor.code:
                    # Told once, when somebody else had asked; now it is a customer who gets nothing unless people hear of it.
                    raise NotAskedFor(
                        f"refund {refund.id} of this business key was rejected before the orchestrator asked for it: "
                        "ask for it again under another key"
                    )
            except (Conflict, Unprocessable) as error:
                event_id = derived_id("refund-wish-rejected", event.business_key, error.code)
                await publish_rejection(
                    store,
                    event,
                    code=error.code,
                    detail=error.detail,
                    event_id=event_id,
                    traceparent=traceparent,
                    now=self._clock.now(),
                )

    async def begin_attempts(self, connection: Connection, envelopes: Sequence[Envelope]) -> None:
        """``refunds.work``: TCreateRefund makes an attempt due, once per (refund, attempt)."""
        store = self._transactions.store_on(connection)
        events = [parse(envelope, TCreateRefundV1) for envelope in envelopes]
        for event in sorted(events, key=lambda event: event.refund_id):
            await begin_attempt(store, refund_id=event.refund_id, attempt=event.attempt, now=self._clock.now())


def attempt_key(envelope: Envelope) -> str:
    """Return what the inbox recognises a TCreateRefund by: refund and attempt, whoever published it under whatever id."""
    event = parse(envelope, TCreateRefundV1)
    return f"{event.refund_id}:{event.attempt}"
