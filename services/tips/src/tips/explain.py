"""``GET /admin/v1/explain``: why are the tips of an order what they are, rule by rule."""

from __future__ import annotations

from dataclasses import dataclass

from common.clock import Clock
from tips.find_order import find_order
from tips.ports import FeedbackSource, Orders
from tips.rules.constants import RuleBook
from tips.rules.order import Feedback, Order
from tips.rules.target import Hold, Target, TipsRules, need_hold, target_tips
from tips.rules.write import Plan, plan_write


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that the two decisions rest on, as it is now, and what set-tips-sum would write."""

    order: Order
    feedback: Feedback | None
    rules: TipsRules
    target: Target
    plan: Plan
    hold: Hold


class Explain:
    """Reads only. An unfinished order is explained too."""

    def __init__(self, orders: Orders, feedback: FeedbackSource, clock: Clock, *, book: RuleBook) -> None:
        self._orders = orders
        self._feedback = feedback
        self._clock = clock
        self._book = book

    async def __call__(self, number: str, *, until: float) -> Explanation:
        """Raises ``UnknownOrder``, ``Unavailable``."""
        order = await find_order(self._orders, number, until=until)
        feedback = await self._feedback.find(number, until=until)
        rules = self._book.rules_for(order.zone, order.tariff)
        target = target_tips(order, feedback, rules)
        return Explanation(
            order=order,
            feedback=feedback,
            rules=rules,
            target=target,
            plan=plan_write(order, feedback, target.amount, forbidden=target.forbidden),
            hold=need_hold(order, feedback, rules, now=self._clock.now()),
        )
