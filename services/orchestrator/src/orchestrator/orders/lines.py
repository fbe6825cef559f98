"""Positions as an order holds them: complete, whatever the hook left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from orchestrator.orders.events import Line, OrderFact

_ONE = Decimal(1)


def complete(before: Sequence[Line], given: Sequence[Line]) -> tuple[Line, ...]:
    """Return the given positions, with what they leave out taken from the same position before.

    A quantity that nobody ever told is the ordered one, else one piece. A position's sum is inherited only when neither its quantity nor
    its price changed.
    """
    if not before:
        return tuple(_with_quantity(line) for line in given)
    known = {line.id: line for line in before}
    return tuple(_inherit(known.get(line.id), line) for line in given)


def totals(lines: Sequence[Line], fact: OrderFact) -> tuple[int | None, int | None]:
    """Return the order's sum and its discounted sum: as told, else added up, else None when a position has no price."""
    total = fact.total_price
    if total is None:
        total = _add_up(lines, lambda line: (line.total_price, line.price))
    discounted = fact.total_discount_price
    if discounted is None:
        discounted = _add_up(lines, lambda line: (line.total_discount_price, line.discount_price))
    return total, discounted


def line_total(line: Line) -> int | None:
    """Return what a position costs the customer, in minor units: discounted where it is; None when no hook told a price."""
    for total, price in ((line.total_discount_price, line.discount_price), (line.total_price, line.price)):
        if total is not None:
            return total
        if price is not None and line.quantity is not None:
            return int((price * line.quantity).quantize(_ONE, rounding=ROUND_HALF_UP))
    return None


def _with_quantity(line: Line) -> Line:
    if line.quantity is not None:
        return line
    return replace(line, quantity=_ONE if line.original_quantity is None else line.original_quantity)


def _inherit(before: Line | None, line: Line) -> Line:
    if before is None:
        return _with_quantity(line)
    quantity = before.quantity if line.quantity is None else line.quantity
    price = before.price if line.price is None else line.price
    discount = before.discount_price if line.discount_price is None else line.discount_price
    same = quantity == before.quantity
    total = line.total_price
    if total is None and same and price == before.price:
        total = before.total_price
    discounted = line.total_discount_price
    if discounted is None and same and discount == before.discount_price:
        discounted = before.total_discount_price
    return Line(
        id=line.id,
        name=line.name or before.name,
        quantity=quantity,
        original_quantity=before.original_quantity if line.original_quantity is None else line.original_quantity,
        price=price,
        discount_price=discount,
        total_price=total,
        total_discount_price=discounted,
        weight=before.weight if line.weight is None else line.weight,
    )


def _add_up(lines: Sequence[Line], sums: Callable[[Line], tuple[int | None, int | None]]) -> int | None:
    if not lines:
        return None
    result = 0
    for line in lines:
        total, price = sums(line)
        if total is None:
            if price is None or line.quantity is None:
                return None
            total = int((price * line.quantity).quantize(_ONE, rounding=ROUND_HALF_UP))
        result += total
    return result
