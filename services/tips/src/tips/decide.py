"""``POST /tips/v1/set-tips-sum`` (M14): bring the tips of an order to what they should be."""

from __future__ import annotations

from functools import partial

from tips.errors import Contended
from tips.find_order import find_finished_order
from tips.ports import REFUSED, FeedbackSource, Observer, Orders
from tips.rules.constants import RuleBook
from tips.rules.target import target_tips
from tips.rules.write import Write, plan_write


class SetTipsSum:
    """Idempotent, and safe under concurrent calls: the newest feedback wins in the end.

    The sum is an absolute value, written under a comparison with the order's version. Whoever loses the race reads the order *and*
    the feedback again; so a call that hung after its reads can never put an older sum over a newer one (the seed's five-step story).
    """

    def __init__(
        self, orders: Orders, feedback: FeedbackSource, observer: Observer, *, book: RuleBook, attempts: int = 5
    ) -> None:
        self._orders = orders
        self._feedback = feedback
        self._observer = observer
        self._book = book
        self._attempts = attempts

    async def __call__(self, number: str, *, until: float) -> None:
        """Decide, and write if something changed. Ends by ``until``, a moment of ``time.monotonic()``; a write may still happen after it.

        Raises ``UnknownOrder``, ``OrderNotFinished``, ``Contended`` (the order changed under every attempt), ``Unavailable``.
        """
        for _ in range(self._attempts):
            order = await find_finished_order(self._orders, number, until=until)
            feedback = await self._feedback.find(number, until=until)
            target = target_tips(order, feedback, self._book.rules_for(order.zone, order.tariff))
            plan = plan_write(order, feedback, target.amount, forbidden=target.forbidden)
            if plan.write is not Write.SET:
                # Stale feedback is no error: what is stored came from newer feedback than this call could read.
                self._observer.nothing_to_write(order)
                return
            count = partial(self._observer.decided, order, amount=plan.amount, applied=plan.applied)
            written = await self._orders.set_tips(
                order,
                amount=plan.amount,
                applied=plan.applied,
                until=until,
                late=count,
            )
            count(written)
            if written.outcome not in REFUSED:
                return
        raise Contended(f"order {number} changed under each of {self._attempts} attempts", retry_after=1.0)
