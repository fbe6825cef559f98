"""Compare one refund with all that its gateway has of it, finished or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.clock import Clock
from refunds.differences.model import Difference, DifferenceKind
from refunds.providers.calls import GatewayCalls
from refunds.providers.gateway import GatewayRefused, GatewaySilent
from refunds.providers.model import Attempt, GatewayStatus, Receipt
from refunds.reconciliation.model import judge
from refunds.refunds.apply_answer import ApplyAnswer
from refunds.refunds.differences import update_incident
from refunds.refunds.errors import Overtaken
from refunds.refunds.model import Refund
from refunds.refunds.states import RefundState
from refunds.refunds.store import RefundStore, RefundTransactions, Tells

_TRIES = 3
# Its id at the gateway may not be known, and no worker is at it, or none before its time: there it is looked for by our key.
_BY_KEY = frozenset({RefundState.UNKNOWN, RefundState.ERROR, RefundState.CLOSED})


@dataclass(frozen=True, slots=True)
class Looked:
    """A refund, its newest attempt, and what the gateway says of each attempt that it may know."""

    refund: Refund
    last: Attempt
    receipts: tuple[tuple[Attempt, Receipt], ...]

    def judge(self, refund: Refund) -> Difference | None:
        """Return what differs when the refund is as given: as it was looked at, or after the answers were applied."""
        # By the gateway's id: the reducer may have gone on to another attempt of the same refund there.
        number = self.last.number
        current = next((receipt.status for attempt, receipt in self.receipts if attempt.number == number), None)
        earlier = tuple(receipt.status for attempt, receipt in self.receipts if attempt.number != number)
        return judge(refund, gateway=self.last.gateway, current=current, earlier=earlier)


class CompareRefund:
    """Reads the gateway's present truth about every attempt of a refund and applies it. Moves no money.

    Safe to call at any time, twice, late or out of order. What still differs afterwards is a difference: an incident, raised once.
    """

    def __init__(
        self, transactions: RefundTransactions, calls: GatewayCalls, apply_answer: ApplyAnswer, clock: Clock
    ) -> None:
        self._transactions = transactions
        self._calls = calls
        self._apply_answer = apply_answer
        self._clock = clock

    async def __call__(
        self, refund_id: str, *, dry_run: bool = False, tells: Tells = lambda _: None
    ) -> tuple[bool, Difference | None]:
        """Return whether the refund changed its state, and what differs; with ``dry_run`` what would. ``tells`` gets the notices.

        Raises ``GatewayAway``, ``GatewaySilent`` when the gateway does not answer.
        """
        for _ in range(_TRIES):
            looked = await self.look(refund_id)
            if looked is None:
                return False, None
            told: list[str] = []
            opened = self._transactions.rehearse if dry_run else self._transactions.begin
            try:
                async with opened(tells=told.extend) as store:
                    after, difference = await self.apply(store, looked)
            except Overtaken:
                continue
            tells(told)
            return after.state is not looked.refund.state, difference
        return False, None

    async def look(self, refund_id: str) -> Looked | None:
        """Ask the gateway, outside any transaction; None when there is no such refund.

        Raises ``GatewayAway``, ``GatewaySilent`` when the gateway does not answer.
        """
        async with self._transactions.begin() as store:
            refund = await store.find(refund_id)
            attempts = [] if refund is None else await store.attempts(refund_id)
        if refund is None or not attempts:
            return None
        receipts = [(attempt, await self._look_up(refund, attempt)) for attempt in _at_gateway(attempts)]
        last = attempts[-1]
        if refund.state in _BY_KEY and last.gateway_refund_id is None and last.sent_at is not None:
            found = await self._look_up(refund, last)
            if found.status is not GatewayStatus.MISSING:  # which proves nothing here, see FindEvidence
                receipts.append((last, found))
        return Looked(refund, last, tuple(receipts))

    async def apply(self, store: RefundStore, looked: Looked) -> tuple[Refund, Difference | None]:
        """Apply what the gateway said, in the caller's transaction; return the refund then, and what differs. Raises ``Overtaken``."""
        refund, after = looked.refund, looked.refund
        await store.add_calls(self._calls.take_calls(refund.id))
        for attempt, receipt in looked.receipts:
            if attempt.number == looked.last.number and refund.state is not RefundState.CREATE:
                known = attempt
                if refund.state is RefundState.UNKNOWN and receipt.gateway_refund_id is not None:
                    known = await store.save_gateway_refund_id(refund, attempt, receipt.gateway_refund_id)
                after = await self._apply_answer(store, refund, known, receipt)
        difference = looked.judge(after)
        # Only the register says of what sum it is.
        but = DifferenceKind.AMOUNT_DIFFERS
        await update_incident(store, difference, subject=refund.id, but=but, now=self._clock.now())
        return after, difference

    async def _look_up(self, refund: Refund, attempt: Attempt) -> Receipt:
        self._calls.admit(attempt.gateway, retry=False)
        try:
            return await self._calls.look_up(attempt, payment_id=refund.payment_id)
        except GatewayRefused as error:
            raise GatewaySilent(error.detail) from error


def _at_gateway(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The newest attempt under each id that the gateway knows."""
    newest = {attempt.gateway_refund_id: attempt for attempt in attempts if attempt.gateway_refund_id is not None}
    return list(newest.values())
