"""Partial refunds by lines of an order: what a part of a line is worth, so that all its parts add up to what was paid for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from common.money import worth_of_part
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

    quantity: Decimal
    amount: int


def price(lines: Sequence[RequestedLine], taken: Mapping[str, LineTaken]) -> tuple[RefundedLine, ...]:
    """Work out what each line comes to. Raises ``LineConflict``.

    ``worth_of_part`` says how: all parts of a line add up to ``paid``. A line that has changed since an earlier refund (another
    price or quantity after all) counts as it is now.
    """
    priced: dict[str, RefundedLine] = {}
    for line in lines:
        if line.id in priced:
            raise LineConflict(f"line_repeated: line {line.id} stands twice")
        before = taken.get(line.id)
        done, done_amount = (before.quantity, before.amount) if before else (Decimal(0), 0)
        left = line.of_quantity - done
        if line.quantity > left:
            raise LineConflict(f"line_exceeded: {line.quantity} is more than the {left} left of line {line.id}")
        amount = worth_of_part(
            line.paid,
            quantity=line.quantity,
            of_quantity=line.of_quantity,
            taken_quantity=done,
            taken_amount=done_amount,
        )
        priced[line.id] = RefundedLine(line.id, line.kind, line.quantity, line.of_quantity, line.paid, amount)
    return tuple(priced.values())
