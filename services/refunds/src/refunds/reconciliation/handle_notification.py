"""A gateway notifies: look the refund up and apply what the gateway says. Nothing of a notification is believed but the name in it."""

from __future__ import annotations

from common.clock import Clock
from refunds.reconciliation.compare import CompareRefund
from refunds.refunds.captured import RereadCaptured
from refunds.refunds.states import OPEN
from refunds.refunds.store import RefundTransactions


class HandleNotification:
    """Safe to call at any time, twice, late or out of order, by anybody: it reads the gateway's present truth, whatever was said."""

    def __init__(
        self, transactions: RefundTransactions, compare: CompareRefund, reread: RereadCaptured, clock: Clock
    ) -> None:
        self._transactions = transactions
        self._compare = compare
        self._reread = reread
        self._clock = clock

    async def __call__(self, gateway: str, name: str) -> None:
        """Make a refund that is under way due now, so that the worker asks; compare a finished one at once, it may have been reversed.

        ``name`` may be a payment's too: then it is asked again what was captured. What is not ours is ignored.

        Raises ``GatewayAway``, ``GatewaySilent`` when a finished one cannot be looked up now: the gateway is to notify again.
        """
        async with self._transactions.begin() as store:
            found = await store.by_gateway_refund_id(gateway, name)
            if found is not None and found[0].state in OPEN:
                await store.make_due(found[0], now=self._clock.now())
                return
        if found is None:
            await self._reread(name)
        else:
            await self._compare(found[0].id)
