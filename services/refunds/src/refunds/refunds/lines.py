"""Partial refunds by lines of an order: what a part of a line is worth, so that all its parts add up to what was paid for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum


class LineKind(StrEnum):
    """What was paid for. Tips are never mixed into a position."""

    POSITION = "position"
    DELIVERY = "delivery"
    TIPS = "tips"


@dataclass(frozen=True, slots=True)
class WantedLine:
    """``quantity`` of the ``of_quantity`` that ``paid`` minor units were paid for is to go back."""

    id: str
    kind: LineKind
    quantity: Decimal
    of_quantity: Decimal
    paid: int


@dataclass(frozen=True, slots=True)
class RefundedLine:
    """A line of a refund, with what it comes to in minor units."""

    id: str
    kind: LineKind
    quantity: Decimal
    of_quantity: Decimal
    paid: int
    amount: int


@dataclass(frozen=True, slots=True)
class LineTaken:
    """What earlier refunds of the payment, those not proven failed, have taken of a line."""

    of_quantity: Decimal
    paid: int
    quantity: Decimal
    amount: int


@dataclass(frozen=True, slots=True)
class BadLine:
    """The line cannot be refunded so. ``code`` is stable."""

    code: str
    detail: str


def price(lines: Sequence[WantedLine], taken: Mapping[str, LineTaken]) -> tuple[RefundedLine, ...] | BadLine:
    """Work out what each line comes to.

    A part is its share of ``paid``, rounded half up once; whoever takes the last of the quantity gets what is left of ``paid``. So the
    parts always add up to ``paid``, in whatever order they are taken and whichever of them fails in between.
    """
    priced: list[RefundedLine] = []
    seen: set[str] = set()
    for line in lines:
        if line.id in seen:
            return BadLine("line_repeated", f"line {line.id} stands twice")
        seen.add(line.id)
        before = taken.get(line.id)
        if before is not None and (before.of_quantity, before.paid) != (line.of_quantity, line.paid):
            return BadLine(
                "line_changed", f"line {line.id} was {before.of_quantity} for {before.paid} in an earlier refund"
            )
        left = line.of_quantity - (before.quantity if before else Decimal(0))
        rest = line.paid - (before.amount if before else 0)
        if line.quantity > left:
            return BadLine("line_exceeded", f"{line.quantity} is more than the {left} left of line {line.id}")
        share = int((line.paid * line.quantity / line.of_quantity).quantize(Decimal(1), rounding=ROUND_HALF_UP))
        amount = rest if line.quantity == left else min(share, rest)
        priced.append(RefundedLine(line.id, line.kind, line.quantity, line.of_quantity, line.paid, amount))
    return tuple(priced)
