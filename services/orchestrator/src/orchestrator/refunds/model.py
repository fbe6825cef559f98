"""Refunds as this service asks for them, and what goods that go back are worth (docs/requirements.md#standard-recipes)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from common.errors import Conflict, Unprocessable
from common.reading import Line
from orchestrator.orders.content import line_total


class NoPayment(Conflict):
    """The order has no payment of ours: whoever took the money gives it back."""

    code = "no_payment"


class AskedBefore(Conflict):
    """The same is asked for already, and neither rejected nor taken back by the payment system."""

    code = "asked_before"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """A refund that was asked for. ``amount`` None: everything captured. ``positions`` are (id, quantity) it was worked out from.

    ``tips`` is what of the amount are tips: all of it, or nothing.
    """

    business_key: str
    order_number: str
    payment_id: str
    amount: int | None
    currency: str
    reason: str
    requested_by: str
    requested_at: datetime
    positions: tuple[tuple[str, str], ...] = ()
    tips: int = 0


EVENT_FIELDS = ("payment_id", "amount", "currency", "reason", "requested_by")
"""What of a request its workflow is given, beside ``tips``; the rest is the workflow's own."""


@dataclass(frozen=True, slots=True)
class KnownRefund:
    """What is known of a refund that was asked for: since when it has been, and its newest state."""

    requested_at: datetime | None
    state_name: str | None
    rejected: bool


def sum_of_goods(lines: Sequence[Line], wanted: Mapping[str, Decimal], before: Mapping[str, Decimal]) -> int:
    """Return the minor units that ``wanted`` (quantity by position) is worth, when ``before`` has been asked for already.

    Several parts of a position add up to its whole sum to the last unit, whatever the order and sizes: each is the difference of two
    rounded sums. Raises ``Unprocessable`` for an unknown position, one without a price, and more than the order holds.
    """
    amount = 0
    for position, part in sorted(wanted.items()):
        found = [line for line in lines if line.id == position]
        if not found:
            raise Unprocessable(f"the order has no position {position!r}")
        quantity = sum((line.quantity or Decimal(0) for line in found), Decimal(0))
        totals = [line_total(line) for line in found]
        done = before.get(position, Decimal(0))
        if done + part > quantity:
            raise Unprocessable(f"position {position!r}: {quantity:f} in the order, {done:f} asked for before")
        total = 0
        for value in totals:
            if value is None:
                raise Unprocessable(f"position {position!r} has no price: say the amount")
            total += value
        amount += _rounded(total, done + part, quantity) - _rounded(total, done, quantity)
    return amount


def _rounded(total: int, part: Decimal, quantity: Decimal) -> int:
    return int((Decimal(total) * part / quantity).quantize(Decimal(1), rounding=ROUND_HALF_UP)) if quantity else 0
