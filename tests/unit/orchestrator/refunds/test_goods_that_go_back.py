"""Which goods of an order may go back; what they come to is the refunds service's to say."""

from __future__ import annotations

from decimal import Decimal

import pytest

from common.errors import Unprocessable
from common.reading import Line
from orchestrator.refunds.model import GoodsPart, goods_of

LINES = [
    Line(id="a", quantity=Decimal(2), total_price=100),
    Line(id="a", quantity=Decimal(1), total_price=70),
    Line(id="free", quantity=Decimal(1), total_price=0),
    Line(id="unpriced", quantity=Decimal(1)),
]


def test_goods_that_go_back_say_their_share_of_what_was_paid_for_the_position() -> None:
    wanted = {"free": Decimal(1), "a": Decimal("1.50")}
    assert goods_of(LINES, wanted, {"a": Decimal("1.5")}) == (
        GoodsPart("a", "1.5", "3", 170),
        GoodsPart("free", "1", "1", 0),
    )


@pytest.mark.parametrize(
    ("wanted", "before"),
    [({"b": 1}, {}), ({"a": 2}, {"a": 2}), ({"unpriced": 1}, {}), ({"free": 1}, {})],
    ids=["unknown", "asked for before", "without a price", "for nothing"],
)
def test_goods_that_the_order_does_not_hold_or_that_cost_nothing_are_refused(
    wanted: dict[str, int], before: dict[str, int]
) -> None:
    with pytest.raises(Unprocessable):
        goods_of(
            LINES,
            {name: Decimal(count) for name, count in wanted.items()},
            {name: Decimal(count) for name, count in before.items()},
        )
