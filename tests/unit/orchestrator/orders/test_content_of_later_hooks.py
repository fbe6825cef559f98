"""What a later hook leaves out stays; what it says changes the order and shows in the difference."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest

from common.reading import Address, Contact, Line, Window
from orchestrator.orders.decisions import decide
from orchestrator.orders.fold import Step, fold, step
from orchestrator.orders.model import HookType, OrderFact, OrderState
from orchestrator.orders.store import decode_state, encode_state
from orchestrator.orders.transitions import Act

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
ANNA = Contact(name="Анна", phone="+79123456789")
HOME = Address(text="Москва, Ленина, 1")


def fact(hook: HookType, minute: int, *lines: Line, empty: bool = False, **more: Any) -> OrderFact:
    moment = START + timedelta(minutes=minute)
    values: dict[str, Any] = {"sent_at": moment, "digest": f"{hook}{minute}", **more}
    return OrderFact(
        hook=hook,
        event_id=f"{hook}@{minute}",
        arrival=minute,
        source="sm",
        external_id="H1",
        received_at=moment,
        lines=lines if lines or empty else None,
        **values,
    )


def created(*lines: Line, **more: Any) -> OrderFact:
    return fact(HookType.CREATED, 1, *lines, **more)


def changed(*lines: Line, minute: int = 2, **more: Any) -> OrderFact:
    return fact(HookType.CHANGED, minute, *lines, **more)


def paid(*lines: Line, **more: Any) -> OrderFact:
    return fact(HookType.PAID, 5, *lines, **more)


def line(name: str, quantity: int | None = 1, price: int | None = None, **more: Any) -> Line:
    return Line(id=name, quantity=None if quantity is None else Decimal(quantity), price=price, **more)


def last_step(*facts: OrderFact) -> Step:
    return fold("N", facts)[-1]


def last(*facts: OrderFact) -> OrderState:
    state = last_step(*facts).after
    assert state is not None
    return state


def incidents(state: OrderState) -> list[str]:
    return [item.kind for item in state.incidents]


def test_a_position_inherits_from_the_same_occurrence_of_its_id() -> None:
    state = last(created(line("milk", 2, 10_000), line("milk", 1, 0)), changed(line("milk", 2), line("milk", 1)))
    assert [item.price for item in state.lines] == [10_000, 0]
    assert state.total_price == 20_000


def test_a_total_that_is_not_said_again_stays() -> None:
    first = created(line("a", 1, 25_000, total_price=25_000), total_price=35_000)
    same = line("a", 1, 25_000, total_price=25_000)
    assert last(first, changed(same)).total_price == 35_000
    assert last(first, paid(same)).total_price == 35_000
    assert last(first, paid()).total_price == 35_000


def test_a_total_moves_by_the_difference_that_the_goods_make() -> None:
    first = created(line("a", 1, 25_000), total_price=35_000, total_discount_price=30_000)
    state = last(first, changed(line("a", 2, 25_000), line("b", 1, 1_000)))
    assert (state.total_price, state.total_discount_price) == (61_000, 56_000)
    assert last(first, changed(line("a", 1, 25_000), line("b", 1))).total_price is None


@pytest.mark.parametrize(
    ("later", "total"),
    [
        ([line("a", 2, 10_000)], 35_000),
        ([line("a", 2, total_price=20_000)], 35_000),
        ([line("a", 3, 10_000)], 45_000),
        ([line("a", 3, total_price=30_000)], 45_000),
        ([line("a", 2, 10_000), line("b", 1, 1_000)], 36_000),
        ([line("a", 0, 10_000), line("b", 1, 1_000)], 16_000),
    ],
)
def test_prices_told_for_the_first_time_leave_the_delivery_in_the_total(later: list[Line], total: int) -> None:
    for first in (
        created(line("a", 2), total_price=35_000),
        created(line("a", 2), total_price=35_000, total_discount_price=35_000),
    ):
        for act in (paid(*later), changed(*later)):
            assert last(first, act).total_price == total
    assert last(first, paid(*later)).total_discount_price == total
    assert last(first, changed(line("b", 1, 1_000))).total_price == 1_000  # nobody ever said what the delivery was


def test_discounts_told_for_the_first_time_leave_the_discounted_total() -> None:
    first = created(line("a", 2), total_price=35_000, total_discount_price=33_000)
    state = last(first, paid(line("a", 2, 10_000, discount_price=9_000)))
    assert (state.total_price, state.total_discount_price) == (35_000, 33_000)
    more = last(first, changed(line("a", 3, 10_000, discount_price=9_000)))
    assert (more.total_price, more.total_discount_price) == (45_000, 42_000)
    only = created(line("a", 2, discount_price=9_000), total_price=35_000, total_discount_price=33_000)
    for later, sums in ((line("a", 2, 10_000), (35_000, 33_000)), (line("a", 3, 10_000), (45_000, 42_000))):
        state = last(only, changed(later))
        assert (state.total_price, state.total_discount_price) == sums


@pytest.mark.parametrize(
    ("lines", "total", "discounted"),
    [
        ([line("a", 2, 8_500, discount_price=8_000)], 17_000, 16_000),
        ([line("a", 2, 8_500, discount_price=8_000)], 27_000, 26_000),
        ([line("a", 2, 8_500, discount_price=8_000), line("b", 1, 1_000)], 28_000, 27_000),
        ([line("a", 2, 8_500, discount_price=8_000), line("b", 1, 1_000)], None, 17_000),
        ([line("a", 2, 8_500, discount_price=8_000)], 16_000, 16_000),
        ([line("a", 2, 8_500)], 27_000, None),
    ],
)
def test_what_is_to_be_paid_has_the_delivery_and_goods_without_discount_in_it(
    lines: list[Line], total: int | None, discounted: int | None
) -> None:
    assert last(created(*lines, total_price=total)).total_discount_price == discounted


def test_a_discount_told_later_leaves_the_delivery_in_what_is_to_be_paid() -> None:
    first = created(line("a", 1, 25_000), total_price=35_000)
    state = last(first, paid(line("a", 1, discount_price=20_000)))
    assert (state.total_price, state.total_discount_price, state.cost) == (35_000, 30_000, 30_000)
    moved = last(first, changed(line("a", 2, discount_price=20_000)), paid(line("a", 3)))
    assert (moved.total_price, moved.cost) == (85_000, 70_000)


def test_a_sum_of_nothing_for_goods_left_out_is_a_persons_case() -> None:
    first = created(line("a", 2, 100))
    state = last(first, paid(total_price=0))
    assert (state.total_price, state.paid, incidents(state)) == (200, True, ["order_emptied"])
    assert last(created(line("a", 2, 0)), paid(total_price=0)).incidents == ()


def test_a_total_that_is_said_counts() -> None:
    assert last(created(line("a", 1, 25_000), total_price=35_000), paid(line("a", 2), total_price=1)).total_price == 1


@pytest.mark.parametrize(
    ("more", "later", "sums"),
    [
        ({}, paid(total_price=30_000), (30_000, 25_000)),
        ({"total_price": 35_000}, paid(total_price=40_000), (40_000, 35_000)),
        ({"total_price": 35_000}, paid(line("a", 2), total_price=65_000), (65_000, 55_000)),
        ({}, paid(total_price=20_000), (20_000, 20_000)),
        ({}, paid(total_price=15_000), (15_000, 15_000)),
        ({"total_price": 35_000, "total_discount_price": 35_000}, paid(total_price=40_000), (40_000, 40_000)),
        ({"total_price": 35_000, "total_discount_price": 28_000}, paid(total_price=40_000), (40_000, 28_000)),
        ({"total_price": 35_000, "total_discount_price": 28_000}, paid(total_price=27_000), (27_000, 27_000)),
        ({}, paid(total_price=30_000, total_discount_price=29_000), (30_000, 29_000)),
    ],
)
def test_what_is_to_be_paid_goes_with_a_total_that_is_said_alone(
    more: dict[str, Any], later: OrderFact, sums: tuple[int, int]
) -> None:
    step = last_step(created(line("a", 1, 25_000, discount_price=20_000), **more), later)
    assert step.after is not None
    assert (step.after.total_price, step.after.total_discount_price) == sums
    assert ("total_price", str(more.get("total_price", 25_000)), str(sums[0])) in step.difference.fields


def test_what_is_to_be_paid_follows_the_last_total_when_no_discount_is_left() -> None:
    first = created(line("a", 1, 500), line("b", 1, 400, discount_price=300), total_price=1_000)
    assert last(first).cost == 900
    for total in (500, 600, 700):  # without the delivery of 100, with it, with a dearer one
        less = changed(line("a", 1, 500), total_price=total)
        assert last(first, less).cost == total
        assert last(first, less, paid()).cost == total
        assert last(first, less, paid(line("a", 2))).cost == total + 500
        assert last_step(first, less, paid(), changed(line("a"), minute=9)).act is Act.CHANGES_NOTHING
        again = last(first, less, paid(line("a"), line("b", 1, 400, discount_price=300)))
        assert (again.total_price, again.cost) == (total + 400, total + 300)
    unpriced = changed(line("a"), line("b"), line("c"), total_price=1_500)
    state = last(first, unpriced, paid(line("a"), line("b"), line("c", 1, 600)))
    assert (state.total_price, state.cost, state.known) == (1_500, 1_400, None)


def test_a_discount_that_comes_with_a_total_said_alone_is_taken_off() -> None:
    first = created(line("a", 1, 500), total_price=600, total_discount_price=600)
    state = last(first, changed(line("a", 1, 500), line("b", 1, 400, discount_price=300), total_price=1_000))
    assert (state.total_price, state.total_discount_price) == (1_000, 900)


def test_a_price_that_comes_later_finds_the_delivery_that_was_known() -> None:
    first = created(line("a", 1, 25_000), total_price=35_000, total_discount_price=30_000)
    unpriced = changed(line("a"), line("b"))
    state = last(first, unpriced)
    assert (state.total_price, state.total_discount_price) == (None, None)
    for later, sums in (
        (paid(line("a"), line("b", 1, 1_000)), (36_000, 31_000)),
        (paid(line("a", 2), line("b", 2, 1_000)), (62_000, 57_000)),
        (paid(line("a")), (35_000, 30_000)),
    ):
        state = last(first, unpriced, changed(line("a"), line("b"), minute=3), later)
        assert (state.total_price, state.total_discount_price, state.known) == (*sums, None)
        stored = decode_state(orjson.loads(orjson.dumps(encode_state(last(first, unpriced)))))
        after = step("N", stored, later).after
        assert after is not None
        assert (after.total_price, after.total_discount_price) == sums
    said = last(first, unpriced, paid(total_price=50_000, total_discount_price=45_000))
    assert (said.total_price, said.total_discount_price, said.known) == (50_000, 45_000, None)
    never = created(line("a", 2), total_price=35_000)
    priced = (changed(line("a"), line("b")), paid(line("a", 2, 10_000), line("b", 1, 1_000)))
    assert last(never, *priced).total_price == 36_000


def test_a_price_that_comes_later_leaves_a_discount_for_the_goods() -> None:
    first = created(line("a", 1, 25_000, discount_price=20_000), total_price=35_000)
    state = last(first, changed(line("a"), line("b")), paid(line("a"), line("b", 1, 1_000)))
    assert (state.total_price, state.total_discount_price) == (36_000, 31_000)


@pytest.mark.parametrize(
    ("said", "sums", "asked"),
    [
        ((line("a", 2, 8_500),), (17_000, None), True),
        ((line("a", 2), line("b", 1, 100)), (None, None), True),
        ((line("a", 2, total_price=17_000),), (17_000, None), True),
        ((line("a", 2, 8_500, discount_price=0),), (0, 0), False),
        ((line("a", 2, 0),), (0, None), False),
        ((line("a", 2),), (0, None), False),
    ],
)
def test_goods_with_prices_that_come_to_nothing_are_a_persons_case(
    said: tuple[Line, ...], sums: tuple[int | None, int | None], asked: bool
) -> None:
    first = created(*said, total_price=0)
    state = last(first)
    assert (state.total_price, state.total_discount_price) == sums
    fields = (("total_price", None if sums[0] is None else str(sums[0]), "0"),)
    assert [(item.kind, item.difference.fields) for item in state.incidents] == [("order_emptied", fields)] * asked
    assert [item.kind for item in decide(None, fold("N", [first])).raised] == ["order_emptied"] * asked
    both = last(created(line("a", 2, 8_500), total_price=0, total_discount_price=16_000))
    assert (both.total_price, both.total_discount_price) == (17_000, 16_000)


def test_a_later_sum_of_nothing_for_goods_with_prices_is_a_persons_case() -> None:
    first = created(line("a", 2, 100), total_price=300)
    for later in (paid(line("a", 3, 100), total_price=0), paid(line("a", 3), total_price=0)):
        state = last(first, later)
        assert (state.total_price, state.lines[0].quantity, incidents(state)) == (400, Decimal(3), ["order_emptied"])
        assert state.incidents[0].difference.fields == (("total_price", "400", "0"),)
    free = fact(HookType.CORRECTED, 6, line("a", 3, 100), total_price=0)
    assert (last(first, free).total_price, incidents(last(first, free))) == (0, [])
    gift = last(first, paid(total_price=300, total_discount_price=0))
    assert (gift.cost, incidents(gift)) == (0, [])


def test_a_quantity_that_was_never_said_follows_the_ordered_one() -> None:
    ordered = [Line(id="a", original_quantity=Decimal(count), price=100) for count in (2, 3, 4)]
    step = last_step(created(ordered[0]), changed(ordered[1]))
    assert (step.act, step.after and step.after.lines[0].quantity) == (Act.CHANGE, Decimal(3))
    said = last(created(ordered[0]), changed(line("a", 2), minute=2), changed(ordered[2], minute=3))
    assert said.lines[0].quantity == Decimal(2)


def test_goods_stay_when_a_hook_says_there_are_none_and_a_person_is_called() -> None:
    first = created(line("a", 2, 100))
    for later in (paid(empty=True), changed(empty=True)):
        state = last(first, later)
        assert (state.lines, state.total_price, incidents(state)) == (last(first).lines, 200, ["order_emptied"])
    assert last(first, paid(empty=True)).paid
    for nothing in (paid(empty=True, total_price=0), paid(line("a", 0), total_price=0), changed(line("a", 0))):
        state = last(first, nothing)
        assert (state.lines, state.total_price, incidents(state)) == (last(first).lines, 200, ["order_emptied"])
    assert last(first, paid(empty=True, total_price=150)).total_price == 150
    assert incidents(last(first, paid(line("a", None)))) == []
    unsaid = last(first, changed(line("a", 0), line("z", None)))
    assert (unsaid.lines, incidents(unsaid)) == (last(first).lines, ["order_quantity_missing"])


def test_goods_and_sums_in_another_currency_are_not_applied_and_a_person_is_called() -> None:
    first = created(line("a", 2, 100), currency="RUB")
    state = last(first, paid(line("a", 3, 700), total_price=2_100, currency="KZT", comment="у двери"))
    assert (state.lines, state.total_price, state.paid, state.comment) == (last(first).lines, 200, True, "у двери")
    assert [(item.kind, item.difference.fields) for item in state.incidents] == [
        ("order_currency_differs", (("currency", "RUB", "KZT"),))
    ]


def test_a_repeated_created_that_says_the_same_is_quiet() -> None:
    first = created(line("a", 2, 100), customer=ANNA)
    again = fact(HookType.CREATED, 3, line("a", 2, 100), customer=ANNA, digest="an unknown field differs")
    assert last_step(first, again).act is Act.ALREADY_CREATED
    assert incidents(last(first, changed(line("a", 3)), again)) == []


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"customer": Contact(phone="+79990000000")}, ("customer.phone", "+79123456789", "+79990000000")),
        ({"currency": "KZT"}, ("currency", "RUB", "KZT")),
        ({"total_price": 7}, ("total_price", "200", "7")),
    ],
)
def test_a_repeated_created_that_says_otherwise_is_an_incident_with_the_difference(
    more: dict[str, Any], field: tuple[str, str, str]
) -> None:
    first = created(line("a", 2, 100), customer=ANNA, currency="RUB")
    state = last(first, fact(HookType.CREATED, 3, line("a", 2, 100), **more))
    assert [(item.kind, item.difference.fields) for item in state.incidents] == [("order_created_differs", (field,))]
    assert (state.customer, state.currency) == (ANNA, "RUB")


@pytest.mark.parametrize(
    ("more", "fields"),
    [
        ({"address": Address(text="Москва, Мира, 2")}, [("address", "Москва, Ленина, 1", "Москва, Мира, 2")]),
        ({"customer": Contact(phone="+79990000000")}, [("customer.phone", "+79123456789", "+79990000000")]),
        ({"delivery_window": Window(text="вечером")}, [("delivery_window", "утром", "вечером")]),
        (
            {"comment": "АЛЛЕРГИЯ НА ОРЕХИ", "store_id": "18"},
            [("store_id", "17", "18"), ("comment", None, "АЛЛЕРГИЯ НА ОРЕХИ")],
        ),
    ],
)
def test_a_changed_address_contact_window_comment_or_store_is_told(more: dict[str, Any], fields: list[Any]) -> None:
    first = created(line("a"), customer=ANNA, address=HOME, delivery_window=Window(text="утром"), store_id="17")
    steps = fold("N", [first, changed(line("a"), **more)])
    announced = decide(None, steps).announcements[-1]
    assert (announced.notify, list(announced.difference.fields)) == (True, fields)
    closed = last(first, paid(), changed(line("a"), minute=9, **more))
    assert [(item.kind, list(item.difference.fields)) for item in closed.incidents] == [
        ("order_changed_after_closing", fields)
    ]


def test_a_contact_keeps_what_a_later_hook_leaves_out() -> None:
    state = last(created(line("a"), customer=ANNA, address=HOME), changed(line("a"), customer=Contact(email="a@b.ru")))
    assert (state.customer, state.address) == (Contact(name="Анна", phone="+79123456789", email="a@b.ru"), HOME)


@pytest.mark.parametrize(
    ("later", "found"),
    [
        (changed(customer=Contact(name="Анна")), False),
        (changed(customer=ANNA), True),
        (changed(customer=Contact(email="anna@shop.example")), True),
        (fact(HookType.RECEIVED, 3), False),
        (fact(HookType.DELIVERED, 4), True),
        (fact(HookType.CANCELLED, 4), True),
    ],
)
def test_an_order_without_contact_needs_none_once_it_has_one_or_has_ended(later: OrderFact, found: bool) -> None:
    nobody = replace(created(line("a"), customer=Contact(name="Анна")), source="website:kz")
    later = replace(later, source="website:kz")
    before = fold("N", [nobody])
    assert not decide(None, before).contact_found
    state = before[-1].after
    assert decide(state, [step("N", state, later)]).contact_found is found
    both = fold("N", [nobody, later])
    assert decide(None, both).contact_found is found  # carried out at once
    assert decide(both[-1].after, [step("N", both[-1].after, fact(HookType.PAID, 9))]).contact_found is False
    assert not decide(None, fold("N", [replace(each, source="sm") for each in (nobody, later)])).contact_found
