"""An operator restarts a refund that is in RS_ERROR: one audited operation that cannot pay twice.

See docs/requirements.md#restarting-a-refund.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from common.clock import Clock
from common.contracts.notices import problem_over_notice, refund_notice
from common.http import Change
from refunds.payments.model import DoesNotFit, fit
from refunds.providers.calls import GatewayCalls
from refunds.providers.model import Attempt, GatewayPolicy
from refunds.refunds.apply_answer import ApplyAnswer
from refunds.refunds.attempt import publish_attempt
from refunds.refunds.captured import RereadCaptured
from refunds.refunds.errors import GatewayNoAnswer, NotInError, UnknownRefund, VersionMismatch
from refunds.refunds.evidence import Evidence, FindEvidence, Proof
from refunds.refunds.model import Refund, Restarted
from refunds.refunds.settle import save_captured
from refunds.refunds.states import OPEN, Happened, RefundState
from refunds.refunds.store import RefundStore, RefundTransactions
from refunds.refunds.transition import move
from refunds.refunds.views import view


@dataclass(frozen=True, slots=True)
class Restart:
    """The refund before and after, and what came of it."""

    before: Refund
    after: Refund
    outcome: Restarted


class RestartRefund:
    """Ask first, then act: ``ask`` talks to the gateway, ``carry_out`` changes the refund in a transaction."""

    def __init__(
        self,
        transactions: RefundTransactions,
        calls: GatewayCalls,
        find: FindEvidence,
        reread: RereadCaptured,
        apply_answer: ApplyAnswer,
        clock: Clock,
    ) -> None:
        self._transactions = transactions
        self._calls = calls
        self._find = find
        self._reread = reread
        self._apply_answer = apply_answer
        self._clock = clock

    async def ask(self, refund_id: str, *, expected_version: int | None, dry_run: bool) -> Evidence | None:
        """Find out what became of the refund; None when ``act`` is going to refuse anyway. Moves nothing.

        One that has to take its sum from the payment anew has what was captured asked again; a dry run only takes it along.
        ``expected_version`` None takes the refund as it is. Raises ``UnknownRefund``, and ``GatewayNoAnswer`` when the gateway does not
        say it for certain.
        """
        evidence = await self._find(refund_id, expected_version=expected_version, states={RefundState.ERROR})
        if evidence is not None and evidence.proof is Proof.NOTHING:
            raise GatewayNoAnswer(evidence.why)
        if evidence is not None and evidence.unheld is not None and dry_run:
            return replace(evidence, captured=await self._reread.for_rehearsal(evidence.unheld, gateway=""))
        if evidence is not None and evidence.unheld is not None:
            await self._reread.if_old(evidence.unheld)
        return evidence

    async def carry_out(
        self, change: Change, refund_id: str, *, expected_version: int | None, evidence: Evidence | None
    ) -> Restart:
        """``act`` in an operator's change: with its audit record, and counted once it is committed."""
        store = self._transactions.store_in(change)
        done = await self.act(
            store,
            refund_id,
            expected_version=expected_version,
            evidence=evidence,
            actor=change.principal.name,
            reason=change.reason,
        )
        if done.after.state in OPEN:
            number = done.after.order_number
            change.tells(
                problem_over_notice(number), *([] if done.outcome is Restarted.RESTARTED else [refund_notice(number)])
            )
        before, after = view(done.before), view(done.after)
        await change.record("refund.restart", f"refund:{refund_id}", before=before, after=after)
        change.after_commit(partial(store.metrics.restarted, done.outcome))
        return done

    async def act(
        self,
        store: RefundStore,
        refund_id: str,
        *,
        expected_version: int | None,
        evidence: Evidence | None,
        actor: str,
        reason: str,
    ) -> Restart:
        """Restart or adopt, inside the caller's transaction.

        Raises ``NotInError``, ``VersionMismatch``, ``Overtaken``, and ``DoesNotFit`` when the sum no longer fits.
        """
        if evidence is not None and evidence.captured is not None and evidence.unheld is not None:
            await save_captured(store, evidence.unheld, evidence.captured, now=self._clock.now())
        refund = await store.find(refund_id)
        if refund is None:
            raise UnknownRefund(f"there is no refund {refund_id}")
        if expected_version not in {None, refund.version}:
            raise VersionMismatch(f"refund {refund_id} is at version {refund.version}, not {expected_version}")
        if refund.state is not RefundState.ERROR or evidence is None:
            raise NotInError(f"refund {refund_id} is in {refund.state.name}, not in RS_ERROR")
        if evidence.version != refund.version:
            raise VersionMismatch(f"refund {refund_id} has changed since the gateway was asked")
        await store.payments.lock(refund.payment_id)
        await store.add_calls(evidence.calls)
        before = await store.attempt(refund)
        if evidence.receipt is not None and evidence.proof in _ADOPTED:
            detail = f"adopted at a restart: {reason}"
            after = await self._apply_answer.adopt(store, refund, before, evidence.receipt, actor=actor, detail=detail)
            return Restart(refund, after, _ADOPTED[evidence.proof])
        after = await self._again(store, refund, before, evidence, actor=actor, reason=reason)
        return Restart(refund, after, Restarted.RESTARTED)

    async def _again(
        self, store: RefundStore, refund: Refund, before: Attempt, evidence: Evidence, *, actor: str, reason: str
    ) -> Refund:
        """A new attempt, from RS_CREATE, with its TCreateRefund."""
        now, reserved, amount = self._clock.now(), refund.reserved, refund.amount
        if refund.reserved == 0:
            fitting = fit(await store.payments.lock(refund.payment_id), amount=refund.amount, currency=refund.currency)
            if isinstance(fitting, DoesNotFit):
                raise fitting
            if fitting is not None:
                reserved = amount = fitting
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
        await publish_attempt(store, after, now=now)
        return after


_ADOPTED = {Proof.PENDING: Restarted.ADOPTED_PENDING, Proof.SUCCEEDED: Restarted.ADOPTED_SUCCESS}


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
