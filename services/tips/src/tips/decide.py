"""The three questions that are asked about an order: set its tips, hold them, explain them.

Each ends by ``until``, a moment of ``time.monotonic()``, and raises ``UnknownOrder``, or ``Unavailable`` when the orders database or
feedback does not answer in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from common.clock import Clock
from tips.errors import Contended, OrderNotFinished
from tips.explanation import ExplanationView, explanation_of
from tips.feedback import FeedbackClient
from tips.metrics import TipsMetrics
from tips.rules.constants import RuleBook
from tips.rules.hold import need_hold
from tips.rules.order import Order
from tips.rules.target import target_tips
from tips.rules.write import REFUSED, Write, plan_write
from tips.store import TipsStore


@dataclass(frozen=True, slots=True, kw_only=True)
class TipsDecisions:
    """Reads the order and the feedback on it, and applies the rules of the order's zone and tariff.

    ``attempts``: how often a write is tried while the order changes under it.
    """

    store: TipsStore
    feedback: FeedbackClient
    metrics: TipsMetrics
    clock: Clock
    book: RuleBook
    attempts: int

    async def set_sum(self, number: str, *, until: float) -> None:
        """Bring the tips of a finished order to what they should be. A write that has begun may still happen after ``until``.

        Idempotent, and safe under concurrent calls: the newest feedback wins in the end. The sum is an absolute value, written under a
        comparison with the order's version. Whoever loses the race reads the order *and* the feedback again; so a call that hung after
        its reads can never put an older sum over a newer one.

        Raises ``OrderNotFinished``, and ``Contended`` when the order changed under every attempt.
        """
        for _ in range(self.attempts):
            order = await self._finished_order(number, until)
            feedback = await self.feedback.find(number, until=until)
            target = target_tips(order, feedback, self.book.rules_for(order.zone, order.tariff))
            plan = plan_write(order, feedback, target.amount, forbidden=target.forbidden)
            if plan.write is not Write.SET:
                # Stale feedback is no error: what is stored came from newer feedback than this call could read.
                self.metrics.nothing_to_write(order)
                return
            count = partial(self.metrics.decided, order, amount=plan.amount)
            written = await self.store.set_tips(order, plan, until=until, late=count)
            count(written)
            if written.outcome not in REFUSED:
                return
        raise Contended(f"order {number} changed under each of {self.attempts} attempts", retry_after=1.0)

    async def need_hold(self, number: str, *, until: float) -> bool:
        """Return whether the tips of a finished order are to be held now. Reads only. Raises ``OrderNotFinished``."""
        order = await self._finished_order(number, until)
        rules, now = self.book.rules_for(order.zone, order.tariff), self.clock.now()
        if not need_hold(order, None, rules, now=now).needed:
            return False  # feedback can only forbid a hold, so nobody has to be asked
        return need_hold(order, await self.feedback.find(number, until=until), rules, now=now).needed

    async def explain(self, number: str, *, until: float) -> ExplanationView:
        """Explain what both would decide now, rule by rule. Reads only; an unfinished order is explained too."""
        order = await self.store.find(number, until=until)
        feedback = await self.feedback.find(number, until=until)
        rules = self.book.rules_for(order.zone, order.tariff)
        return explanation_of(order, feedback, rules, now=self.clock.now())

    async def _finished_order(self, number: str, until: float) -> Order:
        order = await self.store.find(number, until=until)
        if not order.finished:
            raise OrderNotFinished(f"order {number} is not finished")
        return order
