"""Recipe "restart a refund" (M22): one audited operation that cannot pay twice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from refunds.application.call_gateway import GatewayCalls
from refunds.application.errors import GatewayNoAnswer, NotInError, UnknownRefund, VersionMismatch, does_not_fit
from refunds.application.ports import GatewayAway, GatewayRefused, GatewaySilent, RefundStore, Transactions
from refunds.application.request_refund import order_work
from refunds.application.transition import move
from refunds.domain.gateway import GatewayStatus, Receipt
from refunds.domain.refund import Attempt, Refund, gateway_key
from refunds.domain.states import Happened, RefundState
from refunds.domain.sums import DoesNotFit, Fits, fit


class Proof(StrEnum):
    """What the gateway proved about the attempt that ended in RS_ERROR."""

    NEVER_SENT = "never_sent"
    NOT_STARTED = "not_started"
    FAILED = "failed"
    PENDING = "pending"
    SUCCEEDED = "succeeded"


class Restarted(StrEnum):
    """What came of a restart: tried again, or the gateway's truth adopted and nothing sent."""

    RESTARTED = "restarted"
    ADOPTED_PENDING = "adopted_pending"
    ADOPTED_SUCCESS = "adopted_success"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found outside any transaction, about this version of the refund."""

    version: int
    proof: Proof
    detail: str


class RestartRefund:
    """Ask first, then act: ``ask`` talks to the gateway, ``act`` changes the refund inside the caller's transaction."""

    def __init__(self, transactions: Transactions, calls: GatewayCalls) -> None:
        self._transactions = transactions
        self._calls = calls

    async def ask(self, refund_id: str, *, expected_version: int) -> Evidence | None:
        """Find out what became of the refund; None when ``act`` is going to refuse anyway.

        Raises ``UnknownRefund``, and ``GatewayNoAnswer`` when the gateway does not say it for certain.
        """
        async with self._transactions.begin() as store:
            refund = await store.find(refund_id)
            if refund is None:
                raise UnknownRefund(f"there is no refund {refund_id}")
            if refund.state is not RefundState.ERROR or refund.version != expected_version:
                return None
            attempt = await store.attempt(refund)
        if attempt.sent_at is None:
            return Evidence(refund.version, Proof.NEVER_SENT, "nothing was sent in this attempt")
        if attempt.gateway_refund_id is None and self._calls.policy(attempt.gateway).two_step:
            return Evidence(refund.version, Proof.NOT_STARTED, "the gateway's id is not known, so it was never started")
        try:
            receipt = await self._calls.look_up(attempt.gateway, refund, attempt)
        except (GatewayAway, GatewaySilent, GatewayRefused) as error:
            raise GatewayNoAnswer(
                f"the gateway does not say what became of refund {refund_id} ({error.code})"
            ) from error
        return Evidence(refund.version, _proof(refund_id, receipt), receipt.detail)

    async def act(
        self,
        store: RefundStore,
        refund_id: str,
        *,
        expected_version: int,
        evidence: Evidence | None,
        actor: str,
        reason: str,
        now: datetime,
    ) -> tuple[Refund, Refund, Restarted]:
        """Restart or adopt, inside the caller's transaction; return the refund before and after, and what came of it.

        Raises ``NotInError``, ``VersionMismatch``, ``Overtaken``, and what ``request_refund`` raises when the sum no longer fits.
        """
        refund = await store.find(refund_id)
        if refund is None:
            raise UnknownRefund(f"there is no refund {refund_id}")
        if refund.version != expected_version:
            raise VersionMismatch(f"refund {refund_id} is at version {refund.version}, not {expected_version}")
        if refund.state is not RefundState.ERROR or evidence is None:
            raise NotInError(f"refund {refund_id} is in {refund.state.name}, not in RS_ERROR")
        if evidence.proof in {Proof.PENDING, Proof.SUCCEEDED}:
            after = await self._adopt(store, refund, evidence, actor=actor, reason=reason, now=now)
            outcome = Restarted.ADOPTED_SUCCESS if evidence.proof is Proof.SUCCEEDED else Restarted.ADOPTED_PENDING
        else:
            after = await self._again(store, refund, evidence, actor=actor, reason=reason, now=now)
            outcome = Restarted.RESTARTED
        return refund, after, outcome

    async def _adopt(
        self, store: RefundStore, refund: Refund, evidence: Evidence, *, actor: str, reason: str, now: datetime
    ) -> Refund:
        """Take over what the gateway says. No TCreateRefund: nothing is to be sent."""
        pending = evidence.proof is Proof.PENDING
        payment = await store.lock_payment(refund.payment_id)
        # The money is out or on its way, so it counts as spent again, as far as the payment has it.
        reserved = min(refund.amount or 0, payment.left + refund.reserved)
        return await move(
            store,
            refund,
            Happened.ACCEPTED if pending else Happened.SUCCEEDED,
            now=now,
            actor=actor,
            detail=f"adopted at a restart: {reason}",
            next_attempt_at=now if pending else None,
            reserved=reserved,
        )

    async def _again(
        self, store: RefundStore, refund: Refund, evidence: Evidence, *, actor: str, reason: str, now: datetime
    ) -> Refund:
        """A new attempt. The key is new only after a proven failure; an attempt that was never started goes on under its own."""
        payment = await store.lock_payment(refund.payment_id)
        reserved, amount = refund.reserved, refund.amount
        if refund.reserved == 0:
            verdict = fit(payment, amount=refund.amount, currency=refund.currency)
            if isinstance(verdict, DoesNotFit):
                raise does_not_fit(verdict.code, verdict.detail)
            if isinstance(verdict, Fits):
                reserved = amount = verdict.amount
        before = await store.attempt(refund)
        number = refund.attempt + 1
        fresh = Attempt(
            refund_id=refund.id,
            number=number,
            gateway=before.gateway,
            gateway_key=gateway_key(refund.id, number),
            began_at=now,
            sent_at=None,
            gateway_refund_id=None,
        )
        if evidence.proof is not Proof.FAILED:
            fresh = replace(
                fresh,
                gateway_key=before.gateway_key,
                sent_at=before.sent_at,
                gateway_refund_id=before.gateway_refund_id,
            )
        await store.add_attempt(fresh)
        after = await move(
            store,
            refund,
            Happened.RESTARTED,
            now=now,
            actor=actor,
            detail=reason,
            attempt=number,
            declines=0,
            reserved=reserved,
            amount=amount,
        )
        await order_work(store, after, now=now)
        return after


def _proof(refund_id: str, receipt: Receipt) -> Proof:
    proofs = {
        GatewayStatus.OPENED: Proof.NOT_STARTED,
        GatewayStatus.PENDING: Proof.PENDING,
        GatewayStatus.SUCCEEDED: Proof.SUCCEEDED,
        GatewayStatus.FAILED: Proof.FAILED,
    }
    if receipt.status not in proofs:
        raise GatewayNoAnswer(f"the gateway does not know refund {refund_id} any more")
    return proofs[receipt.status]
