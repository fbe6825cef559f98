"""SENDING and UNKNOWN: bring a refund to the gateway so that it can be there only once."""

from __future__ import annotations

from common.clock import Clock
from refunds.providers.calls import GatewayCalls
from refunds.providers.gateway import GatewayRefused, GatewaySilent, Impossible
from refunds.providers.model import Attempt, GatewayStatus, Receipt
from refunds.refunds.model import Refund
from refunds.refunds.states import RefundState
from refunds.refunds.store import RefundTransactions


class SendRefund:
    """Ask before sending, wherever the gateway can be asked; send under the attempt's key only while the gateway knows it for certain.

    What may reach the gateway is committed before it can: that the key is used (``sent_at``), the gateway's id before the start. Both are
    refused when the refund has gone on meanwhile, so a worker that was held up for days neither sends nor starts anything.
    """

    def __init__(self, transactions: RefundTransactions, calls: GatewayCalls, clock: Clock) -> None:
        self._transactions = transactions
        self._calls = calls
        self._clock = clock

    async def __call__(self, refund: Refund, attempt: Attempt) -> Receipt:
        """Return what the gateway says of the attempt now.

        Raises ``GatewayAway`` (this call had no effect), ``GatewaySilent`` (not known), ``GatewayRefused`` only when that proves that no
        money went out under this attempt, ``Overtaken``.
        """
        policy = self._calls.policy(attempt.gateway)
        may_send = attempt.may_send(self._clock.now(), policy=policy)
        if attempt.gateway_refund_id is not None:
            receipt = await self._look_up(refund, attempt)  # a start may have been lost, or may be on its way
        elif not may_send:
            if attempt.never_started(policy):
                return Receipt(GatewayStatus.FAILED, None, "never_started")
            receipt = await self._look_up(refund, attempt)
            if receipt.gateway_refund_id is not None:
                attempt = await self._save_id(refund, attempt, receipt)
        else:
            receipt, attempt = await self._create(refund, attempt)
        if receipt.status is not GatewayStatus.OPENED:
            return receipt
        if not may_send:
            raise GatewaySilent("made and not started, and the key may be forgotten: a person has to restart it")
        if attempt.sent_at is None:
            attempt = await self._mark_sent(refund, attempt)
        try:
            return await self._calls.start(attempt)
        except GatewayRefused as error:
            raise GatewaySilent(error.detail) from error

    async def _create(self, refund: Refund, attempt: Attempt) -> tuple[Receipt, Attempt]:
        if refund.amount is None:
            raise Impossible(f"refund {refund.id} is sent without a sum")
        policy = self._calls.policy(attempt.gateway)
        first = attempt.sent_at is None
        if refund.state is RefundState.UNKNOWN and policy.finds_by_key:
            receipt = await self._look_up(refund, attempt)
            if receipt.status is not GatewayStatus.MISSING:
                return receipt, await self._save_id(refund, attempt, receipt)
        if first:
            attempt = await self._mark_sent(refund, attempt)
        try:
            receipt = await self._calls.create(
                attempt, payment_id=refund.payment_id, amount=refund.amount, currency=refund.currency
            )
        except GatewayRefused as error:
            if first or attempt.never_started(policy):
                raise
            # PayPal's trap: an earlier call may have paid, and its repeat is refused because nothing is left.
            raise GatewaySilent(error.detail) from error
        return receipt, await self._save_id(refund, attempt, receipt)

    async def _look_up(self, refund: Refund, attempt: Attempt) -> Receipt:
        try:
            return await self._calls.look_up(attempt, payment_id=refund.payment_id)
        except GatewayRefused as error:
            raise GatewaySilent(error.detail) from error

    async def _mark_sent(self, refund: Refund, attempt: Attempt) -> Attempt:
        async with self._transactions.begin() as store:
            return await store.mark_sent(refund, attempt, now=self._clock.now())

    async def _save_id(self, refund: Refund, attempt: Attempt, receipt: Receipt) -> Attempt:
        if receipt.gateway_refund_id is None:
            raise GatewaySilent("the gateway gave the refund no id")
        async with self._transactions.begin() as store:
            return await store.save_gateway_refund_id(refund, attempt, receipt.gateway_refund_id)
