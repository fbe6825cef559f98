"""The sum to pay of an order, and when to look at it again."""

from __future__ import annotations

from datetime import datetime, timedelta

from orchestrator.tips.model import TipsOrder
from orchestrator.tips.own_rules import OldTipsRules, forbidden

_AGAIN = timedelta(minutes=5)


def sum_to_pay(order: TipsOrder) -> int:
    """Return what the goods cost the customer in the end, in minor units: the final cost without what went back; tips not in it."""
    if order.cancelled or order.refunded:
        return 0
    return max(order.cost - order.given_back, 0)


def next_check(order: TipsOrder, rules: OldTipsRules, *, now: datetime) -> datetime | None:
    """Return when the order has to be looked at again, or None when there is nothing left to check.

    Tips can change by themselves only while they may still be held: a cashless order whose tips were not set to zero, before the
    window opens. When it opens they are held; after that only the customer (``feedback-changed``) or a refund begins another run. A hold
    that was due and did not come about inside the window is tried again.
    """
    if not order.finished or order.finished_at is None or forbidden(order, rules):
        return None
    opens, closes = order.finished_at + rules.hold_after, order.finished_at + rules.hold_until
    if now < opens:
        return None if order.done else opens
    return None if now >= closes or order.tips <= 0 or order.done or order.held_sum == order.tips else now + _AGAIN
