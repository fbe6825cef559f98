"""The workflow ``update_transactions``: the sum to pay and the tips of a finished order, again whenever something changes.

```
order.finished, order.changed, feedback.changed, tips.zeroed, refund.succeeded, or its timer
    → tips by the service or the own rules → hold, if due → sum to pay, next check (timer) → ends when nothing is left to check
```

Running an iteration twice is safe: every write is absolute or guarded. An iteration whose tips cannot be decided now is deferred, with
growing delays, and never lost.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from common.clock import Clock
from common.postgres import Connection
from common.telemetry import extract, span
from orchestrator.engine.model import Claim, Encoded, Outcome, WorkflowState, effects_of
from orchestrator.engine.store import is_away
from orchestrator.engine.worker import RetryLater
from orchestrator.tips.decide import Decided, TipsCaller, Trigger
from orchestrator.tips.messages import transactions_entry
from orchestrator.tips.metrics import TipsMetrics
from orchestrator.tips.model import Contended, FeedbackSilent, TipsOrder, Transactions
from orchestrator.tips.own_rules import RulesByPlace, next_check, sum_to_pay
from orchestrator.tips.shadow import add_comparisons
from orchestrator.tips.store import TipsStore, write_transactions

FEEDBACK_CHANGED = "feedback.changed"
_SOON = timedelta(seconds=1)
_LONGEST_DELAY = 600.0


@dataclass(frozen=True, slots=True)
class Iterations:
    """What ``prepare`` brought: orders by number, and by workflow what became of its tips (or why nothing did)."""

    orders: Mapping[str, TipsOrder]
    decided: Mapping[int, Decided | BaseException]


class UpdateTransactions:
    """The handler. ``caller`` None: no feedback service is configured, so nobody decides tips and only the sum to pay is worked out.

    ``delay`` is the shortest, in seconds, after which a deferred iteration is tried again; ``concurrency`` bounds how many orders are asked
    about at once.
    """

    def __init__(
        self,
        store: TipsStore,
        caller: TipsCaller | None,
        *,
        rules: RulesByPlace,
        clock: Clock,
        metrics: TipsMetrics,
        delay: float,
        concurrency: int,
    ) -> None:
        self._store = store
        self._caller = caller
        self._rules = rules
        self._clock = clock
        self._metrics = metrics
        self._delay = delay
        self._gate = asyncio.Semaphore(concurrency)

    async def prepare(self, claims: Sequence[Claim]) -> Iterations:
        """Read the orders and bring their tips up to date. No transaction is open while another service is asked."""
        orders = await self._store.read([claim.order_number for claim in claims])
        due = [claim for claim in claims if (order := orders.get(claim.order_number)) is not None and order.finished]
        caller = self._caller
        if caller is None or not due:
            return Iterations(orders, {})

        async def _one(claim: Claim) -> Decided:
            trigger = _trigger(claim)
            context = extract({} if trigger.traceparent is None else {"traceparent": trigger.traceparent})
            async with self._gate:
                with span("orders.update_transactions", context=context):
                    return await caller(orders[claim.order_number], trigger)

        found = await asyncio.gather(*map(_one, due), return_exceptions=True)
        for result in found:
            if isinstance(result, Exception) and is_away(result):
                raise result
        return Iterations(orders, {claim.workflow_id: result for claim, result in zip(due, found, strict=True)})

    def run(self, claim: Claim, batch: Iterations) -> Outcome:
        """Return the iteration's outcome. Raises ``RetryLater`` when the tips could not be decided."""
        order = batch.orders.get(claim.order_number)
        if order is None:
            return Outcome(claim=claim, upto=claim.upto, state=WorkflowState.FINISHED)
        now = self._clock.now()
        decided = batch.decided.get(claim.workflow_id)
        if isinstance(decided, (FeedbackSilent, Contended)):
            self._metrics.iterations.labels("deferred").inc()
            raise RetryLater(f"the tips cannot be decided: {decided.detail}", seconds=self._delay_of(claim, order, now))
        if isinstance(decided, BaseException):
            raise decided
        after = order if decided is None else decided.order
        again = next_check(after, self._rules.of(after), now=now)
        if decided is None:
            again = None
        elif decided.again:
            again = now + _SOON
        row = Transactions(
            number=after.number,
            sum_to_pay=sum_to_pay(after),
            refunded=after.given_back,
            tips=after.tips,
            currency=after.currency,
            decided_by="nobody" if decided is None else decided.decided_by,
            fallback=None if decided is None or decided.fallback is None else decided.fallback.value,
            computed_at=now,
            next_check_at=again,
            compared=None if decided is None else decided.compared,
        )
        self._metrics.iterations.labels(row.decided_by).inc()
        news = order.worked_out != (row.sum_to_pay, row.tips) or row.fallback is not None
        return Outcome(
            claim=claim,
            upto=claim.upto,
            state=WorkflowState.FINISHED if again is None else WorkflowState.RUNNING,
            wake_at=again,
            effect=row,
            timeline=[transactions_entry(row, traceparent=_trigger(claim).traceparent)] if news else (),
        )

    async def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> list[Encoded]:
        """Write what the iterations worked out."""
        rows = [effect for _, effect in effects_of(outcomes, Transactions)]
        await write_transactions(connection, rows)
        await add_comparisons(
            connection, [(row.number, row.computed_at, row.compared) for row in rows if row.compared is not None]
        )
        return []

    def _delay_of(self, claim: Claim, order: TipsOrder, now: datetime) -> float:
        """Half as long as it has been due already, jittered: delays grow, and nothing has to be counted."""
        since = claim.events[0].received_at if claim.events else order.next_check_at or now
        waited = max((now - since).total_seconds(), 0.0)
        return min(max(waited / 2, self._delay), _LONGEST_DELAY) * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, guards nothing


def _trigger(claim: Claim) -> Trigger:
    traces = [event.traceparent for event in claim.events if event.traceparent is not None]
    return Trigger(
        key=f"{claim.workflow_id}:{claim.upto}",
        feedback_changed=any(event.type == FEEDBACK_CHANGED for event in claim.events),
        traceparent=traces[-1] if traces else None,
    )
