"""The sum to pay of an order, and when it is looked at again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.tips.model import TipsOrder
from orchestrator.tips.own_rules import OldTipsRules, next_check, sum_to_pay

END = datetime(2026, 11, 21, 10, tzinfo=UTC)
RULES = OldTipsRules(cashless_methods=frozenset({"card"}))
ORDER = TipsOrder(
    number="N", version=1, finished=True, finished_at=END, cancelled=False, payment_method="card", zone="z", tariff="t",
    refunded=False, zeroed=False, currency="RUB", cost=10_000, given_back=0, tips=0, held_sum=None, feedback_at=None,
    tips_type=None, choice=None, done=False, seen=False,
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
