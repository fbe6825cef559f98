"""What the gateway says of a refund that has come to rest, asked outside any transaction, before a person decides on it."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from common.clock import Clock
from refunds.providers.calls import GatewayCalls
from refunds.providers.gateway import GatewayAway, GatewayRefused, GatewaySilent
from refunds.providers.model import Attempt, GatewayCall, GatewayPolicy, GatewayStatus, PaymentInfo, Receipt
from refunds.refunds.errors import UnknownRefund
from refunds.refunds.model import Refund
from refunds.refunds.states import RefundState
from refunds.refunds.store import RefundTransactions


class Proof(StrEnum):
    """What is proven about the refund's present attempt. ``NOTHING``: the gateway does not say it for certain."""

    NEVER_SENT = "never_sent"
    NEVER_STARTED = "never_started"
    NOT_STARTED = "not_started"
    ABSENT = "absent"
    FAILED = "failed"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    NOTHING = "nothing"


NOT_PAID = frozenset({Proof.NEVER_SENT, Proof.NEVER_STARTED, Proof.ABSENT, Proof.FAILED})
"""No money went out under the attempt, and none can any more once the refund has gone on."""
PAID = frozenset({Proof.PENDING, Proof.SUCCEEDED})
"""Money went out or is on its way."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found about this version of the refund, and the calls that it was found by. ``why``: why nothing is proven.

    ``unheld``: its payment, when the refund holds nothing of it; ``captured``: what the gateway says of that, for a rehearsal.
    """

    version: int
    proof: Proof
    receipt: Receipt | None
    calls: tuple[GatewayCall, ...] = ()
    why: str = ""
    unheld: str | None = None
    captured: PaymentInfo | None = None


class FindEvidence:
    """Asks the gateway; moves and writes nothing."""

    def __init__(self, transactions: RefundTransactions, calls: GatewayCalls, clock: Clock) -> None:
        self._transactions = transactions
        self._calls = calls
        self._clock = clock

    async def __call__(
        self, refund_id: str, *, expected_version: int | None, states: AbstractSet[RefundState]
    ) -> Evidence | None:
        """Find out what became of the refund; None when it is in none of the states, or at another version than expected.

        ``expected_version`` None takes the refund as it is. Raises ``UnknownRefund``.
        """
        async with self._transactions.begin() as store:
            refund = await store.find(refund_id)
            if refund is None:
                raise UnknownRefund(f"there is no refund {refund_id}")
            if refund.state not in states or expected_version not in {None, refund.version}:
                return None
            attempt = await store.attempt(refund)
        receipt, why = None, ""
        try:
            proof, receipt = await self._ask(refund, attempt)
            if proof is Proof.NOTHING:
                why = f"the gateway does not know refund {refund.id}, which proves nothing yet"
        except (GatewayAway, GatewaySilent, GatewayRefused) as error:
            proof, why = Proof.NOTHING, f"the gateway does not say what became of refund {refund_id} ({error.code})"
        unheld = None if refund.reserved else refund.payment_id
        return Evidence(refund.version, proof, receipt, tuple(self._calls.take_calls(refund.id)), why, unheld)

    async def _ask(self, refund: Refund, attempt: Attempt) -> tuple[Proof, Receipt | None]:
        if attempt.gateway_refund_id is None and attempt.sent_at is None:
            return Proof.NEVER_SENT, None
        policy = self._calls.policy(attempt.gateway)
        if attempt.never_started(policy):
            return Proof.NEVER_STARTED, None
        receipt = await self._calls.look_up(attempt, payment_id=refund.payment_id)
        proof = _PROOFS.get(receipt.status)
        if proof is None:
            absent = _absence_proves(attempt, policy, now=self._clock.now())
            proof = Proof.ABSENT if absent else Proof.NOTHING
        return proof, receipt


_PROOFS = {
    GatewayStatus.OPENED: Proof.NOT_STARTED,
    GatewayStatus.PENDING: Proof.PENDING,
    GatewayStatus.SUCCEEDED: Proof.SUCCEEDED,
    GatewayStatus.FAILED: Proof.FAILED,
}


def _absence_proves(attempt: Attempt, policy: GatewayPolicy, *, now: datetime) -> bool:
    """Only where the gateway finds by key, the refund was never seen there, and nothing can be on its way to it any more."""
    if not policy.finds_by_key or attempt.gateway_refund_id is not None or attempt.sent_at is None:
        return False
    return policy.key_may_be_forgotten(attempt.sent_at, now=now)
