"""Compare one refund with all that its gateway has of it, finished or not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from common.clock import Clock
from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.ids import derived_id
from refunds.providers.calls import GatewayCalls
from refunds.providers.gateway import GatewayRefused, GatewaySilent
from refunds.providers.model import Attempt, Receipt
from refunds.reconciliation.model import Difference, judge
from refunds.reconciliation.store import add_difference, close_differences
from refunds.refunds.apply_answer import ApplyAnswer
from refunds.refunds.errors import Overtaken
from refunds.refunds.model import Refund
from refunds.refunds.states import RefundState
from refunds.refunds.store import RefundStore, RefundTransactions

_TRIES = 3
_INSTRUCTION = (
    "Compare our refund with the gateway's own records (runbook refunds-differences). Nothing is paid or taken back by itself; "
    "reconcile again when it is mended, and the incident ends."
)


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

    async def __call__(self, refund_id: str, *, dry_run: bool = False) -> tuple[bool, Difference | None]:
        """Return whether the refund changed its state, and what differs.

        Raises ``GatewayAway``, ``GatewaySilent`` when the gateway does not answer.
        """
        for _ in range(_TRIES):
            async with self._transactions.begin() as store:
                refund = await store.find(refund_id)
                attempts = [] if refund is None else await store.attempts(refund_id)
            if refund is None or not attempts:
                return False, None
            receipts = [(attempt, await self._look_up(refund, attempt)) for attempt in _at_gateway(attempts)]
            if dry_run:
                return False, _judge(refund, attempts[-1], receipts)
            try:
                return await self._apply(refund, attempts[-1], receipts)
            except Overtaken:
                continue
        return False, None

    async def _look_up(self, refund: Refund, attempt: Attempt) -> Receipt:
        self._calls.admit(attempt.gateway, retry=False)
        try:
            return await self._calls.look_up(attempt, payment_id=refund.payment_id)
        except GatewayRefused as error:
            raise GatewaySilent(error.detail) from error

    async def _apply(
        self, refund: Refund, last: Attempt, receipts: Sequence[tuple[Attempt, Receipt]]
    ) -> tuple[bool, Difference | None]:
        after = refund
        async with self._transactions.begin() as store:
            await store.add_calls(self._calls.take_calls(refund.id))
            for attempt, receipt in receipts:
                if attempt.number == last.number and refund.state is not RefundState.CREATE:
                    after = await self._apply_answer(store, refund, attempt, receipt)
            difference = _judge(after, last, receipts)
            await update_incident(store, difference, subject=refund.id, now=self._clock.now())
        return after.state is not refund.state, difference


def _at_gateway(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The newest attempt under each id that the gateway knows."""
    newest = {attempt.gateway_refund_id: attempt for attempt in attempts if attempt.gateway_refund_id is not None}
    return list(newest.values())


def _judge(refund: Refund, last: Attempt, receipts: Sequence[tuple[Attempt, Receipt]]) -> Difference | None:
    # By the gateway's id: the reducer may have gone on to another attempt of the same refund there.
    current = next((receipt for attempt, receipt in receipts if attempt.number == last.number), None)
    earlier = tuple(receipt.status for attempt, receipt in receipts if attempt.number != last.number)
    return judge(refund, gateway=last.gateway, current=current.status if current else None, earlier=earlier)


async def update_incident(store: RefundStore, difference: Difference | None, *, subject: str, now: datetime) -> None:
    """Raise the difference's incident, once; without one, resolve the subject's incidents. Inside the caller's transaction."""
    if difference is None:
        await _resolve(store, subject, now=now)
    elif await add_difference(store.connection, difference, now=now):
        await _raise(store, difference, now=now)


async def _raise(store: RefundStore, difference: Difference, *, now: datetime) -> None:
    store.count_problem("refund.difference")
    await store.add_to_outbox(
        ProblemRaisedV1(
            kind="refund.difference",
            severity="critical",
            fingerprint=difference.fingerprint,
            summary=f"Refund {difference.subject} and {difference.gateway} disagree: {difference.kind}",
            details={"difference": difference.kind, "detail": difference.detail, "instruction": _INSTRUCTION},
            service="refunds",
            order_number=difference.order_number,
            occurred_at=now,
        ),
        event_id=derived_id("refund-difference", difference.fingerprint, now.isoformat()),
        traceparent=None,
        order_number=difference.order_number or difference.subject,
        now=now,
    )


async def _resolve(store: RefundStore, subject: str, *, now: datetime) -> None:
    for difference in await close_differences(store.connection, subject, now=now):
        await store.add_to_outbox(
            ProblemResolvedV1(
                fingerprint=difference.fingerprint,
                summary=f"Refund {subject} and {difference.gateway} agree",
                service="refunds",
                occurred_at=now,
            ),
            event_id=derived_id("refund-difference-over", difference.fingerprint, now.isoformat()),
            traceparent=None,
            order_number=difference.order_number or subject,
            now=now,
        )
