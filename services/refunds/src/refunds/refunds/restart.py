"""Recipe "restart a refund" (M22): one audited operation that cannot pay twice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from refunds.payments.model import DoesNotFit, Fits, fit
from refunds.providers.calls import GatewayCalls
from refunds.providers.model import GatewayPolicy, GatewayStatus, Receipt
from refunds.providers.provider import GatewayAway, GatewayRefused, GatewaySilent, RefundStore, Transactions
from refunds.refunds.apply_answer import adopt
from refunds.refunds.errors import GatewayNoAnswer, NotInError, UnknownRefund, VersionMismatch, does_not_fit
from refunds.refunds.model import Attempt, Refund
from refunds.refunds.request import order_work
from refunds.refunds.retry import Patience
from refunds.refunds.states import Happened, RefundState
from refunds.refunds.transition import move


class Proof(StrEnum):
    """What is proven about the attempt that ended in RS_ERROR."""

    NEVER_SENT = "never_sent"
    NOT_STARTED = "not_started"
    ABSENT = "absent"
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
    receipt: Receipt | None
    detail: str


class RestartRefund:
    """Ask first, then act: ``ask`` talks to the gateway, ``act`` changes the refund inside the caller's transaction."""

    def __init__(self, transactions: Transactions, calls: GatewayCalls, *, patience: Patience) -> None:
        self._transactions = transactions
        self._calls = calls
        self._patience = patience

    async def ask(self, refund_id: str, *, expected_version: int | None, now: datetime) -> Evidence | None:
        """Find out what became of the refund; None when ``act`` is going to refuse anyway. Moves nothing.

        ``expected_version`` None takes the refund as it is. Raises ``UnknownRefund``, and ``GatewayNoAnswer`` when the gateway does not
        say it for certain.
        """
        async with self._transactions.begin() as store:
            refund = await store.find(refund_id)
            if refund is None:
                raise UnknownRefund(f"there is no refund {refund_id}")
            if refund.state is not RefundState.ERROR or expected_version not in {None, refund.version}:
                return None
            attempt = await store.attempt(refund)
        try:
            return await self._ask(refund, attempt, now=now)
        except (GatewayAway, GatewaySilent, GatewayRefused) as error:
            raise GatewayNoAnswer(
                f"the gateway does not say what became of refund {refund_id} ({error.code})"
            ) from error

    async def _ask(self, refund: Refund, attempt: Attempt, *, now: datetime) -> Evidence:
        version = refund.version
        if attempt.gateway_refund_id is None and attempt.sent_at is None:
            return Evidence(version, Proof.NEVER_SENT, None, "nothing was sent in this attempt")
        policy = self._calls.policy(attempt.gateway)
        if attempt.never_started(policy):
            detail = "the gateway's id is not known, so it was never started"
            return Evidence(version, Proof.NOT_STARTED, None, detail)
        receipt = await self._calls.look_up(attempt.gateway, refund, attempt)
        if receipt.status in _PROOFS:
            return Evidence(version, _PROOFS[receipt.status], receipt, receipt.detail)
        if _absence_proves(attempt, policy, now=now):
            return Evidence(
                version, Proof.ABSENT, receipt, "the gateway's register does not have it, and its key is forgotten"
            )
        raise GatewayNoAnswer(f"the gateway does not know refund {refund.id}, which proves nothing yet")

    async def act(
        self,
        store: RefundStore,
        refund_id: str,
        *,
        expected_version: int | None,
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
        if expected_version not in {None, refund.version}:
            raise VersionMismatch(f"refund {refund_id} is at version {refund.version}, not {expected_version}")
        if refund.state is not RefundState.ERROR or evidence is None:
            raise NotInError(f"refund {refund_id} is in {refund.state.name}, not in RS_ERROR")
        if evidence.version != refund.version:
            raise VersionMismatch(f"refund {refund_id} has changed since the gateway was asked")
        await store.lock_payment(refund.payment_id)
        await store.note_calls(self._calls.take(refund.id))
        before = await store.attempt(refund)
        if evidence.receipt is not None and evidence.proof in {Proof.PENDING, Proof.SUCCEEDED}:
            after = await adopt(
                store,
                refund,
                before,
                evidence.receipt,
                patience=self._patience,
                now=now,
                actor=actor,
                detail=f"adopted at a restart: {reason}",
            )
            succeeded = evidence.proof is Proof.SUCCEEDED
            return refund, after, Restarted.ADOPTED_SUCCESS if succeeded else Restarted.ADOPTED_PENDING
        after = await self._again(store, refund, before, evidence, actor=actor, reason=reason, now=now)
        return refund, after, Restarted.RESTARTED

    async def _again(
        self,
        store: RefundStore,
        refund: Refund,
        before: Attempt,
        evidence: Evidence,
        *,
        actor: str,
        reason: str,
        now: datetime,
    ) -> Refund:
        """A new attempt, from RS_CREATE, with its TCreateRefund."""
        reserved, amount = refund.reserved, refund.amount
        if refund.reserved == 0:
            verdict = fit(await store.lock_payment(refund.payment_id), amount=refund.amount, currency=refund.currency)
            if isinstance(verdict, DoesNotFit):
                raise does_not_fit(verdict.code, verdict.detail)
            if isinstance(verdict, Fits):
                reserved = amount = verdict.amount
        fresh = _following(before, evidence, self._calls.policy(before.gateway), now=now)
        await store.add_attempt(fresh)
        after = await move(
            store,
            refund,
            Happened.RESTARTED,
            now=now,
            actor=actor,
            detail=reason,
            attempt=fresh.number,
            declines=0,
            reserved=reserved,
            amount=amount,
        )
        await order_work(store, after, now=now)
        return after


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


def _following(before: Attempt, evidence: Evidence, policy: GatewayPolicy, *, now: datetime) -> Attempt:
    """Return the attempt that the restart begins. The key is new only when nothing can have been paid under the old one."""
    if evidence.proof in {Proof.FAILED, Proof.ABSENT}:
        return before.after_failure(policy=policy, now=now)
    repeatable = before.may_send(now, policy=policy)
    if before.never_started(policy) and not repeatable:
        return before.after_failure(policy=policy, now=now)
    carried = before.carried_on(now=now)
    # What the gateway has made and not started is started by its id, which no age of the key makes another refund.
    return carried if repeatable else replace(carried, sent_at=None)
