"""Faults: which call they strike, how often, and which order wins."""

import random

import pytest
from pydantic import ValidationError

from sandbox.faults import FaultMode, FaultOrder, FaultPlan


def plan() -> FaultPlan:
    return FaultPlan(random.Random(1))  # noqa: S311 - it chooses faults, not keys


def drawn(faults: FaultPlan, *calls: str) -> list[FaultMode | None]:
    found = [faults.draw(call) for call in calls]
    return [None if order is None else order.mode for order in found]


def test_without_an_order_nothing_goes_wrong() -> None:
    assert drawn(plan(), "POST /x", "GET /y") == [None, None]


def test_a_counted_fault_strikes_so_often_and_ends() -> None:
    faults = plan()
    faults.add(FaultOrder(mode=FaultMode.ERROR, count=2))
    assert drawn(faults, "a", "b", "c") == [FaultMode.ERROR, FaultMode.ERROR, None]
    assert faults.as_json() == []


def test_a_fault_without_count_and_share_holds_until_healed() -> None:
    faults = plan()
    faults.add(FaultOrder(mode=FaultMode.RESET))
    assert drawn(faults, *"abc") == [FaultMode.RESET] * 3
    faults.heal()
    assert drawn(faults, "d") == [None]


def test_a_share_strikes_that_part_of_the_calls_the_same_way_for_the_same_seed() -> None:
    first, second = plan(), plan()
    for faults in (first, second):
        faults.add(FaultOrder(mode=FaultMode.SLOW, share=0.3))
    calls = [str(index) for index in range(1000)]
    struck = drawn(first, *calls)
    assert struck == drawn(second, *calls)
    assert 250 < sum(mode is not None for mode in struck) < 350


def test_only_matching_calls_are_struck_whatever_the_case() -> None:
    faults = plan()
    faults.add(FaultOrder(mode=FaultMode.ERROR, count=1, match="SENDMESSAGE"))
    assert drawn(faults, "POST /bot1/getMe getMe", "POST /bot1/sendMessage sendMessage") == [None, FaultMode.ERROR]


def test_the_newest_order_that_applies_wins() -> None:
    faults = plan()
    faults.add(FaultOrder(mode=FaultMode.ERROR))
    faults.add(FaultOrder(mode=FaultMode.TIMEOUT, count=1))
    assert drawn(faults, "a", "b") == [FaultMode.TIMEOUT, FaultMode.ERROR]


def test_the_plan_shows_what_is_left() -> None:
    faults = plan()
    faults.add(FaultOrder(mode=FaultMode.RATE_LIMIT, count=3, delay_s=7))
    faults.draw("a")
    assert faults.as_json() == [
        {"mode": "rate_limit", "count": 3, "share": None, "delay_s": 7.0, "match": None, "effect": False}
        | {"left": 2, "hits": 1}
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"mode": "error", "count": 1, "share": 0.5},
        {"mode": "error", "count": 0},
        {"mode": "error", "share": 1.5},
        {"mode": "melt"},
        {"mode": "error", "delay": 1},
        {"mode": "slow", "delay_s": -1},
        {"mode": "slow", "effect": True},
    ],
)
def test_an_order_that_makes_no_sense_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FaultOrder.model_validate(body)
