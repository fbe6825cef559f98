"""What goods that go back are worth."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Unprocessable
from common.reading import Line
from orchestrator.refunds.model import sum_of_goods


@given(
    total=st.integers(0, 10**6),
    parts=st.lists(st.decimals("0.001", 3, places=3, allow_nan=False), min_size=1, max_size=6),
)
def test_parts_of_a_position_add_up_to_its_sum_to_the_last_unit(total: int, parts: list[Decimal]) -> None:
    line = Line(id="a", quantity=sum(parts, Decimal(0)), total_price=total)
    done, given = Decimal(0), 0
    for part in parts:
        given += sum_of_goods([line], {"a": part}, {"a": done})
        done += part
    assert given == total


def test_goods_that_the_order_does_not_hold_have_no_sum() -> None:
    line = Line(id="a", quantity=Decimal(2))
    for wanted, before in (({"b": Decimal(1)}, {}), ({"a": Decimal(2)}, {"a": Decimal(1)}), ({"a": Decimal(1)}, {})):
        with pytest.raises(Unprocessable):
            sum_of_goods([line], wanted, before)
