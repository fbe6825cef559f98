"""What goods that go back are worth (M13): a sum from positions and quantities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal

from common.errors import Unprocessable
from orchestrator.orders.events import Line
from orchestrator.orders.lines import line_total


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
