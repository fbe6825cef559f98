"""``GET /tips/v1/need-hold-tips`` (M15): are the tips to be held now?"""

from __future__ import annotations

from common.clock import Clock
from tips.find_order import find_finished_order
from tips.ports import FeedbackSource, Orders
from tips.rules.constants import RuleBook
from tips.rules.target import need_hold


class NeedHoldTips:
    """Reads only; asking twice is free of effect."""

    def __init__(self, orders: Orders, feedback: FeedbackSource, clock: Clock, *, book: RuleBook) -> None:
        self._orders = orders
        self._feedback = feedback
        self._clock = clock
        self._book = book

    async def __call__(self, number: str, *, until: float) -> bool:
        """Decide as of now. Raises ``UnknownOrder``, ``OrderNotFinished``, ``Unavailable``."""
        order = await find_finished_order(self._orders, number, until=until)
        rules, now = self._book.rules_for(order.zone, order.tariff), self._clock.now()
        if not need_hold(order, None, rules, now=now).needed:
            return False  # feedback can only forbid a hold, so nobody has to be asked
        return need_hold(order, await self._feedback.find(number, until=until), rules, now=now).needed
