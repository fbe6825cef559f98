"""What the tips of an order should be (docs/requirements.md#set-tips-sum)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext

from common.money import exponent
from tips.rules.constants import TipsRules
from tips.rules.order import ChosenTips, Feedback, Order, TipsType
from tips.rules.steps import Rule, Step, passed

_PRECISION = 60
"""Decimal digits kept between the steps; more than any cost times any percentage has, so that rounding happens once, at the end."""

_OF_THE_ORDER = frozenset({Rule.CASHLESS, Rule.NOT_REFUNDED, Rule.NOT_ZEROED})


@dataclass(frozen=True, slots=True)
class Target:
    """What the tips of an order should be, in minor units, and how that came about."""

    amount: int
    steps: tuple[Step, ...]

    @property
    def forbidden(self) -> bool:
        """Whether the order itself allows no tips, whatever the feedback says."""
        return self.steps[-1].rule in _OF_THE_ORDER


def target_tips(order: Order, feedback: Feedback | None, rules: TipsRules) -> Target:
    """Return the absolute sum that the tips should be. Pure: the same input gives the same sum, so a repeat changes nothing.

    0 ≤ the sum ≤ the cost of the order, its configured share and the configured maximum; never less for a higher percentage. Raises
    ``ValueError`` for flat tips in a currency that ``common.money`` does not know, which no stored order has.
    """
    steps: list[Step] = []
    if not order.cashless:
        return _no_tips(steps, Rule.CASHLESS, "the order is not paid cashless")
    steps.append(passed(Rule.CASHLESS, "the order is paid cashless"))
    if order.refunded:
        return _no_tips(steps, Rule.NOT_REFUNDED, "the order was refunded in full")
    steps.append(passed(Rule.NOT_REFUNDED, "the order was not refunded in full"))
    if order.zeroed:
        return _no_tips(steps, Rule.NOT_ZEROED, "the caller has set the tips to zero for good")
    steps.append(passed(Rule.NOT_ZEROED, "the caller has not set the tips to zero"))
    if feedback is None:
        return _no_tips(steps, Rule.FEEDBACK, "there is no feedback on the order")
    chosen, rating = feedback.tips, feedback.rating
    if chosen is None:
        return _no_tips(steps, Rule.FEEDBACK, "the feedback names no tips")
    steps.append(passed(Rule.FEEDBACK, f"{chosen.type} {chosen.value}, updated {feedback.updated_at.isoformat()}"))
    if rating is not None and rating <= rules.negative_rating:
        return _no_tips(steps, Rule.RATING, f"rated {rating}, which is {rules.negative_rating} or lower")
    steps.append(passed(Rule.RATING, "not rated" if rating is None else f"rated {rating}"))
    amount = _minor_units(chosen, order)
    why = f"{chosen.type} {chosen.value} of a cost of {order.cost}, rounded half up once"
    steps.append(Step(Rule.SUM, str(amount), why))
    return _capped(amount, order, rules, steps)


def _no_tips(steps: list[Step], rule: Rule, why: str) -> Target:
    return Target(0, (*steps, Step(rule, "no tips", why)))


def _minor_units(chosen: ChosenTips, order: Order) -> int:
    with localcontext(prec=_PRECISION):
        if chosen.type is TipsType.PERCENT:
            exact = Decimal(order.cost) * chosen.value / 100
        else:
            exact = chosen.value.scaleb(exponent(order.currency))
        return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _capped(chosen: int, order: Order, rules: TipsRules, steps: list[Step]) -> Target:
    maximum = rules.maximum_for(order.currency)
    # Down, not half up: a cap is not exceeded by half a kopeck either.
    share = int(Decimal(order.cost) * rules.maximum_share / 100) if rules.maximum_share < 100 else order.cost
    limit = max(share if maximum is None else min(share, maximum), 0)
    amount = min(max(chosen, 0), limit)
    of_cost = "" if share == order.cost else f", {rules.maximum_share} percent of it allowed"
    why = f"at most {limit}: the cost is {order.cost}{of_cost}, the maximum {'none' if maximum is None else maximum}"
    return Target(amount, (*steps, Step(Rule.CAP, "pass" if amount == chosen else str(amount), why)))
