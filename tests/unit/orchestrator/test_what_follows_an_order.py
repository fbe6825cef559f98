"""Pure rules of what follows an order: the sum to pay, the next look, goods that go back, the document, the breaker."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Unprocessable
from orchestrator.documents.model import digest, render
from orchestrator.orders.children import tell_children
from orchestrator.orders.events import Key, Line
from orchestrator.orders.model import OrderState, Status
from orchestrator.refunds.model import sum_of_goods
from orchestrator.tips.breaker import CircuitBreaker
from orchestrator.tips.model import TipsOrder
from orchestrator.tips.own_rules import OldTipsRules
from orchestrator.tips.transactions import next_check, sum_to_pay

END = datetime(2026, 11, 21, 10, tzinfo=UTC)
RULES = OldTipsRules(cashless_methods=frozenset({"card"}))
ORDER = TipsOrder(
    number="N", version=1, finished=True, finished_at=END, cancelled=False, payment_method="card", zone="z", tariff="t",
    refunded=False, zeroed=False, currency="RUB", cost=10_000, given_back=0, tips=0, held_sum=None, feedback_at=None,
    tips_type=None, choice=None, done=False, seen=False,
)  # fmt: skip
STATE = OrderState(
    number="7Q3M0V9XK2TDW8RC", source="sm", external_id="H1", status=Status.PAID, created_at=END, last=Key(True, END, 1, 1),
    closed=True, paid=True, store_id="17", payment_method="card", payment_id="p", total_price=35_500,
    lines=(
        Line(id="a", name="Milk\n of cows", quantity=Decimal("3.00"), price=8_500),
        Line(id="b", quantity=Decimal(1), total_price=10_000),
    ),
)  # fmt: skip


def at(minutes: float) -> datetime:
    return END + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("changes", "now", "again"),
    [
        ({}, at(1), at(30)),
        ({}, at(30), None),
        ({"tips": 500}, at(31), at(36)),
        ({"tips": 500, "held_sum": 500}, at(31), None),
        ({"tips": 500}, at(24 * 60), None),
        ({"tips": 500, "done": True}, at(1), None),
        ({"payment_method": "cash"}, at(1), None),
        ({"refunded": True}, at(1), None),
        ({"zeroed": True}, at(1), None),
        ({"finished": False, "finished_at": None}, at(1), None),
    ],
)
def test_an_order_is_looked_at_again_while_something_can_change_by_itself(
    changes: dict[str, object], now: datetime, again: datetime | None
) -> None:
    assert next_check(replace(ORDER, **changes), RULES, now=now) == again  # type: ignore[arg-type]  # the dataclass' own names


def test_the_sum_to_pay_is_what_was_not_given_back() -> None:
    sums = [
        sum_to_pay(replace(ORDER, given_back=2_500)),
        sum_to_pay(replace(ORDER, given_back=20_000)),
        sum_to_pay(replace(ORDER, refunded=True)),
        sum_to_pay(replace(ORDER, cancelled=True, finished=False)),
    ]
    assert sums == [7_500, 0, 0, 0]


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


def test_a_document_says_what_was_bought_and_is_the_same_for_the_same_order() -> None:
    document = render(STATE)
    assert document == (
        "Order 7Q3M0V9XK2TDW8RC\nOf sm, H1\nStore 17\nPaid by card\n\n"
        "1. Milk of cows | 3 | 255.00\n2. b | 1 | 100.00\n\nTotal 355.00 RUB\n"
    )
    assert digest(render(replace(STATE, comment="ring twice", shipped=True))) == digest(document)


def told(before: OrderState | None, after: OrderState, *, refund: bool = False) -> list[tuple[str, str, str]]:
    events = tell_children(before, after, refund=refund, seq=1, now=END, traceparent=None)
    return [(event.kind, event.key, event.type) for event in events]


def test_an_order_s_life_tells_each_child_what_concerns_it_and_no_more() -> None:
    created = replace(STATE, status=Status.CREATED, closed=False, paid=False)
    received = replace(STATE, status=Status.RECEIVED, shipped=True)
    delivered = replace(received, status=Status.DELIVERED, finished_at=END)
    cancelled = replace(STATE, status=Status.CANCELLED)
    assert [
        told(None, created),
        told(created, STATE),
        told(STATE, received),
        told(received, delivered),
        told(None, delivered),
        told(delivered, replace(delivered, total_price=1)),
        told(delivered, cancelled, refund=True),
    ] == [
        [],
        [("order_document", "", "order.closed")],
        [],
        [("update_transactions", "", "order.finished")],
        [("update_transactions", "", "order.finished"), ("order_document", "", "order.closed")],
        [("update_transactions", "", "order.changed"), ("order_document", "", "order.changed")],
        [
            ("update_transactions", "", "order.changed"),
            ("refund_request", f"{STATE.number}:cancel", "refund.published"),
        ],
    ]


def test_the_breaker_opens_after_failures_in_a_row_and_lets_one_probe_through() -> None:
    breaker = CircuitBreaker(failures=2, pause=10)
    breaker.failed(0)
    breaker.succeeded()
    breaker.failed(1)
    assert (breaker.is_open, breaker.may_call(1)) == (False, True)
    breaker.failed(2)
    assert [breaker.may_call(moment) for moment in (2, 11, 12, 13, 22.5)] == [False, False, True, False, True]
    breaker.failed(23)
    assert (breaker.is_open, breaker.may_call(32), breaker.may_call(33)) == (True, False, True)
    breaker.succeeded()
    assert (breaker.is_open, breaker.may_call(33)) == (False, True)
