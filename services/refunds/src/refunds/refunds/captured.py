"""What was captured of a payment, asked again: a payment changes after it was asked first (captured later, in parts, or given back)."""

from __future__ import annotations

from common.clock import Clock
from refunds.payments.model import Payment
from refunds.providers.calls import GatewayCalls
from refunds.providers.gateway import GatewayAway, GatewayRefused, GatewaySilent
from refunds.providers.model import PaymentInfo
from refunds.refunds.settle import save_captured
from refunds.refunds.store import RefundTransactions


class RereadCaptured:
    """Asks the gateway anew, stores the sum, and settles the refunds that waited for it. Moves no money; safe to call at any time."""

    def __init__(self, transactions: RefundTransactions, calls: GatewayCalls, clock: Clock) -> None:
        self._transactions = transactions
        self._calls = calls
        self._clock = clock

    async def __call__(self, payment_id: str) -> bool:
        """Return whether the gateway said it. False for a payment that no refund was asked of, and when the gateway does not answer."""
        async with self._transactions.begin() as store:
            payment = await store.payments.find(payment_id)
        return payment is not None and await self._ask(payment)

    async def if_old(self, payment_id: str) -> bool:
        """The same for what was read some time ago; False when it is new."""
        async with self._transactions.begin() as store:
            payment = await store.payments.find(payment_id)
        return payment is not None and not payment.is_fresh(self._clock.now()) and await self._ask(payment)

    async def for_rehearsal(self, payment_id: str, *, gateway: str) -> PaymentInfo | None:
        """Return what the gateway says of a payment, and store nothing. None: it does not say, or it said so a moment ago.

        ``gateway``: the one that a payment would have of which no refund was asked yet.
        """
        async with self._transactions.begin() as store:
            payment = await store.payments.find(payment_id)
        if payment is not None and payment.captured is not None and payment.is_fresh(self._clock.now()):
            return None
        return await self._read(payment_id, gateway=gateway if payment is None else payment.gateway)

    async def _ask(self, payment: Payment) -> bool:
        info = await self._read(payment.payment_id, gateway=payment.gateway)
        if info is None:
            return False
        async with self._transactions.begin() as store:
            await save_captured(store, payment.payment_id, info, now=self._clock.now())
        return True

    async def _read(self, payment_id: str, *, gateway: str) -> PaymentInfo | None:
        try:
            self._calls.admit(gateway, retry=False)
            return await self._calls.captured(gateway, payment_id=payment_id)
        except (GatewayAway, GatewayRefused, GatewaySilent):
            return None
