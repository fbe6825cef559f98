"""What later hooks leave out and what they change: positions that inherit, totals that move with the goods. Pure rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from common.reading import Line
from common.reading.values import LARGEST_SUM
from orchestrator.orders.model import HookType, KnownSums, OrderFact, OrderState, numbered


def complete(before: Sequence[Line], given: Sequence[Line]) -> tuple[Line, ...]:
    """Return the given positions, with what they leave out taken from the same position before: the same id, the same occurrence of it.

    A quantity that no hook ever gave is the ordered one, and goes with it. A position's sum is inherited only when neither its quantity
    nor its price changed.
    """
    if not before:
        return tuple(_with_quantity(line) for line in given)
    known = dict(numbered(before))
    return tuple(_inherit(known.get(key), line) for key, line in numbered(given))


def quantity_is_missing(before: Sequence[Line], given: Sequence[Line]) -> bool:
    """Whether a position is new and nobody says how many of it: that is not guessed."""
    if all(line.quantity is not None or line.original_quantity is not None for line in given):
        return False
    known = dict(numbered(before))
    return any(
        line.quantity is None and line.original_quantity is None and key not in known for key, line in numbered(given)
    )


def totals(state: OrderState | None, lines: Sequence[Line], fact: OrderFact) -> tuple[int | None, int | None]:
    """Return the order's sum and its discounted sum with these lines.

    As the hook gives them. Else, where they were known before (delivery may be in them), with the difference that the goods make added:
    a price that is told for the first time makes none. Else added up, and None when a position has no price. A discounted sum that
    nobody gave goes with a sum that the hook gives, and is no more than that.
    """
    total, discounted = fact.total_price, fact.total_discount_price
    known, paid = _last_known(state)
    if total is None:
        total = _total_after(*known, lines, _full, _full)
    if discounted is None:
        if paid[0] is None or (fact.total_price is not None and paid[0] == _to_be_paid(*known)):
            discounted = _to_be_paid(total, lines)
        elif fact.total_price is not None and paid[0] == known[0]:
            # Nothing was taken off but what was in both sums.
            discounted = max(fact.total_price - max(_taken_off(lines) - _taken_off(known[1]), 0), 0)
        else:
            discounted = _total_after(*paid, lines, _discounted, _to_pay)
        if fact.total_price is not None and discounted is not None:
            discounted = min(discounted, fact.total_price)
    return total, discounted


def kept_sums(state: OrderState, fact: OrderFact, total: int | None, discounted: int | None) -> KnownSums | None:
    """Return the sums that were known and no longer are, with the goods that they count: a price that comes later finds the delivery.

    A discounted sum that went with the sum is over once the hook gives another: it will go with that one.
    """
    known = state.known or (state.total_price, state.total_discount_price, state.lines)
    if total is None and known[0] is not None:
        return known
    if discounted is not None or known[1] is None:
        return None
    over = fact.total_price is not None and known[1] == _to_be_paid(known[0], known[2])
    return None if over else known


def costs_nothing(before: Sequence[Line], fact: OrderFact) -> bool:
    """Whether a hook's sum is nothing although its goods have prices, and no discount says why. A person's correction may say so."""
    if fact.total_price != 0 or fact.hook is HookType.CORRECTED:
        return False
    lines = before if fact.lines is None else complete(before, fact.lines)
    return any(_sum_of(line.quantity, line, _to_pay) for line in lines)


def _last_known(state: OrderState | None) -> list[tuple[int | None, Sequence[Line]]]:
    """The sum and the discounted one, each with the goods that it counts; what a position without a price made unknown as it was before."""
    if state is None:
        return [(None, ()), (None, ())]
    total, discounted, lines = state.known or (None, None, ())
    sums = (state.total_price, total), (state.total_discount_price, discounted)
    return [(was, lines) if now is None else (now, state.lines) for now, was in sums]


def _to_be_paid(total: int | None, lines: Sequence[Line]) -> int | None:
    """What is to be paid of a sum where nobody said: the delivery that is in it too, and goods without a discount in full."""
    if total is None or all(_discounted(line) == (None, None) for line in lines):
        return _add_up(lines, _discounted)
    full, to_pay = _add_up(lines, _full), _add_up(lines, _to_pay)
    if full is None or to_pay is None or total < full:
        return _add_up(lines, _discounted)
    return max(total + to_pay - full, 0)


def _taken_off(lines: Sequence[Line]) -> int:
    """What the positions' discounts come to, as far as both prices are told."""
    sums = [(_sum_of(line.quantity, line, _full), _sum_of(line.quantity, line, _to_pay)) for line in lines]
    return sum(full - paid for full, paid in sums if full is not None and paid is not None)


_Sums = Callable[[Line], tuple[int | None, int | None]]


def _full(line: Line) -> tuple[int | None, int | None]:
    return line.total_price, line.price


def _discounted(line: Line) -> tuple[int | None, int | None]:
    return line.total_discount_price, line.discount_price


def _to_pay(line: Line) -> tuple[int | None, int | None]:
    given = _discounted(line)
    return _full(line) if given == (None, None) else given


def _total_after(
    known: int | None, before: Sequence[Line], lines: Sequence[Line], sums: _Sums, moving: _Sums
) -> int | None:
    """``sums`` add up to a total that nobody gave; ``moving`` are those by which a known one moves."""
    if known is None:
        return _add_up(lines, sums)
    if before == lines:
        return known
    was, now = _add_up(_priced(before, lines), moving), _add_up(lines, moving)
    if was is None or now is None:
        return _add_up(lines, sums)
    total = max(known + now - was, 0)
    return total if total <= LARGEST_SUM else None


def _priced(before: Sequence[Line], after: Sequence[Line]) -> list[Line]:
    """The positions before; those without a sum with what the same ones cost now: the known total counted them, at a price not told."""
    now = dict(numbered(after))
    return [_priced_as(line, now.get(key)) for key, line in numbered(before)]


def _priced_as(line: Line, now: Line | None) -> Line:
    if now is None or _full(line) != (None, None):
        return line
    full, discounted = _sum_of(line.quantity, now, _full), line.total_discount_price
    if _discounted(line) == (None, None):
        discounted = _sum_of(line.quantity, now, _discounted)
    return replace(line, total_price=full, total_discount_price=discounted)


def _sum_of(quantity: Decimal | None, line: Line, sums: _Sums) -> int | None:
    """What so many of a position cost, by its price, else by its share of the position's sum."""
    total, price = sums(line)
    if total is not None and quantity == line.quantity:
        return total
    if quantity is None or (price is None and (total is None or not line.quantity)):
        return None
    cost = price * quantity if price is not None else Decimal(total or 0) * quantity / (line.quantity or 1)
    return int(cost.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _with_quantity(line: Line) -> Line:
    if line.quantity is not None:
        return line
    return replace(line, quantity=line.original_quantity, quantity_follows=True)


def _inherit(before: Line | None, line: Line) -> Line:
    if before is None:
        return _with_quantity(line)
    follows = before.quantity_follows and line.quantity is None
    quantity = line.quantity
    if quantity is None:
        quantity = line.original_quantity if follows and line.original_quantity is not None else before.quantity
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
        replaces=line.replaces or before.replaces,
        quantity_follows=follows,
    )


def _add_up(lines: Sequence[Line], sums: _Sums) -> int | None:
    if not lines:
        return None
    result = 0
    for line in lines:
        total = _sum_of(line.quantity, line, sums)
        if total is None:
            return None
        result += total
    return result if result <= LARGEST_SUM else None
