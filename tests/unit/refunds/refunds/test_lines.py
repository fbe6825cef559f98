"""Partial refunds by lines: whatever parts are taken, in whatever order, they add up to what was paid."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refunds.refunds.errors import LineConflict
from refunds.refunds.lines import LineKind, LineTaken, RefundedLine, RequestedLine, price

TWO_TAKEN = {"sku-1": LineTaken(Decimal(2), 67)}


def _wanted(quantity: str, of: str = "3", paid: int = 100) -> RequestedLine:
    return RequestedLine("sku-1", LineKind.POSITION, Decimal(quantity), Decimal(of), paid)


def _taken(parts: list[RefundedLine]) -> dict[str, LineTaken]:
    if not parts:
        return {}
    quantity = sum((part.quantity for part in parts), Decimal(0))
    return {
        "sku-1": LineTaken(quantity, sum(part.amount for part in parts)),
    }


def test_a_third_of_a_hundred_three_times_is_a_hundred() -> None:
    parts: list[RefundedLine] = []
    for _ in range(3):
        parts += price([_wanted("1")], _taken(parts))
    assert [part.amount for part in parts] == [33, 33, 34]


@given(data=st.data(), whole=st.integers(min_value=1, max_value=50), paid=st.integers(min_value=0, max_value=10**6))
def test_all_parts_of_a_line_add_up_although_some_fail_in_between(data: st.DataObject, whole: int, paid: int) -> None:
    parts: list[RefundedLine] = []
    left = whole
    while left:
        quantity = data.draw(st.integers(min_value=1, max_value=left))
        found = price([_wanted(str(quantity), str(whole), paid)], _taken(parts))
        assert 0 <= found[0].amount <= paid
        parts += found
        left -= quantity
        if len(parts) > 1 and data.draw(st.booleans()):
            left += int(parts.pop(0).quantity)  # it was declined for good: its part is free again
            if data.draw(st.booleans()):
                continue
    assert sum(part.amount for part in parts) == paid


def test_tips_are_a_line_of_their_own_beside_positions() -> None:
    tips = RequestedLine("tips", LineKind.TIPS, Decimal(1), Decimal(1), 50)
    priced = price([_wanted("2"), tips], {})
    assert priced == (
        RefundedLine("sku-1", LineKind.POSITION, Decimal(2), Decimal(3), 100, 67),
        RefundedLine("tips", LineKind.TIPS, Decimal(1), Decimal(1), 50, 50),
    )


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([_wanted("2")], "line_exceeded"),
        ([_wanted("1"), _wanted("1")], "line_repeated"),
    ],
)
def test_more_of_a_line_than_there_is_or_one_twice_is_refused(lines: list[RequestedLine], code: str) -> None:
    with pytest.raises(LineConflict, match=f"^{code}: "):
        price(lines, TWO_TAKEN)


@pytest.mark.parametrize(("paid", "last"), [(200, 133), (80, 13), (60, 0)])
def test_of_a_line_whose_price_changed_meanwhile_no_more_than_was_paid_goes_back(paid: int, last: int) -> None:
    (line,) = price([_wanted("1", paid=paid)], TWO_TAKEN)
    assert line.amount == last


def test_the_last_of_a_line_is_what_is_left_of_it() -> None:
    assert [line.amount for line in price([_wanted("1")], TWO_TAKEN)] == [33]
