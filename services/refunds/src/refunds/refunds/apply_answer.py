"""What a gateway's answer changes in a refund. Worker, poll, notification, reconciliation and restart all come through here."""

from __future__ import annotations

from dataclasses import replace

from common.clock import Clock
from refunds.providers.calls import GatewayCalls
from refunds.providers.model import Attempt, GatewayStatus, Receipt
from refunds.refunds.model import Refund, Settled
from refunds.refunds.retry import RetryPolicy
from refunds.refunds.states import TABLE, TERMINAL, Happened, RefundState
from refunds.refunds.store import RefundStore
from refunds.refunds.transition import SERVICE, move

_UNDER_WAY = frozenset({RefundState.SENDING, RefundState.PENDING, RefundState.UNKNOWN})
_AT_REST = frozenset({RefundState.ERROR, RefundState.CLOSED})
_MEANS = {
    GatewayStatus.OPENED: Happened.NOT_STARTED,
    GatewayStatus.PENDING: Happened.ACCEPTED,
    GatewayStatus.SUCCEEDED: Happened.SUCCEEDED,
    GatewayStatus.FAILED: Happened.FAILED,
    GatewayStatus.MISSING: Happened.NO_ANSWER,  # a refund that the gateway cannot find is no proof of anything
}


class ApplyAnswer:
    """Every method works inside the caller's transaction and returns the refund as it is then.

    Raises ``Overtaken`` when the refund is not in the state and version given any more.
    """

    def __init__(self, calls: GatewayCalls, clock: Clock, retries: RetryPolicy) -> None:
        self._calls = calls
        self._clock = clock
        self._retries = retries

    async def __call__(self, store: RefundStore, refund: Refund, attempt: Attempt, receipt: Receipt) -> Refund:
        """Apply an answer about the refund's present attempt. One that came late, twice or out of order is a named no-op."""
        now = self._clock.now()
        if refund.state not in TABLE:
            return refund  # the newer release that knows the state reads the answer
        if receipt.status is GatewayStatus.FAILED and refund.settled is not None:
            return await self._fail_closed(store, refund, receipt)
        if receipt.status is GatewayStatus.FAILED and refund.state in _UNDER_WAY:
            return await self.decline(store, refund, attempt, error="declined", detail=receipt.detail)
        if refund.state is RefundState.CREATE:
            return refund  # its worker asks before it sends anything
        if receipt.status is GatewayStatus.MISSING:
            if refund.state in TERMINAL or refund.state is RefundState.ERROR:
                return refund
            return await self.put_off(store, refund, attempt, error="gateway_forgot")
        if refund.state in _AT_REST and receipt.status in {GatewayStatus.PENDING, GatewayStatus.SUCCEEDED}:
            return await self.adopt(store, refund, attempt, receipt)
        waits = receipt.status in {GatewayStatus.PENDING, GatewayStatus.OPENED} and refund.state in _UNDER_WAY
        tries = refund.tries + 1 if refund.state is RefundState.PENDING else 0
        reversal = refund.state is RefundState.SUCCESS and receipt.status is GatewayStatus.FAILED
        return await move(
            store,
            refund,
            _MEANS[receipt.status],
            now=now,
            detail=receipt.detail,
            error="reversed" if reversal else None,
            next_attempt_at=self._retries.poll_at(tries, now=now) if waits else None,
            tries=tries if waits else refund.tries,
        )

    async def adopt(
        self,
        store: RefundStore,
        refund: Refund,
        attempt: Attempt,
        receipt: Receipt,
        *,
        actor: str = SERVICE,
        detail: str = "",
    ) -> Refund:
        """Take over, for a refund in RS_ERROR or one that people closed, what the gateway has of it.

        No TCreateRefund: nothing is to be sent.

        It goes on as another attempt under the same key, so that a trouble after this one is a problem of its own.
        """
        now, payment = self._clock.now(), await store.payments.lock(refund.payment_id)
        name = attempt.gateway_refund_id or receipt.gateway_refund_id  # it may have been found by our key
        carried = replace(attempt.carried_on(now=now), gateway_refund_id=name)
        await store.add_attempt(carried)
        pending = receipt.status is GatewayStatus.PENDING
        return await move(
            store,
            refund,
            _MEANS[receipt.status],
            now=now,
            actor=actor,
            detail=detail or receipt.detail,
            next_attempt_at=self._retries.poll_at(0, now=now) if pending else None,
            # The money is out or on its way, so it counts as spent again, as far as the payment has it.
            reserved=min(refund.amount or 0, payment.left + refund.reserved),
            attempt=carried.number,
            declines=0,
        )

    async def _fail_closed(self, store: RefundStore, refund: Refund, receipt: Receipt) -> Refund:
        """The gateway says that a refund which people closed has failed there: nothing is sent again, it is as they settled it.

        What was settled outside still counts as spent, for the customer has it; what was given up does not any more.
        """
        reserved = refund.reserved if refund.settled is Settled.OUTSIDE else 0
        if refund.state is RefundState.CLOSED and reserved == refund.reserved:
            return refund
        return await move(
            store,
            refund,
            Happened.FAILED_AFTER_CLOSE,
            now=self._clock.now(),
            error="reversed" if refund.state is RefundState.SUCCESS else "declined",
            detail=receipt.detail,
            reserved=reserved,
        )

    async def decline(
        self, store: RefundStore, refund: Refund, attempt: Attempt, *, error: str, detail: str, again: bool = True
    ) -> Refund:
        """A definite failure: decline, then another attempt with a new key, or a person. ``again`` False: it would be refused again."""
        now, declines = self._clock.now(), refund.declines + 1
        declined = await move(store, refund, Happened.FAILED, now=now, error=error, detail=detail, declines=declines)
        if not again or declines >= self._retries.declines:
            return await move(store, declined, Happened.GAVE_UP, now=now, error=error, detail=detail)
        following = attempt.after_failure(policy=self._calls.policy(attempt.gateway), now=now)
        await store.add_attempt(following)
        return await move(
            store,
            declined,
            Happened.RETRIED,
            now=now,
            error=error,
            next_attempt_at=self._retries.retry_at(declines, now=now),
            attempt=following.number,
        )

    async def put_off(
        self, store: RefundStore, refund: Refund, attempt: Attempt, *, error: str, away: bool = False
    ) -> Refund:
        """No definite answer: wait, or give up when that has been so for too long. ``away``: this call definitely had no effect."""
        now = self._clock.now()
        if self._retries.exhausted(refund, trying_since=attempt.began_at, now=now):
            detail = "no definite answer for too long"
            return await move(store, refund, Happened.GAVE_UP, now=now, error=error, detail=detail)
        sending = refund.state is RefundState.SENDING
        lost = sending and not away
        # A call without effect leaves it as it was: what was not known before is still not known.
        happened = Happened.NOT_STARTED if sending and away else Happened.NO_ANSWER
        if refund.state is RefundState.PENDING:
            when = self._retries.poll_at(refund.tries, now=now)
        elif away or refund.state is RefundState.CREATE:
            when = self._retries.retry_at(refund.tries, now=now)
        else:
            when = self._retries.look_up_at(unknown_since=now if lost else refund.state_since, now=now)
        kept = refund.error if refund.state is RefundState.PENDING else error
        tries = 1 if lost else refund.tries + 1
        return await move(store, refund, happened, now=now, next_attempt_at=when, tries=tries, error=kept)
