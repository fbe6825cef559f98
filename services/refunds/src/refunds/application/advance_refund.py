"""Carry a refund on as far as it goes now: settle, send, start, look up. Called by the worker for each refund that is due."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from common.clock import Clock
from common.telemetry import extract, span
from refunds.application.call_gateway import GatewayCalls
from refunds.application.errors import Overtaken
from refunds.application.ports import GatewayAway, GatewayRefused, GatewaySilent, Transactions
from refunds.application.settle_sum import holds_its_sum, learn_captured, reject_all, settle_waiting
from refunds.application.transition import move
from refunds.domain.gateway import GatewayStatus, Receipt
from refunds.domain.patience import Patience
from refunds.domain.refund import Attempt, Refund, gateway_key
from refunds.domain.states import Happened, RefundState

_MOST_STEPS = 8  # CREATE → SENDING → PENDING → SUCCESS are four; more than eight in one go would be a loop


class AdvanceRefund:
    """Safe to call twice at once for one refund: every change is compare-and-set, every call carries the attempt's committed key.

    No call to a gateway happens inside a transaction. Whatever the process dies of, the refund is due again and is carried on from
    what was committed: the key before the first call, the gateway's id before the start.
    """

    def __init__(self, transactions: Transactions, calls: GatewayCalls, clock: Clock, *, patience: Patience) -> None:
        self._transactions = transactions
        self._calls = calls
        self._clock = clock
        self._patience = patience

    async def __call__(self, refund_id: str) -> None:
        """Return when the refund is over or waits for a later moment. Raises ``Unavailable`` when the database is away."""
        try:
            for _ in range(_MOST_STEPS):
                async with self._transactions.begin() as store:
                    refund = await store.find(refund_id)
                    attempt = None if refund is None else await store.attempt(refund)
                if refund is None or attempt is None:
                    return
                # The trace of whoever wanted the refund goes on, to the log lines and to the gateway.
                headers = {"traceparent": refund.traceparent} if refund.traceparent else {}
                with span("refund.step", context=extract(headers), refund_id=refund.id, state=refund.state.name):
                    if not await self._step(refund, attempt):
                        return
        except Overtaken:
            return  # whoever was faster carries it on

    async def _step(self, refund: Refund, attempt: Attempt) -> bool:
        """Do the next thing; True when there is another one to do at once."""
        if refund.state is RefundState.CREATE:
            return await self._settle_and_go(refund, attempt)
        if refund.state in {RefundState.SENDING, RefundState.UNKNOWN}:
            return await self._send(refund, attempt)
        if refund.state is RefundState.PENDING:
            return await self._poll(refund, attempt)
        return False

    async def _settle_and_go(self, refund: Refund, attempt: Attempt) -> bool:
        if holds_its_sum(refund):
            await self._move(refund, Happened.FITS, next_attempt_at=self._clock.now())
            return True
        async with self._transactions.begin() as store:
            if await settle_waiting(store, refund.payment_id, now=self._clock.now()):
                return True
        try:
            info = await self._calls.payment(attempt.gateway, refund.payment_id)
        except GatewayRefused as error:
            async with self._transactions.begin() as store:
                await reject_all(
                    store, refund.payment_id, code=error.reason, detail=error.detail, now=self._clock.now()
                )
            return False
        except (GatewayAway, GatewaySilent) as error:
            await self._later_or_give_up(refund, attempt, happened=Happened.NO_ANSWER, error=error.code, away=True)
            return False
        async with self._transactions.begin() as store:
            await learn_captured(store, refund.payment_id, info, now=self._clock.now())
        return True

    async def _send(self, refund: Refund, attempt: Attempt) -> bool:
        try:
            receipt = await self._receipt(refund, attempt)
        except GatewayAway as error:
            # This call definitely had no effect; what was not known before is still not known.
            happened = Happened.NOT_STARTED if refund.state is RefundState.SENDING else Happened.NO_ANSWER
            await self._later_or_give_up(refund, attempt, happened=happened, error=error.code, away=True)
            return False
        except GatewaySilent as error:
            await self._later_or_give_up(refund, attempt, happened=Happened.NO_ANSWER, error=error.code)
            return False
        except GatewayRefused as error:
            await self._declined(refund, attempt, error=error.reason, detail=error.detail, again=False)
            return False
        return await self._apply(refund, attempt, receipt)

    async def _receipt(self, refund: Refund, attempt: Attempt) -> Receipt:
        gateway = attempt.gateway
        if attempt.gateway_refund_id is not None:
            # A start may have been lost or may be on its way: ask before starting (again).
            receipt = await self._calls.look_up(gateway, refund, attempt)
        elif attempt.may_send(self._clock.now(), retention=self._calls.policy(gateway).key_retention):
            if attempt.sent_at is None:
                async with self._transactions.begin() as store:
                    attempt = await store.mark_sent(attempt, now=self._clock.now())
            receipt = await self._calls.create(gateway, refund, attempt)
            if receipt.gateway_refund_id is None:
                raise GatewaySilent("the gateway gave the refund no id")
            async with self._transactions.begin() as store:
                attempt = await store.keep_gateway_refund_id(attempt, receipt.gateway_refund_id)
        else:
            receipt = await self._calls.look_up(gateway, refund, attempt)
        if receipt.status is GatewayStatus.OPENED:
            receipt = await self._calls.start(gateway, attempt)
        return receipt

    async def _poll(self, refund: Refund, attempt: Attempt) -> bool:
        try:
            receipt = await self._calls.look_up(attempt.gateway, refund, attempt)
        except (GatewayAway, GatewaySilent, GatewayRefused):
            await self._later(refund, Happened.NO_ANSWER)
            return False
        return await self._apply(refund, attempt, receipt)

    async def _apply(self, refund: Refund, attempt: Attempt, receipt: Receipt) -> bool:
        """Hand an answer about the attempt to the reducer."""
        if receipt.status is GatewayStatus.FAILED:
            return await self._declined(refund, attempt, error="declined", detail=receipt.detail, again=True)
        if receipt.status is GatewayStatus.MISSING:
            await self._later_or_give_up(refund, attempt, happened=Happened.NO_ANSWER, error="gateway_forgot")
            return False
        now = self._clock.now()
        tries = refund.tries + 1 if refund.state is RefundState.PENDING else 0
        over = receipt.status is GatewayStatus.SUCCEEDED
        next_attempt_at = None if over else self._patience.poll(tries, now=now)
        await self._move(refund, receipt.happened, next_attempt_at=next_attempt_at, tries=tries, detail=receipt.detail)
        return False

    async def _declined(self, refund: Refund, attempt: Attempt, *, error: str, detail: str, again: bool) -> bool:
        """A definite failure: decline, then another attempt with a new key, or a person."""
        now = self._clock.now()
        async with self._transactions.begin() as store:
            declined = await move(
                store, refund, Happened.FAILED, now=now, error=error, detail=detail, declines=refund.declines + 1
            )
            if not again or declined.declines >= self._patience.declines:
                await move(store, declined, Happened.GAVE_UP, now=now, error=error, detail=detail)
                return False
            number = attempt.number + 1
            await store.add_attempt(
                Attempt(
                    refund_id=refund.id,
                    number=number,
                    gateway=attempt.gateway,
                    gateway_key=gateway_key(refund.id, number),
                    began_at=now,
                    sent_at=None,
                    gateway_refund_id=None,
                )
            )
            when = self._patience.retry(declined.declines, now=now)
            await move(store, declined, Happened.RETRIED, now=now, error=error, next_attempt_at=when, attempt=number)
        return False

    async def _later_or_give_up(
        self, refund: Refund, attempt: Attempt, *, happened: Happened, error: str, away: bool = False
    ) -> None:
        if self._patience.exhausted(refund, trying_since=attempt.began_at, now=self._clock.now()):
            await self._move(refund, Happened.GAVE_UP, error=error, detail="no definite answer for too long")
        else:
            await self._later(refund, happened, error=error, away=away)

    async def _later(self, refund: Refund, happened: Happened, *, error: str | None = None, away: bool = False) -> None:
        now, tries = self._clock.now(), refund.tries
        lost = refund.state is RefundState.SENDING and happened is Happened.NO_ANSWER
        if refund.state is RefundState.PENDING:
            when = self._patience.poll(tries, now=now)
        elif away or refund.state is RefundState.CREATE:
            when = self._patience.retry(tries, now=now)
        else:
            when = self._patience.look_up(0 if lost else tries, now=now)
        await self._move(refund, happened, next_attempt_at=when, tries=1 if lost else tries + 1, error=error)

    async def _move(
        self, refund: Refund, happened: Happened, *, next_attempt_at: datetime | None = None, **changes: Any
    ) -> None:
        async with self._transactions.begin() as store:
            await move(store, refund, happened, now=self._clock.now(), next_attempt_at=next_attempt_at, **changes)
