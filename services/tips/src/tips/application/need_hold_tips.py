"""``GET /tips/v1/need-hold-tips`` (M15): are the tips to be held now?"""

from __future__ import annotations

from common.clock import Clock
from tips.application.find_order import find_finished_order
from tips.application.ports import FeedbackSource, Orders
from tips.domain.rules import TipsRules, need_hold


class NeedHoldTips:
    """Reads only; asking twice is free of effect."""

    def __init__(self, orders: Orders, feedback: FeedbackSource, clock: Clock, *, rules: TipsRules) -> None:
        self._orders = orders
        self._feedback = feedback
        self._clock = clock
        self._rules = rules

    async def __call__(self, number: str) -> bool:
        """Raises ``UnknownOrder``, ``OrderNotFinished``, ``Unavailable``."""
        order = await find_finished_order(self._orders, number)
        feedback = await self._feedback.find(number)
        return need_hold(order, feedback, self._rules, now=self._clock.now()).needed
