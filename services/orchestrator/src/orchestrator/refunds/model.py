"""Refunds as this service asks for them, and what goods that go back are worth (docs/requirements.md#standard-recipes)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from common.errors import Conflict, Unprocessable
from common.money import worth_of_part
from common.reading import Line
from orchestrator.orders.content import line_total


class NoPayment(Conflict):
    """The order has no payment of ours: whoever took the money gives it back."""

    code = "no_payment"


class AskedBefore(Conflict):
    """The same is asked for already, and neither rejected nor taken back by the payment system."""

    code = "asked_before"


@dataclass(frozen=True, slots=True)
class GoodsPart:
    """``quantity`` of the ``of_quantity`` of a position that ``paid`` minor units were paid for; ``amount`` is what it comes to."""

    id: str
    quantity: str
    of_quantity: str
    paid: int
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """A refund that was asked for. ``amount`` None: everything captured.

    ``goods`` are the parts of the order it is for: then the refunds service works the sum out, and ``amount`` is what it is expected to
    come to. ``positions`` are their (id, quantity). ``tips`` is what of the amount are tips: all of it, or nothing.
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
    goods: tuple[GoodsPart, ...] = ()


EVENT_FIELDS = ("payment_id", "amount", "currency", "reason", "requested_by")
"""What of a request its workflow is given, beside ``tips`` and ``goods``; the rest is the workflow's own."""


@dataclass(frozen=True, slots=True)
class KnownRefund:
    """What is known of a refund that was asked for: since when it has been, and its newest state."""

    requested_at: datetime | None
    state_name: str | None
    rejected: bool


@dataclass(frozen=True, slots=True)
class PartTaken:
    """What of a position is asked for already: its quantity, and the minor units it comes to as far as they are known.

    ``unpriced`` is the part of the quantity whose sum was not stored (before lines were).
    """

    quantity: Decimal
    amount: int = 0
    unpriced: Decimal = Decimal(0)


def price_goods(
    lines: Sequence[Line], wanted: Mapping[str, Decimal], before: Mapping[str, PartTaken]
) -> tuple[GoodsPart, ...]:
    """Return the parts of the order that ``wanted`` (quantity by position) are, when ``before`` has been asked for already.

    The refunds service works the sums out by the same rule (``worth_of_part``) from what it knows; these are what operators are shown.
    Raises ``Unprocessable`` for an unknown position, one without a price, and more than the order holds.
    """
    parts = []
    for position, part in sorted(wanted.items()):
        found = [line for line in lines if line.id == position]
        if not found:
            raise Unprocessable(f"the order has no position {position!r}")
        quantity = sum((line.quantity or Decimal(0) for line in found), Decimal(0))
        done = before.get(position, PartTaken(Decimal(0)))
        if done.quantity + part > quantity:
            raise Unprocessable(f"position {position!r}: {quantity:f} in the order, {done.quantity:f} asked for before")
        paid = 0
        for value in map(line_total, found):
            if value is None:
                raise Unprocessable(f"position {position!r} has no price: say the amount")
            paid += value
        taken = done.amount
        if done.unpriced:
            taken += worth_of_part(
                paid, quantity=done.unpriced, of_quantity=quantity, taken_quantity=Decimal(0), taken_amount=0
            )
        amount = worth_of_part(
            paid, quantity=part, of_quantity=quantity, taken_quantity=done.quantity, taken_amount=taken
        )
        parts.append(GoodsPart(position, f"{part.normalize():f}", f"{quantity.normalize():f}", paid, amount))
    return tuple(parts)
