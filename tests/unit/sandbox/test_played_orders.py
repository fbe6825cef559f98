"""The orders that the marketplace plays: the same for the same seed, as the marketplace writes them, and with a known end."""

import json
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.marketplace.orders import Hook, OrderPlan, PlayOrder, expected_outcome, minor_units
from sandbox.marketplace.payloads import plan_orders

STARTED = datetime(2026, 11, 21, 7, 0, 0, 123456, tzinfo=UTC)


def planned(**order: Any) -> list[OrderPlan]:
    return list(plan_orders(PlayOrder(**order), prefix="T", started_at=STARTED, stores=("17", "21")))


def events(plan: OrderPlan) -> list[str]:
    return [hook.event for hook in plan.hooks]


def test_the_same_seed_gives_the_same_bytes() -> None:
    order: dict[str, Any] = {"orders": 50, "seed": 7, "duplicates": 0.3, "shuffle": 0.3, "payments": True}
    assert planned(**order) == planned(**order)


def test_an_order_does_not_depend_on_how_many_are_played_with_it() -> None:
    assert planned(orders=50, seed=7)[:5] == planned(orders=5, seed=7)


def test_another_seed_gives_other_orders() -> None:
    first, second = planned(orders=20, seed=1), planned(orders=20, seed=2)
    assert [plan.hooks[0].body for plan in first] != [plan.hooks[0].body for plan in second]


def test_each_lifecycle_sends_its_hooks() -> None:
    assert {tuple(events(plan)) for plan in planned(orders=30, lifecycle="full")} == {
        ("created", "changed", "paid", "received", "delivered")
    }
    assert {tuple(events(plan)) for plan in planned(orders=30, lifecycle="cancelled")} == {
        ("created", "cancelled"),
        ("created", "changed", "cancelled"),
    }
    assert {tuple(events(plan)) for plan in planned(orders=3, lifecycle="all_six")} == {
        ("created", "changed", "paid", "received", "delivered", "cancelled")
    }
    mixed = Counter(plan.lifecycle for plan in planned(orders=300, lifecycle="mixed"))
    assert set(mixed) == {"full", "cancelled"}
    assert 50 < mixed["cancelled"] < 130


def test_a_created_hook_is_as_the_contract_shows_it() -> None:
    [plan] = planned(lifecycle="full", positions=2)
    envelope = json.loads(plan.hooks[0].body)
    payload = envelope["payload"]
    assert (envelope["event_type"], envelope["timestamp"]) == ("order.created", "2026-11-21T10:00:00+03:00")
    assert payload.keys() == {
        *("originalOrderId", "storeID", "comment", "shipmentMethod", "replacementPolicy", "customer", "address"),
        *("payment", "zone", "tariff", "positions", "total"),
    }
    assert payload["customer"].keys() == {"name", "phone", "email"}
    assert payload["payment"] == {"method": "card"}
    assert [position.keys() for position in payload["positions"]] == [
        {
            *("id", "name", "originalQuantity", "quantity", "price", "discountPrice", "weight"),
            *("totalPrice", "totalDiscountPrice"),
        }
    ] * 2


def test_time_stamps_rise_with_the_true_order() -> None:
    for plan in planned(orders=50, shuffle=1.0):
        stamps = [datetime.fromisoformat(hook.envelope["timestamp"]) for hook in plan.hooks]
        assert stamps == sorted(set(stamps))


def test_a_change_really_changes_something() -> None:
    for plan in planned(orders=200, lifecycle="full"):
        created, changed = (hook.envelope["payload"]["positions"] for hook in plan.hooks[:2])
        assert created != changed


def test_sums_add_up() -> None:
    for plan in planned(orders=100):
        for hook in plan.hooks:
            payload = hook.envelope["payload"]
            for position in payload.get("positions", []):
                assert Decimal(position["totalPrice"]) == Decimal(position["price"]) * int(position["quantity"])
            if "total" in payload:
                total = sum(Decimal(position["totalDiscountPrice"]) for position in payload["positions"])
                assert Decimal(payload["total"]["discountTotalPrice"]) == total


def test_payments_are_named_and_captured_with_the_final_sum_only_when_asked_for() -> None:
    assert [(plan.payment_id, plan.captured > 0) for plan in planned(orders=1)] == [(None, True)]
    [plan] = planned(lifecycle="full", payments=True)
    paid = plan.hooks[2].envelope["payload"]
    assert plan.hooks[0].envelope["payload"]["payment"] == {"method": "card", "id": "pay-T-00001"}
    assert (plan.payment_id, plan.captured) == ("pay-T-00001", minor_units(paid["total"]["discountTotalPrice"]))


def test_the_published_spelling_renames_two_hooks() -> None:
    [plan] = planned(lifecycle="all_six", spelling="published")
    assert [hook.envelope["event_type"] for hook in plan.hooks] == [
        *("order.created", "order.updated", "order.paid", "order.received", "order.delivered", "order.canceled")
    ]


def test_duplicates_carry_the_same_json_in_sometimes_other_bytes() -> None:
    hooks = [hook for plan in planned(orders=100, duplicates=1.0) for hook in plan.hooks]
    assert all(json.loads(hook.again_body) == hook.envelope for hook in hooks)
    assert {hook.again for hook in hooks} == {"same_time", "after", "late"}
    assert 0.3 < sum(hook.again_body != hook.body for hook in hooks) / len(hooks) < 0.7


def test_shares_are_kept() -> None:
    plans = planned(orders=1000, duplicates=0.1, shuffle=0.2)
    hooks = [hook for plan in plans for hook in plan.hooks]
    assert 0.07 < sum(hook.again is not None for hook in hooks) / len(hooks) < 0.13
    assert 150 < sum(plan.mode != "in_order" for plan in plans) < 250


def test_a_shuffled_order_goes_out_in_a_wrong_order_and_loses_no_hook() -> None:
    for plan in planned(orders=100, shuffle=1.0):
        assert plan.mode in ("shuffled", "at_once")
        assert plan.sequence != tuple(range(len(plan.hooks)))
        assert sorted(plan.sequence) == list(range(len(plan.hooks)))


@given(st.integers(0, 2**31), st.sampled_from(["full", "cancelled", "mixed", "all_six"]))
@settings(max_examples=30)
def test_every_order_has_a_known_end(seed: int, lifecycle: str) -> None:
    [plan] = planned(seed=seed, lifecycle=lifecycle)
    outcome = expected_outcome(plan.hooks)
    assert outcome is not None
    last_positions = [hook.envelope["payload"] for hook in plan.hooks if "positions" in hook.envelope["payload"]][-1]
    shipped = plan.lifecycle != "cancelled"
    changed = ["changed"] if "changed" in events(plan) else []
    assert outcome == {
        "status": "delivered" if plan.lifecycle == "full" else "cancelled",
        "shipped": shipped,
        "closed_for_changes": True,
        "positions": last_positions["positions"],
        "totals": last_positions["total"],
        "total_minor": minor_units(last_positions["total"]["totalPrice"]),
        "discount_total_minor": minor_units(last_positions["total"]["discountTotalPrice"]),
        "notices": ["created", *changed, *([] if shipped else ["cancelled"])],
    }


def test_without_created_no_order_is_expected() -> None:
    [plan] = planned(lifecycle="full")
    rest: tuple[Hook, ...] = plan.hooks[1:]
    assert expected_outcome(rest) is None
