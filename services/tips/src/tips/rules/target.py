"""The rules of tips (M14, M15), each with the step it leaves in the explanation.

``target_tips`` and ``need_hold`` are what others may call, with these arguments. No rule reads a clock or a setting by itself: both are
passed in. Where each comes from stands in ``SOURCES``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext

from common.money import exponent
from tips.rules.order import Feedback, Order, TipsType

_PRECISION = 60
"""Decimal digits kept between the steps; more than any cost times any percentage has, so that rounding happens once, at the end."""


SOURCES: Mapping[str, str] = {
    "finished": "M16, seed tips-service: both endpoints are for finished orders",
    "cashless": "research/refunds-tips: cashless only (Yandex Taxi help, Uber); cash zeroes tips (seed: _close_with_cash, M17)",
    "not refunded": "M17, seed tips-service: a refund sets tips to zero",
    "not zeroed": "M17, seed tips-service: five places of the caller set tips to zero for good",
    "feedback": "seed tips-service: the service reads the feedback on the order",
    "rating": "research/refunds-tips: a negative rating (configurable, 3 or lower) means no tips (Yandex Taxi help)",
    "sum": "research/refunds-tips: percent of the final cost or flat, rounded half up once (Stripe); DECISIONS: flat is in major units",
    "cap": "research/refunds-tips: at most the cost and the configured maximum (Adyen, Uber)",
    "tips": "research/refunds-tips: only tips above zero are held",
    "done": "research/refunds-tips: not once the customer has pressed Done",
    "window": "research/refunds-tips: from 30 minutes to 24 hours after the end (Yandex Taxi help)",
    "held": "research/refunds-tips: not held at that sum already",
}
"""Where each rule comes from, by the name of its step."""

_OF_THE_ORDER = frozenset({"cashless", "not refunded", "not zeroed"})


@dataclass(frozen=True, slots=True)
class TipsRules:
    """The constants that hold for one order.

    ``cashless_methods``: payment methods (lower case) that are cashless; another or none is not. ``maximum`` caps the tips, in minor
    units by currency; ``default_maximum`` is for currencies it does not name (None: no such cap); ``maximum_share`` caps them too, in
    percent of the cost, and is never more than 100. ``negative_rating``: tips of an order rated this or lower are 0; 0 turns the rule
    off. Tips are held from ``hold_after`` the end of the order (inclusive) to ``hold_until`` (exclusive).
    """

    cashless_methods: frozenset[str] = frozenset()
    maximum: Mapping[str, int] = field(default_factory=dict)
    default_maximum: int | None = None
    maximum_share: Decimal = Decimal(100)
    negative_rating: int = 3
    hold_after: timedelta = timedelta(minutes=30)
    hold_until: timedelta = timedelta(hours=24)

    def __post_init__(self) -> None:
        """Refuse constants that contradict each other: ``ValueError`` with one line."""
        if not 0 <= self.maximum_share <= 100:
            raise ValueError("maximum_share is a percentage of the cost, from 0 to 100")
        if not timedelta(0) <= self.hold_after < self.hold_until:
            raise ValueError("hold_after has to come before hold_until")

    def maximum_for(self, currency: str) -> int | None:
        """Return the configured maximum in minor units, or None where there is none."""
        return self.maximum.get(currency, self.default_maximum)


@dataclass(frozen=True, slots=True)
class Step:
    """One rule's part in a decision: its name, what it said, and in words why."""

    rule: str
    outcome: str
    detail: str

    @property
    def source(self) -> str:
        """Where the rule comes from."""
        return SOURCES[self.rule]


@dataclass(frozen=True, slots=True)
class Target:
    """What the tips of an order should be, in minor units, and how that came about."""

    amount: int
    steps: tuple[Step, ...]

    @property
    def forbidden(self) -> bool:
        """Whether the order itself allows no tips, whatever the feedback says."""
        return self.steps[-1].rule in _OF_THE_ORDER


@dataclass(frozen=True, slots=True)
class Hold:
    """Whether the tips are to be held now, and how that came about."""

    needed: bool
    steps: tuple[Step, ...]


def target_tips(order: Order, feedback: Feedback | None, rules: TipsRules) -> Target:
    """Return the absolute sum that the tips should be. Pure: the same input gives the same sum, so a repeat changes nothing.

    0 ≤ the sum ≤ the cost of the order, its configured share and the configured maximum; never less for a higher percentage. Raises
    ``ValueError`` for flat tips in a currency that ``common.money`` does not know, which no stored order has.
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
    # Down, not half up: a cap is not exceeded by half a kopeck either.
    share = int(Decimal(order.cost) * rules.maximum_share / 100) if rules.maximum_share < 100 else order.cost
    limit = max(share if maximum is None else min(share, maximum), 0)
    amount = min(max(chosen, 0), limit)
    said = "pass" if amount == chosen else str(amount)
    of_cost = "" if share == order.cost else f", {rules.maximum_share} percent of it allowed"
    steps.append(
        Step(
            "cap",
            said,
            f"at most {limit}: the cost is {order.cost}{of_cost}, the maximum {'none' if maximum is None else maximum}",
        )
    )
    return amount
