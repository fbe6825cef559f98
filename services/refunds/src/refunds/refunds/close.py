"""People close a refund that is in RS_ERROR: the customer has the money by another way, or is not to get it this way.

See docs/requirements.md#closing-a-refund.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from common.clock import Clock
from common.http import Change
from refunds.payments.model import Payment
from refunds.refunds.apply_answer import ApplyAnswer
from refunds.refunds.errors import NotInError, UnknownRefund, VersionMismatch
from refunds.refunds.evidence import NOT_PAID, PAID, Evidence, FindEvidence, Proof
from refunds.refunds.model import Refund, Settled
from refunds.refunds.settle import tell_captured
from refunds.refunds.states import Happened, RefundState
from refunds.refunds.store import RefundStore, RefundTransactions
from refunds.refunds.transition import move
from refunds.refunds.views import view

_CLOSABLE = frozenset({RefundState.ERROR, RefundState.CLOSED})


class CloseOutcome(StrEnum):
    """``PAID_AT_GATEWAY``: the gateway has paid it or is paying it, so it is not closed but followed to its end."""

    CLOSED = "closed"
    PAID_AT_GATEWAY = "paid_at_gateway"


@dataclass(frozen=True, slots=True)
class Closing:
    """The refund before and after, what came of closing it, and what the gateway said of it."""

    before: Refund
    after: Refund
    outcome: CloseOutcome
    proof: Proof


class CloseRefund:
    """Ask first, then act, as a restart does; but a gateway that says nothing keeps nobody from closing.

    A closed refund is never sent again. It counts as spent, except what was given up and is proven not to have been paid. What the
    gateway says later is seen by notification, reconciliation and check: paid after all is a difference, failed releases what was given up.
    Closing again corrects how it was settled.
    """

    def __init__(self, transactions: RefundTransactions, find: FindEvidence, answer: ApplyAnswer, clock: Clock) -> None:
        self._transactions = transactions
        self._find = find
        self._answer = answer
        self._clock = clock

    async def ask(self, refund_id: str, *, expected_version: int) -> Evidence | None:
        """Find out what became of the refund; None when ``act`` is going to refuse anyway. Raises ``UnknownRefund``."""
        return await self._find(refund_id, expected_version=expected_version, states=_CLOSABLE)

    async def carry_out(
        self, change: Change, refund_id: str, *, expected_version: int, settled: Settled, evidence: Evidence | None
    ) -> Closing:
        """``act`` in an operator's change, with its audit record."""
        store = self._transactions.store_in(change)
        done = await self.act(
            store,
            refund_id,
            expected_version=expected_version,
            settled=settled,
            evidence=evidence,
            actor=change.principal.name,
            reason=change.reason,
        )
        await change.record("refund.close", f"refund:{refund_id}", before=view(done.before), after=view(done.after))
        return done

    async def act(
        self,
        store: RefundStore,
        refund_id: str,
        *,
        expected_version: int,
        settled: Settled,
        evidence: Evidence | None,
        actor: str,
        reason: str,
    ) -> Closing:
        """Close, inside the caller's transaction. Raises ``NotInError``, ``VersionMismatch``, ``Overtaken``."""
        refund = await store.find(refund_id)
        if refund is None:
            raise UnknownRefund(f"there is no refund {refund_id}")
        if refund.version != expected_version:
            raise VersionMismatch(f"refund {refund_id} is at version {refund.version}, not {expected_version}")
        if refund.state not in _CLOSABLE or evidence is None:
            raise NotInError(f"refund {refund_id} is in {refund.state.name}, not in RS_ERROR")
        if evidence.version != refund.version:
            raise VersionMismatch(f"refund {refund_id} has changed since the gateway was asked")
        payment = await store.payments.lock(refund.payment_id)
        await store.add_calls(evidence.calls)
        attempt = await store.attempt(refund)
        paid = evidence.receipt if evidence.proof in PAID else None
        if paid is not None and settled is Settled.GIVEN_UP:
            # Nothing is given up that the customer gets.
            detail = f"adopted when it was to be closed: {reason}"
            after = await self._answer.adopt(store, refund, attempt, paid, actor=actor, detail=detail)
            return Closing(refund, after, CloseOutcome.PAID_AT_GATEWAY, evidence.proof)
        amount, reserved = held(refund, settled, payment, proven=evidence.proof in NOT_PAID)
        after = await move(
            store,
            refund,
            Happened.CLOSED,
            now=self._clock.now(),
            actor=actor,
            detail=f"{settled.replace('_', ' ')}: {reason}",
            error=refund.error,
            settled=settled,
            amount=amount,
            reserved=reserved,
        )
        if paid is not None:
            after = await self._answer(store, after, attempt, paid)
        await tell_captured(store, await store.payments.lock(refund.payment_id), now=self._clock.now())
        if paid is None:
            return Closing(refund, after, CloseOutcome.CLOSED, evidence.proof)
        return Closing(refund, after, CloseOutcome.PAID_AT_GATEWAY, evidence.proof)


def held(refund: Refund, settled: Settled, payment: Payment, *, proven: bool) -> tuple[int | None, int]:
    """Return sum and reserved part of a refund that is closed. ``proven``: no money went out through the gateway.

    Settled outside counts as spent whole, as far as the payment has it, for the customer has it. Given up counts until it is proven
    that nothing went out.
    """
    if settled is Settled.GIVEN_UP:
        return refund.amount, 0 if proven else refund.reserved
    available = payment.left + refund.reserved
    reserved = min(available if refund.amount is None else refund.amount, available)
    return refund.amount or reserved or None, max(reserved, 0)
