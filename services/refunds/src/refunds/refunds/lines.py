"""Partial refunds by lines of an order: what a part of a line is worth, so that all its parts add up to what was paid for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from refunds.refunds.errors import LineConflict


class LineKind(StrEnum):
    """What was paid for. Tips are never mixed into a position."""

    POSITION = "position"
    DELIVERY = "delivery"
    TIPS = "tips"


@dataclass(frozen=True, slots=True)
class RequestedLine:
    """``quantity`` of the ``of_quantity`` that ``paid`` minor units were paid for is to go back."""

    id: str
    kind: LineKind
    quantity: Decimal
    of_quantity: Decimal
    paid: int


@dataclass(frozen=True, slots=True)
class RefundedLine(RequestedLine):
    """A line of a refund, with what it comes to in minor units."""

    amount: int


@dataclass(frozen=True, slots=True)
class LineTaken:
    """What earlier refunds of the payment, those not proven failed, have taken of a line."""

    of_quantity: Decimal
    paid: int
    quantity: Decimal
    amount: int


def price(lines: Sequence[RequestedLine], taken: Mapping[str, LineTaken]) -> tuple[RefundedLine, ...]:
    """Work out what each line comes to. Raises ``LineConflict``.

    A part is its share of ``paid``, rounded half up once; whoever takes the last of the quantity gets what is left of ``paid``. So the
    parts always add up to ``paid``, in whatever order they are taken and whichever of them fails in between.
    """
    priced: dict[str, RefundedLine] = {}
    for line in lines:
        if line.id in priced:
            raise LineConflict(f"line_repeated: line {line.id} stands twice")
        before = taken.get(line.id)
        if before is not None and (before.of_quantity, before.paid) != (line.of_quantity, line.paid):
            was = f"{before.of_quantity} for {before.paid}"
            raise LineConflict(f"line_changed: line {line.id} was {was} in an earlier refund")
        left = line.of_quantity - (before.quantity if before else Decimal(0))
        rest = line.paid - (before.amount if before else 0)
        if line.quantity > left:
            raise LineConflict(f"line_exceeded: {line.quantity} is more than the {left} left of line {line.id}")
        share = int((line.paid * line.quantity / line.of_quantity).quantize(Decimal(1), rounding=ROUND_HALF_UP))
        amount = rest if line.quantity == left else min(share, rest)
        priced[line.id] = RefundedLine(line.id, line.kind, line.quantity, line.of_quantity, line.paid, amount)
    return tuple(priced.values())
