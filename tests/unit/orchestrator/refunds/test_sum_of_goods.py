"""What goods that go back are worth."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Unprocessable
from common.reading import Line
from orchestrator.refunds.model import GoodsPart, PartTaken, price_goods


@given(
    total=st.integers(0, 10**6),
    parts=st.lists(st.decimals("0.001", 3, places=3, allow_nan=False), min_size=1, max_size=6),
)
def test_parts_of_a_position_add_up_to_its_sum_to_the_last_unit(total: int, parts: list[Decimal]) -> None:
    line = Line(id="a", quantity=sum(parts, Decimal(0)), total_price=total)
    done = PartTaken(Decimal(0))
    for part in parts:
        (priced,) = price_goods([line], {"a": part}, {"a": done})
        done = PartTaken(done.quantity + part, done.amount + priced.amount)
    assert done.amount == total


def test_parts_that_were_asked_for_before_sums_were_stored_count_by_their_share() -> None:
    line = Line(id="a", quantity=Decimal(3), total_price=100)
    done = PartTaken(Decimal(2), unpriced=Decimal(2))
    assert price_goods([line], {"a": Decimal(1)}, {"a": done}) == (GoodsPart("a", "1", "3", 100, 33),)


def test_goods_that_the_order_does_not_hold_have_no_sum() -> None:
    line = Line(id="a", quantity=Decimal(2))
    wrong: tuple[tuple[dict[str, Decimal], dict[str, PartTaken]], ...] = (
        ({"b": Decimal(1)}, {}),
        ({"a": Decimal(2)}, {"a": PartTaken(Decimal(1))}),
        ({"a": Decimal(1)}, {}),
    )
    for wanted, before in wrong:
        with pytest.raises(Unprocessable):
            price_goods([line], wanted, before)
