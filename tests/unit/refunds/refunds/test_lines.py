"""Partial refunds by lines: whatever parts are taken, in whatever order, they add up to what was paid."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from refunds.refunds.lines import BadLine, LineKind, LineTaken, RefundedLine, WantedLine, price


def _wanted(quantity: str, of: str = "3", paid: int = 100) -> WantedLine:
    return WantedLine("sku-1", LineKind.POSITION, Decimal(quantity), Decimal(of), paid)


def _taken(parts: list[RefundedLine]) -> dict[str, LineTaken]:
    if not parts:
        return {}
    quantity = sum((part.quantity for part in parts), Decimal(0))
    return {
        "sku-1": LineTaken(parts[0].of_quantity, parts[0].paid, quantity, sum(part.amount for part in parts)),
    }


def test_a_third_of_a_hundred_three_times_is_a_hundred() -> None:
    parts: list[RefundedLine] = []
    for _ in range(3):
        found = price([_wanted("1")], _taken(parts))
        assert isinstance(found, tuple)
        parts += found
    assert [part.amount for part in parts] == [33, 33, 34]


@given(data=st.data(), whole=st.integers(min_value=1, max_value=50), paid=st.integers(min_value=0, max_value=10**6))
def test_all_parts_of_a_line_add_up_although_some_fail_in_between(data: st.DataObject, whole: int, paid: int) -> None:
    parts: list[RefundedLine] = []
    left = whole
    while left:
        quantity = data.draw(st.integers(min_value=1, max_value=left))
        found = price([_wanted(str(quantity), str(whole), paid)], _taken(parts))
        assert isinstance(found, tuple)
        assert 0 <= found[0].amount <= paid
        parts += found
        left -= quantity
        if len(parts) > 1 and data.draw(st.booleans()):
            left += int(parts.pop(0).quantity)  # it was declined for good: its part is free again
            if data.draw(st.booleans()):
                continue
    assert sum(part.amount for part in parts) == paid


def test_tips_are_a_line_of_their_own_beside_positions() -> None:
    tips = WantedLine("tips", LineKind.TIPS, Decimal(1), Decimal(1), 50)
    priced = price([_wanted("2"), tips], {})
    assert priced == (
        RefundedLine("sku-1", LineKind.POSITION, Decimal(2), Decimal(3), 100, 67),
        RefundedLine("tips", LineKind.TIPS, Decimal(1), Decimal(1), 50, 50),
    )


def test_more_of_a_line_than_there_is_another_line_or_the_same_twice_is_refused() -> None:
    taken = {"sku-1": LineTaken(Decimal(3), 100, Decimal(2), 67)}
    codes = [
        found.code if isinstance(found, BadLine) else "fine"
        for found in (
            price([_wanted("2")], taken),
            price([_wanted("1", paid=200)], taken),
            price([_wanted("1"), _wanted("1")], {}),
            price([_wanted("1")], taken),
        )
    ]
    assert codes == ["line_exceeded", "line_changed", "line_repeated", "fine"]
