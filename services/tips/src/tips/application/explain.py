"""``GET /admin/v1/explain``: why are the tips of an order what they are, rule by rule."""

from __future__ import annotations

from dataclasses import dataclass

from common.clock import Clock
from tips.application.find_order import find_order
from tips.application.ports import FeedbackSource, Orders
from tips.domain.change import Plan, plan_write
from tips.domain.order import Feedback, Order
from tips.domain.rules import Hold, Target, TipsRules, need_hold, target_tips


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that the two decisions rest on, as it is now, and what set-tips-sum would write."""

    order: Order
    feedback: Feedback | None
    target: Target
    plan: Plan
    hold: Hold


class Explain:
    """Reads only. An unfinished order is explained too."""

    def __init__(self, orders: Orders, feedback: FeedbackSource, clock: Clock, *, rules: TipsRules) -> None:
        self._orders = orders
        self._feedback = feedback
        self._clock = clock
        self._rules = rules

    async def __call__(self, number: str) -> Explanation:
        """Raises ``UnknownOrder``, ``Unavailable``."""
        order = await find_order(self._orders, number)
        feedback = await self._feedback.find(number)
        target = target_tips(order, feedback, self._rules)
        return Explanation(
            order=order,
            feedback=feedback,
            target=target,
            plan=plan_write(order, feedback, target.amount),
            hold=need_hold(order, feedback, self._rules, now=self._clock.now()),
        )
