"""Carry a refund on as far as it goes now: settle, send, start, look up. Called by the worker for each refund that is due."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from common.clock import Clock
from common.telemetry import extract, span
from refunds.payments.model import is_cancellation
from refunds.providers.calls import GatewayCalls
from refunds.providers.gateway import GatewayAway, GatewayRefused, GatewaySilent
from refunds.providers.model import Attempt
from refunds.refunds.apply_answer import ApplyAnswer
from refunds.refunds.confirm import ConfirmRequest
from refunds.refunds.errors import NotAskedFor, Overtaken
from refunds.refunds.model import Refund
from refunds.refunds.send import SendRefund
from refunds.refunds.settle import holds_its_sum, reject_all, save_captured, settle_waiting
from refunds.refunds.states import Happened, RefundState
from refunds.refunds.store import RefundStore, RefundTransactions
from refunds.refunds.transition import move

_NOTHING_SENT = frozenset({RefundState.CREATE, RefundState.SENDING})
_NOT_ASKED_FOR = NotAskedFor.code
_MOST_STEPS = 8  # CREATE → SENDING → PENDING → SUCCESS are four; more than eight in one go would be a loop


class AdvanceRefund:
    """Safe to call twice at once for one refund: every change is compare-and-set, every call carries the attempt's committed key.

    No call to a gateway happens inside a transaction. Whatever the process dies of, the refund is due again and is carried on from
    what was committed: the key before the first call, the gateway's id before the start.
    """

    def __init__(
        self,
        transactions: RefundTransactions,
        calls: GatewayCalls,
        apply_answer: ApplyAnswer,
        clock: Clock,
        confirm: ConfirmRequest | None = None,
    ) -> None:
        """``confirm`` is asked about each refund of which nothing has been sent in this attempt; without it events are believed."""
        self._transactions = transactions
        self._calls = calls
        self._apply_answer = apply_answer
        self._clock = clock
        self._confirm = confirm
        self._send = SendRefund(transactions, calls, clock)

    async def __call__(self, refund_id: str) -> None:
        """Return when the refund is over or waits for a later moment. Raises ``Unavailable`` when the database is away."""
        confirmed = self._confirm is None
        try:
            for _ in range(_MOST_STEPS):
                async with self._transaction(refund_id) as store:
                    refund = await store.find(refund_id)
                    attempt = None if refund is None else await store.attempt(refund)
                if refund is None or attempt is None:
                    return
                # The trace of whoever asked for the refund goes on, to the log lines and to the gateway.
                headers = {"traceparent": refund.traceparent} if refund.traceparent else {}
                with span("refund.step", context=extract(headers), refund_id=refund.id, state=refund.state.name):
                    if not (confirmed or await self._is_asked_for(refund, attempt)):
                        return
                    confirmed = True
                    if not await self._step(refund, attempt):
                        return
        except Overtaken:
            return  # whoever was faster carries it on
        finally:
            self._calls.take_calls(refund_id)

    async def _is_asked_for(self, refund: Refund, attempt: Attempt) -> bool:
        """Whether it may go on. What nobody asked for ends here, and is told to a person; what cannot be known now waits."""
        if self._confirm is None or attempt.sent_at is not None or refund.state not in _NOTHING_SENT:
            return True
        try:
            why = await self._confirm(refund)
        except GatewayAway as error:
            await self._put_off(refund, attempt, error=error.code, away=True)
            return False
        if why is None:
            return True
        async with self._transaction(refund.id) as store:
            if refund.state is RefundState.CREATE:
                now = self._clock.now()
                await move(store, refund, Happened.DOES_NOT_FIT, now=now, error=_NOT_ASKED_FOR, detail=why)
            else:
                await self._apply_answer.decline(store, refund, attempt, error=_NOT_ASKED_FOR, detail=why, again=False)
        return False

    async def _step(self, refund: Refund, attempt: Attempt) -> bool:
        """Do the next thing; True when there is another one to do at once."""
        try:
            if refund.state is RefundState.CREATE:
                return await self._settle(refund, attempt)
            if refund.state in {RefundState.SENDING, RefundState.UNKNOWN, RefundState.PENDING}:
                await self._ask(refund, attempt)
        except (GatewayAway, GatewaySilent) as error:
            await self._put_off(refund, attempt, error=error.code, away=isinstance(error, GatewayAway))
        return False

    async def _settle(self, refund: Refund, attempt: Attempt) -> bool:
        """CREATE: take the sum from the payment, asking the gateway what was captured if need be."""
        now, payment_id = self._clock.now, refund.payment_id
        if holds_its_sum(refund):
            async with self._transaction(refund.id) as store:
                await move(store, refund, Happened.FITS, now=now(), next_attempt_at=now())
            return True
        async with self._transaction(refund.id) as store:
            if await settle_waiting(store, payment_id, now=now()):
                return True
        self._calls.admit(attempt.gateway, retry=refund.tries > 0)
        try:
            info = await self._calls.payment(attempt, payment_id=payment_id)
        except GatewayRefused as error:
            async with self._transaction(refund.id) as store:
                await reject_all(store, payment_id, code=error.reason, detail=error.detail, now=now())
            return False
        cancelled = info.cancelled
        cancels = self._calls.policy(attempt.gateway).cancels
        if cancels and not cancelled and is_cancellation(info, amount=refund.amount, currency=refund.currency):
            try:
                await self._calls.cancel(attempt, payment_id=payment_id)
                cancelled = True
            except GatewayRefused:
                # Captured at this very moment, perhaps: what was captured is asked again before anything else.
                await self._put_off(refund, attempt, error="cancel_refused")
                return False
        async with self._transaction(refund.id) as store:
            await save_captured(store, payment_id, info, now=now(), cancelled=cancelled)
        return True

    async def _ask(self, refund: Refund, attempt: Attempt) -> None:
        """SENDING, UNKNOWN: send or start. PENDING: look up. Apply the answer."""
        pending = refund.state is RefundState.PENDING
        self._calls.admit(attempt.gateway, retry=not pending and refund.tries > 0)
        try:
            if pending:
                receipt = await self._calls.look_up(attempt, payment_id=refund.payment_id)
            else:
                receipt = await self._send(refund, attempt)
        except GatewayRefused as error:
            if pending:
                raise GatewaySilent(error.detail) from error  # of a refund that it works on: no proof of anything
            async with self._transaction(refund.id) as store:
                await self._apply_answer.decline(
                    store, refund, attempt, error=error.reason, detail=error.detail, again=False
                )
            return
        async with self._transaction(refund.id) as store:
            await self._apply_answer(store, refund, attempt, receipt)

    async def _put_off(self, refund: Refund, attempt: Attempt, *, error: str, away: bool = False) -> None:
        async with self._transaction(refund.id) as store:
            await self._apply_answer.put_off(store, refund, attempt, error=error, away=away)

    @asynccontextmanager
    async def _transaction(self, refund_id: str) -> AsyncIterator[RefundStore]:
        """Open a transaction that stores what was called before it."""
        async with self._transactions.begin() as store:
            await store.add_calls(self._calls.take_calls(refund_id))
            yield store
