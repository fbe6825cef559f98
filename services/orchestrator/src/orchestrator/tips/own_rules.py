"""The caller's own rules of tips: what it did before the tips service, and does whenever that does not answer; and the sum to pay.

The rules of tips stay until the move is over (docs/requirements.md#tips-rollout-and-fallback). They share settings with services/tips and
no code; the vectors and the Hypothesis test in tests/conformance keep both equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from common.money import exponent
from orchestrator.tips.model import Feedback, TipsOrder

_AGAIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class OldTipsRules:
    """The constants for one zone and tariff, in minor units and times.

    ``cashless_methods`` are payment methods, lower case. ``maximum`` caps tips by currency, ``default_maximum`` the currencies it
    does not name, ``maximum_share`` (percent of the cost, rounded down) all of them. Tips are held from ``hold_after`` the end of the
    order, inclusive, to ``hold_until``, exclusive.
    """

    cashless_methods: frozenset[str] = frozenset()
    maximum: Mapping[str, int] = field(default_factory=dict)
    default_maximum: int | None = None
    maximum_share: Decimal = Decimal(100)
    negative_rating: int = 3
    hold_after: timedelta = timedelta(minutes=30)
    hold_until: timedelta = timedelta(hours=24)

    def cashless(self, order: TipsOrder) -> bool:
        """Return whether the order is paid cashless."""
        return order.payment_method is not None and order.payment_method.lower() in self.cashless_methods


class RulesByPlace:
    """The constants by zone and tariff. What names both goes before what names the zone; then come the tariff and the default."""

    def __init__(
        self, default: OldTipsRules, places: Mapping[tuple[str | None, str | None], Mapping[str, Any]] | None = None
    ) -> None:
        """``places``: what differs, by (zone, tariff); None stands for any."""
        self._default = default
        self._places = places or {}

    def of(self, order: TipsOrder) -> OldTipsRules:
        """Return the constants for an order."""
        rules = self._default
        for place in ((None, order.tariff), (order.zone, None), (order.zone, order.tariff)):
            if place in self._places:
                rules = replace(rules, **self._places[place])
        return rules


@dataclass(frozen=True, slots=True)
class Write:
    """What to write to an order: the sum, and what it remembers of the feedback that the sum came from."""

    amount: int
    tips_type: str | None
    choice: str | None
    feedback_at: datetime | None
    done: bool


def tips_sum(order: TipsOrder, feedback: Feedback | None, rules: OldTipsRules) -> int:
    """Return the absolute sum that the order's tips should be: never above its cost or the maximum, never below zero."""
    if forbidden(order, rules) or feedback is None or feedback.tips_type is None or feedback.tips_value is None:
        return 0
    if feedback.rating is not None and feedback.rating <= rules.negative_rating:
        return 0
    numerator, denominator = rules.maximum_share.as_integer_ratio()
    limit = order.cost * numerator // (denominator * 100)
    maximum = rules.maximum.get(order.currency, rules.default_maximum)
    if maximum is not None and maximum < limit:
        limit = maximum
    return max(0, min(_chosen(order, feedback.tips_type, feedback.tips_value), limit))


def forbidden(order: TipsOrder, rules: OldTipsRules) -> bool:
    """Return whether the order itself allows no tips, whatever the feedback says."""
    return order.refunded or order.zeroed or not rules.cashless(order)


def _chosen(order: TipsOrder, tips_type: str, value: Decimal) -> int:
    """Work the customer's choice out exactly, in whole numbers; half a minor unit counts as one, away from zero."""
    numerator, denominator = value.as_integer_ratio()
    if tips_type == "percent":
        numerator, denominator = numerator * order.cost, denominator * 100
    else:
        numerator *= 10 ** exponent(order.currency)
    rounded = (2 * abs(numerator) + denominator) // (2 * denominator)
    return rounded if numerator >= 0 else -rounded


def write_of(order: TipsOrder, feedback: Feedback | None, rules: OldTipsRules) -> Write | None:
    """Return what is to be written, or None when nothing is.

    Feedback older than what was applied (or gone) is not; newer feedback always is, also when the sum is equal: it bumps the version,
    so that whoever still holds the older loses. An order that no set-tips-sum has seen is written once. Tips that the
    order itself forbids go, whatever the feedback at hand; what was noted of the feedback stays.
    """
    stored = Write(order.tips, order.tips_type, order.choice, order.feedback_at, order.done)
    new = Write(tips_sum(order, feedback, rules), None, None, None, done=False)
    if feedback is not None:
        new = Write(new.amount, feedback.tips_type, feedback.choice, feedback.updated_at, feedback.done)
    if order.feedback_at is not None and (new.feedback_at is None or new.feedback_at < order.feedback_at):
        return replace(stored, amount=0) if order.tips > 0 and forbidden(order, rules) else None
    return None if order.seen and new == stored else new


def need_hold(order: TipsOrder, feedback: Feedback | None, rules: OldTipsRules, *, now: datetime) -> bool:
    """Return whether the tips that are set are to be held now (docs/requirements.md#need-hold-tips)."""
    if not order.finished or order.finished_at is None or not rules.cashless(order):
        return False
    if order.tips <= 0 or order.tips == order.held_sum:
        return False
    if feedback is not None and feedback.done:
        return False
    age = now - order.finished_at
    return rules.hold_after <= age < rules.hold_until


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
