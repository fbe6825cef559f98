"""Which goods of an order may go back; what they come to is the refunds service's to say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from common.clock import SystemClock
from common.errors import Unprocessable
from common.reading import Line
from orchestrator.engine.model import REFUND_REQUEST, Claim, WorkflowEvent
from orchestrator.refunds.follow import REFUND_REQUESTED, FollowRefund
from orchestrator.refunds.model import GoodsPart, KnownRefund, goods_of

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


def test_a_request_of_the_release_before_is_asked_for_by_its_lines() -> None:
    part = {"id": "a", "quantity": "1", "of_quantity": "3", "paid": 100, "amount": 33}
    attributes = {
        "payment_id": "p",
        "amount": 33,
        "currency": "RUB",
        "reason": "sour",
        "requested_by": "oleg",
        "tips": 0,
        "goods": [part],
        "source": "sbermarket",
    }
    at = datetime(2026, 11, 21, tzinfo=UTC)
    event = WorkflowEvent(
        type=REFUND_REQUESTED, event_id="e", attributes=attributes, payload=b"", received_at=at, seq=1
    )
    claim = Claim(
        workflow_id=1, order_number="N", kind=REFUND_REQUEST, key="k", done_seq=0, fence=1, attempts=0, events=(event,)
    )
    nothing: Any = None  # no database: what is known is given
    follow = FollowRefund(nothing, SystemClock(), answer_within=timedelta(hours=1))
    ((_, message),) = follow.run(claim, {"k": KnownRefund(None, None, rejected=False)}).messages
    data = json.loads(message)["data"]
    line = {"id": "a", "kind": "position", "quantity": "1", "of_quantity": "3", "paid": 100}
    assert (data["amount"], data["lines"]) == (None, [line])
