"""Refunds as this service asks for them, and which goods go back (docs/requirements.md#standard-recipes)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from common.errors import Conflict, Unprocessable
from common.money import worth_of_part
from common.reading import Line, line_total


class NoPayment(Conflict):
    """The order has no payment of ours: whoever took the money gives it back."""

    code = "no_payment"


class AskedBefore(Conflict):
    """The same is asked for already, and neither rejected nor taken back by the payment system."""

    code = "asked_before"


@dataclass(frozen=True, slots=True)
class GoodsPart:
    """``quantity`` of the ``of_quantity`` of a position that ``paid`` minor units were paid for."""

    id: str
    quantity: str
    of_quantity: str
    paid: int


def worth_of(part: GoodsPart, *, asked_before: Decimal) -> int | None:
    """Return what the refunds service will give back for a part, in minor units; None where earlier refunds of the position decide it."""
    if asked_before:
        return None
    return worth_of_part(
        part.paid,
        quantity=Decimal(part.quantity),
        of_quantity=Decimal(part.of_quantity),
        taken_quantity=Decimal(0),
        taken_amount=0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """A refund that was asked for. ``amount`` None: everything captured, or of ``goods`` what the refunds service works out.

    ``goods`` are the parts of the order it is for. ``tips`` is what of the amount are tips: all of it, or nothing.
    """

    business_key: str
    order_number: str
    payment_id: str
    amount: int | None
    currency: str
    reason: str
    requested_by: str
    requested_at: datetime
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


def goods_of(
    lines: Sequence[Line], wanted: Mapping[str, Decimal], before: Mapping[str, Decimal]
) -> tuple[GoodsPart, ...]:
    """Return the parts of the order that ``wanted`` (quantity by position) are, when ``before`` has been asked for already.

    What they come to is the refunds service's to say. Raises ``Unprocessable`` for an unknown position, one without a price, more than
    the order holds, and goods that cost nothing.
    """
    parts = []
    for position, part in sorted(wanted.items()):
        found = [line for line in lines if line.id == position]
        if not found:
            raise Unprocessable(f"the order has no position {position!r}")
        quantity = sum((line.quantity or Decimal(0) for line in found), Decimal(0))
        done = before.get(position, Decimal(0))
        if done + part > quantity:
            raise Unprocessable(f"position {position!r}: {quantity:f} in the order, {done:f} asked for before")
        paid = 0
        for value in map(line_total, found):
            if value is None:
                raise Unprocessable(f"position {position!r} has no price: say the amount")
            paid += value
        parts.append(GoodsPart(position, f"{part.normalize():f}", f"{quantity.normalize():f}", paid))
    if parts and not any(part.paid for part in parts):
        raise Unprocessable("these positions cost nothing")
    return tuple(parts)
