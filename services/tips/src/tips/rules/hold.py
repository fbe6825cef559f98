"""Whether the tips of an order are to be held (docs/requirements.md#need-hold-tips)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tips.rules.constants import TipsRules
from tips.rules.order import Feedback, Order
from tips.rules.steps import Rule, Step, passed


@dataclass(frozen=True, slots=True)
class Hold:
    """Whether the tips are to be held now, and how that came about."""

    needed: bool
    steps: tuple[Step, ...]


def need_hold(order: Order, feedback: Feedback | None, rules: TipsRules, *, now: datetime) -> Hold:
    """Return whether the tips that are set on the order should be held at ``now``. Changes nothing.

    True if and only if: finished, cashless, tips > 0, the customer has not pressed Done, inside the window, not held at that sum already.
    """
    steps: list[Step] = []
    if not order.finished or order.finished_at is None:
        return _no_hold(steps, Rule.FINISHED, "the order is not finished")
    steps.append(passed(Rule.FINISHED, f"finished {order.finished_at.isoformat()}"))
    if not order.cashless:
        return _no_hold(steps, Rule.CASHLESS, "the order is not paid cashless")
    steps.append(passed(Rule.CASHLESS, "the order is paid cashless"))
    if order.tips <= 0:
        return _no_hold(steps, Rule.TIPS, "no tips are set")
    steps.append(passed(Rule.TIPS, f"tips of {order.tips} are set"))
    if feedback is not None and feedback.done:
        return _no_hold(steps, Rule.DONE, "the customer pressed Done")
    steps.append(passed(Rule.DONE, "the customer has not pressed Done"))
    opens, closes = order.finished_at + rules.hold_after, order.finished_at + rules.hold_until
    window = f"{opens.isoformat()} to {closes.isoformat()}"
    if not opens <= now < closes:
        return _no_hold(steps, Rule.WINDOW, f"{'not open yet' if now < opens else 'over'}: {window}")
    steps.append(passed(Rule.WINDOW, f"open: {window}"))
    if order.held_sum == order.tips:
        return _no_hold(steps, Rule.HELD, f"{order.held_sum} is held already")
    why = "nothing is held" if order.held_sum is None else f"{order.held_sum} is held, {order.tips} is set"
    return Hold(True, (*steps, Step(Rule.HELD, "hold", why)))


def _no_hold(steps: list[Step], rule: Rule, why: str) -> Hold:
    return Hold(False, (*steps, Step(rule, "no hold", why)))
