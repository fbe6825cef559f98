"""The tips caller: the tips service where flag and experiment say so, else and on any trouble the caller's own rules.

docs/requirements.md#tips-rollout-and-fallback

Both paths write an absolute sum under the same version check, so one may follow the other at any moment: after a time-out, a crash, a
lost answer, in another replica.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic

from common.clock import Clock
from common.resilience import CircuitBreaker
from orchestrator.tips.experiment import Experiment
from orchestrator.tips.feedback import FeedbackClient
from orchestrator.tips.metrics import TipsMetrics
from orchestrator.tips.model import (
    Arm,
    Compared,
    Contended,
    ExperimentFailed,
    Explained,
    FeedbackSilent,
    Reason,
    Shadow,
    TipsFailed,
    TipsOrder,
)
from orchestrator.tips.own_rules import RulesByPlace, need_hold, tips_sum, write_of
from orchestrator.tips.service import TipsClient
from orchestrator.tips.store import TipsStore

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The order after an iteration, who decided, why not the service, and whether the order changed meanwhile: look again soon.

    ``compared``: what comparing both found, None outside shadow mode.
    """

    order: TipsOrder
    decided_by: str
    fallback: Reason | None
    again: bool
    compared: Compared | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Why an order is looked at. ``key`` is the same if this is done again; ``feedback_changed``: the customer has just spoken."""

    key: str
    feedback_changed: bool = False
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TipsCaller:
    """One order at a time; any number at once. ``service`` None: none is configured."""

    experiment: Experiment
    service: TipsClient | None
    feedback: FeedbackClient
    store: TipsStore
    breaker: CircuitBreaker
    rules: RulesByPlace
    clock: Clock
    metrics: TipsMetrics

    async def __call__(self, order: TipsOrder, trigger: Trigger) -> Decided:
        """Bring a finished order's tips to what they should be and hold them if they are to be held.

        Raises ``FeedbackSilent`` when only the own rules could decide and the feedback does not come, ``Contended`` when the order
        changed under every attempt, and whatever the store raises.
        """
        hold: bool | None = None
        reason: Reason | None = None
        after = order
        try:
            arm = await self.experiment.arm(order.number)
            self.metrics.exposures.labels(arm.value).inc()
        except ExperimentFailed:
            arm, reason = Arm.OFF, Reason.EXPERIMENT
        if arm is Arm.SERVICE:
            try:
                after, hold = await self._ask(order, trigger)
            except TipsFailed as failed:
                reason = failed.reason
        if hold is None:
            after, hold = await self._old(order)
            by_service = False
        else:
            by_service = True
        compared = await self._compare(after)
        if compared is not None and compared.result is Shadow.MISMATCH and by_service:
            reason, by_service = Reason.MISMATCH, False
            after, hold = await self._old(after)
        if reason is not None:
            self.metrics.fallbacks.labels(reason.value).inc()
        again = False
        # What is held is never more than the tips: a customer who takes them back, whenever, gets the hold undone.
        hold = hold or (not after.zeroed and after.tips < (after.held_sum or 0))
        if hold and await self.store.hold(after, now=self.clock.now(), traceparent=trigger.traceparent):
            after = replace(after, held_sum=after.tips)
        elif hold:
            again = True
        decided_by = "service" if by_service else "old"
        return Decided(order=after, decided_by=decided_by, fallback=reason, again=again, compared=compared)

    async def _ask(self, order: TipsOrder, trigger: Trigger) -> tuple[TipsOrder, bool]:
        """The service's way. What it says it did is looked at, for an answer alone pays nobody."""
        if self.service is None:
            raise TipsFailed(Reason.NOT_CONFIGURED)
        if not self.breaker.may_call(monotonic()):
            raise TipsFailed(Reason.BREAKER_OPEN)
        due = await self._due(order, trigger)
        try:
            await self.service.set_sum(order.number, key=trigger.key)
            after = await self._read(order)
            _require_evidence(after, due)
            hold = await self.service.need_hold(order.number)
        except TipsFailed as failed:
            if failed.ill:
                self.breaker.failed(monotonic())
            else:
                self.breaker.succeeded()
            raise
        else:
            self.breaker.succeeded()
        finally:
            self.metrics.breaker_open.set(int(self.breaker.is_open))
        return after, hold and after.tips > 0

    async def _due(self, order: TipsOrder, trigger: Trigger) -> datetime | None:
        """Which feedback must have been applied afterwards. Worth a question only when the customer has just spoken."""
        if not trigger.feedback_changed:
            return None
        try:
            feedback = await self.feedback.find(order.number)
        except FeedbackSilent:
            return None
        return None if feedback is None else feedback.updated_at

    async def _old(self, order: TipsOrder) -> tuple[TipsOrder, bool]:
        """The caller's own way. Whoever loses the race for the version reads order and feedback again."""
        for _ in range(_ATTEMPTS):
            feedback = await self.feedback.find(order.number)
            write = write_of(order, feedback, self.rules.of(order))
            if write is None:
                self.metrics.figures.unchanged(order.zone, order.tariff)
                return order, need_hold(order, feedback, self.rules.of(order), now=self.clock.now())
            written = await self.store.write(order, write)
            if written is not None:
                self.metrics.figures.decided(
                    order.zone,
                    order.tariff,
                    marks=written.marks,
                    changed=written.changed,
                    amount=write.amount,
                    cost=order.cost,
                    currency=order.currency,
                )
                after = await self._read(order)
                return after, need_hold(after, feedback, self.rules.of(after), now=self.clock.now())
            order = await self._read(order)
        raise Contended(f"order {order.number} changed under each of {_ATTEMPTS} attempts")

    async def _compare(self, order: TipsOrder) -> Compared | None:
        """Work out what each path would do with the order as it is, and count whether they agree. Nothing is written."""
        try:
            if self.service is None or not await self.experiment.shadows(order.number):
                return None
        except ExperimentFailed:
            return None
        try:
            explained = await self.service.explain(order.number)
            feedback = await self.feedback.find(order.number)
        except (TipsFailed, FeedbackSilent):
            compared = Compared(result=Shadow.ERROR)
        else:
            rules = self.rules.of(order)
            now = self.clock.now()
            compared = _compared(
                tips_sum(order, feedback, rules), need_hold(order, feedback, rules, now=now), explained
            )
        self.metrics.shadows.labels(compared.result.value).inc()
        return compared

    async def _read(self, order: TipsOrder) -> TipsOrder:
        return (await self.store.read([order.number])).get(order.number, order)


def _compared(amount: int, hold: bool, explained: Explained) -> Compared:
    if (amount, hold) == (explained.amount, explained.need_hold):
        return Compared(result=Shadow.MATCH)
    of_sum = amount != explained.amount
    return Compared(
        result=Shadow.MISMATCH,
        decision="tips" if of_sum else "hold",
        rule=explained.amount_rule if of_sum else explained.hold_rule,
        own_amount=amount,
        service_amount=explained.amount,
        own_hold=hold,
        service_hold=explained.need_hold,
    )


def _require_evidence(order: TipsOrder, due: datetime | None) -> None:
    """Raise unless the order shows that a set-tips-sum has written to it, and that the feedback which is due was applied."""
    if not order.seen or (due is not None and (order.feedback_at is None or order.feedback_at < due)):
        raise TipsFailed(Reason.NOT_SET)
