"""The rules of tips (M14, M15), each with the step it leaves in the explanation.

Sources: the seed ``tips-service`` (what the endpoints decide), public rules of Yandex Taxi, Uber, Stripe and Adyen (cashless only, rating,
window, caps), DECISIONS "Money" (flat is in major units). No rule reads a clock or a setting by itself: both are passed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext

from common.money import exponent
from tips.domain.order import Feedback, Order, TipsType

_PRECISION = 60
"""Decimal digits kept between the steps; more than any cost times any percentage has, so that rounding happens once, at the end."""


@dataclass(frozen=True, slots=True)
class TipsRules:
    """The constants of the rules.

    ``maximum`` caps the tips, in minor units by currency; ``default_maximum`` is for currencies it does not name (None: only the cost
    caps them). ``negative_rating``: tips of an order rated this or lower are 0. Tips are held from ``hold_after`` the end of the
    order (inclusive) to ``hold_until`` (exclusive).
    """

    maximum: Mapping[str, int] = field(default_factory=dict)
    default_maximum: int | None = None
    negative_rating: int = 3
    hold_after: timedelta = timedelta(minutes=30)
    hold_until: timedelta = timedelta(hours=24)

    def maximum_for(self, currency: str) -> int | None:
        """Return the configured maximum in minor units, or None where there is none."""
        return self.maximum.get(currency, self.default_maximum)


@dataclass(frozen=True, slots=True)
class Step:
    """One rule's part in a decision: its name, what it said, and in words why."""

    rule: str
    outcome: str
    detail: str


@dataclass(frozen=True, slots=True)
class Target:
    """What the tips of an order should be, in minor units, and how that came about."""

    amount: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """Whether the tips are to be held now, and how that came about."""

    needed: bool
    steps: tuple[Step, ...]


def target_tips(order: Order, feedback: Feedback | None, rules: TipsRules) -> Target:
    """Return the absolute sum that the tips should be. Pure: the same input gives the same sum, so a repeat changes nothing.

    0 ≤ the sum ≤ the cost of the order, and ≤ the configured maximum.
    """
    steps: list[Step] = []

    def settle(amount: int) -> Target:
        return Target(amount, tuple(steps))

    if not order.cashless:
        steps.append(Step("cashless", "no tips", "the order is not paid cashless"))
        return settle(0)
    steps.append(Step("cashless", "pass", "the order is paid cashless"))
    if order.refunded:
        steps.append(Step("not refunded", "no tips", "the order was refunded in full"))
        return settle(0)
    steps.append(Step("not refunded", "pass", "the order was not refunded in full"))
    if order.zeroed:
        steps.append(Step("not zeroed", "no tips", "the caller has set the tips to zero for good (M17)"))
        return settle(0)
    steps.append(Step("not zeroed", "pass", "the caller has not set the tips to zero"))
    if feedback is None:
        steps.append(Step("feedback", "no tips", "there is no feedback on the order"))
        return settle(0)
    if feedback.tips is None:
        steps.append(Step("feedback", "no tips", "the feedback names no tips"))
        return settle(0)
    steps.append(
        Step(
            "feedback", "pass", f"{feedback.tips.type} {feedback.tips.value}, updated {feedback.updated_at.isoformat()}"
        )
    )
    if feedback.rating is not None and feedback.rating <= rules.negative_rating:
        steps.append(Step("rating", "no tips", f"rated {feedback.rating}, which is {rules.negative_rating} or lower"))
        return settle(0)
    steps.append(Step("rating", "pass", "not rated" if feedback.rating is None else f"rated {feedback.rating}"))
    chosen = _minor_units(feedback.tips.type, feedback.tips.value, order)
    steps.append(
        Step(
            "sum",
            str(chosen),
            f"{feedback.tips.type} {feedback.tips.value} of a cost of {order.cost}, rounded half up once",
        )
    )
    return settle(_cap(chosen, order, rules, steps))


def need_hold(order: Order, feedback: Feedback | None, rules: TipsRules, *, now: datetime) -> Hold:
    """Return whether the tips that are set on the order should be held at ``now`` (M15). Reads only.

    True iff: finished, cashless, tips > 0, the customer has not pressed Done, inside the window, not held at that sum already.
    """
    steps: list[Step] = []

    def settle(needed: bool) -> Hold:
        return Hold(needed, tuple(steps))

    if not order.finished or order.finished_at is None:
        steps.append(Step("finished", "no hold", "the order is not finished"))
        return settle(False)
    steps.append(Step("finished", "pass", f"finished {order.finished_at.isoformat()}"))
    if not order.cashless:
        steps.append(Step("cashless", "no hold", "the order is not paid cashless"))
        return settle(False)
    steps.append(Step("cashless", "pass", "the order is paid cashless"))
    if order.tips <= 0:
        steps.append(Step("tips", "no hold", "no tips are set"))
        return settle(False)
    steps.append(Step("tips", "pass", f"tips of {order.tips} are set"))
    if feedback is not None and feedback.done:
        steps.append(Step("done", "no hold", "the customer pressed Done"))
        return settle(False)
    steps.append(Step("done", "pass", "the customer has not pressed Done"))
    opens, closes = order.finished_at + rules.hold_after, order.finished_at + rules.hold_until
    if not opens <= now < closes:
        when = "not open yet" if now < opens else "over"
        steps.append(Step("window", "no hold", f"{when}: {opens.isoformat()} to {closes.isoformat()}"))
        return settle(False)
    steps.append(Step("window", "pass", f"open: {opens.isoformat()} to {closes.isoformat()}"))
    if order.held_sum == order.tips:
        steps.append(Step("held", "no hold", f"{order.held_sum} is held already"))
        return settle(False)
    steps.append(
        Step(
            "held",
            "hold",
            "nothing is held" if order.held_sum is None else f"{order.held_sum} is held, {order.tips} is set",
        )
    )
    return settle(True)


def _minor_units(kind: TipsType, value: Decimal, order: Order) -> int:
    with localcontext(prec=_PRECISION):
        exact = (
            Decimal(order.cost) * value / 100 if kind is TipsType.PERCENT else value.scaleb(exponent(order.currency))
        )
        return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _cap(chosen: int, order: Order, rules: TipsRules, steps: list[Step]) -> int:
    maximum = rules.maximum_for(order.currency)
    limit = max(order.cost, 0) if maximum is None else max(min(order.cost, maximum), 0)
    amount = min(max(chosen, 0), limit)
    said = "pass" if amount == chosen else str(amount)
    steps.append(
        Step(
            "cap",
            said,
            f"at most {limit}: the cost is {order.cost}, the maximum {'none' if maximum is None else maximum}",
        )
    )
    return amount
