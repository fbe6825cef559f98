"""A gateway notifies: look the refund up and apply what the gateway says. Nothing of a notification is believed but the name in it."""

from __future__ import annotations

from common.clock import Clock
from refunds.providers.provider import Transactions
from refunds.reconciliation.compare import ReconcileRefund
from refunds.refunds.model import Refund
from refunds.refunds.states import OPEN


class NoticeRefund:
    """Safe to call at any time, twice, late or out of order, by anybody: it reads the gateway's present truth, whatever was said."""

    def __init__(self, transactions: Transactions, reconcile: ReconcileRefund, clock: Clock) -> None:
        self._transactions = transactions
        self._reconcile = reconcile
        self._clock = clock

    async def __call__(self, gateway: str, gateway_refund_id: str) -> Refund | None:
        """Make a refund that is under way due now, so that the worker asks; compare a finished one at once, it may have been reversed.

        Returns the refund, None for what is not ours. Raises ``GatewayAway``, ``GatewaySilent`` when a finished one cannot be looked up
        now: the gateway is to notify again.
        """
        async with self._transactions.begin() as store:
            found = await store.by_gateway_refund_id(gateway, gateway_refund_id)
            if found is None:
                return None
            refund, _ = found
            if refund.state in OPEN:
                await store.hurry(refund, now=self._clock.now())
                return refund
        await self._reconcile(refund.id)
        return refund
