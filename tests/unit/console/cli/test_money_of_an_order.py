"""An order at a terminal with its money, and what a refund of a sum leaves of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.console.cli.conftest import Ordersctl, Services

ORDER = {
    "number": "A1",
    "version": 3,
    "totals": {"currency": "RUB", "cost": 85980},
    "payment": {"id": "pay-1", "refunded": False},
}
PAYMENT = {"payment_id": "pay-1", "currency": "RUB", "captured": 85980, "refunded": 30000, "left": 42990}
REFUNDS = [
    {"id": "r-1", "state_name": "SUCCESS", "amount": 30000, "currency": "RUB", "reason": "Anna called"},
    {"id": "r-2", "state_name": "PENDING", "amount": 12990, "currency": "RUB", "reason": "Anna called"},
]
ORDERED, PAID, GIVEN_BACK = "GET /orders/v1/orders/A1", "GET /admin/v1/payments", "GET /admin/v1/refunds"
REFUND = "POST /admin/v1/orders/A1/refund"


@pytest.fixture
def order(services: Services) -> Services:
    """An order of which a part went back and another is on its way; an earlier payment of it was given back, too."""
    services.on(ORDERED, ORDER)
    services.on(PAID, {"items": [{**PAYMENT, "payment_id": "pay-0", "left": 0}, PAYMENT]})
    services.on(GIVEN_BACK, {"items": REFUNDS})
    return services


def test_an_order_is_shown_with_what_of_its_money_went_back(
    order: Services, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    said = ordersctl("order", "show", "A1", "--no-color").out
    rows = {words[0]: words[1:] for line in said.splitlines() if (words := line.split())}
    assert (rows["money.captured"], rows["money.refunded"]) == (["859.80", "RUB"], ["300.00", "RUB"])
    assert rows["money.left"] == ["429.90", "RUB"]
    assert rows["money.refunds"] == ["id=r-1", "state_name=SUCCESS", "amount=300.00", "RUB"]
    assert rows["id=r-2"] == ["state_name=PENDING", "amount=129.90", "RUB"]
    assert "Anna" not in said
    assert [call.query["order"] for call in order.calls if call.line != ORDERED] == ["A1", "A1"]
    chosen = ordersctl("order", "show", "A1", "--columns", "money,totals").out
    assert ("859.80 RUB" in chosen, "85980" in chosen, "{" in chosen) == (True, False, False)


def test_programs_read_the_money_of_an_order_under_one_key(order: Services, ordersctl: Ordersctl) -> None:
    read = ordersctl("order", "show", "A1", "-o", "json").json
    assert read == {
        **ORDER,
        "money": {
            "currency": "RUB",
            "captured": 85980,
            "refunded": 30000,
            "left": 42990,
            "refunds": [
                {"id": "r-1", "state_name": "SUCCESS", "amount": 30000},
                {"id": "r-2", "state_name": "PENDING", "amount": 12990},
            ],
        },
    }
    assert "money.left\t42990" in ordersctl("order", "show", "A1").out.splitlines()
    assert ordersctl("order", "show", "A1", "--columns", "money.left").out == "money.left\t42990\n"


@pytest.mark.parametrize("away", [PAID, GIVEN_BACK])
def test_an_order_is_shown_also_while_refunds_does_not_answer(order: Services, ordersctl: Ordersctl, away: str) -> None:
    order.on(away, {"code": "unavailable"}, 503)
    shown = ordersctl("order", "show", "A1")
    assert (shown.code, "money\tnot known" in shown.out.splitlines()) == (0, True)
    read = ordersctl("order", "show", "A1", "-o", "json")
    assert (read.code, read.json) == (0, {**ORDER, "money": None})
    assert (
        ordersctl("order", "show", "A1", "--columns", "number,money.left").out == "number\tA1\nmoney.left\tnot known\n"
    )


def test_what_nobody_knows_is_told_a_person_in_russian(
    order: Services, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    order.on(PAID, {"code": "unavailable"}, 503)
    monkeypatch.setenv("LC_ALL", "ru_RU.UTF-8")
    assert "money\tnot known" in ordersctl("order", "show", "A1").out.splitlines()  # into a pipe
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    said = ordersctl("order", "show", "A1", "--no-color").out
    assert ["money", "неизвестно"] in [line.split() for line in said.splitlines()]


def test_of_an_order_whose_refund_nobody_asked_one_request_is_enough(order: Services, ordersctl: Ordersctl) -> None:
    order.on(PAID, {"items": []})
    lines = ordersctl("order", "show", "A1").out.splitlines()
    assert {"money.captured\tnot known", "money.refunded\t0", "money.left\tnot known"} <= set(lines)
    assert order.lines("GET") == [ORDERED, PAID]
    order.on(ORDERED, {**ORDER, "payment": {"id": None}})
    assert "money.captured" not in ordersctl("order", "show", "A1").out  # it was not paid through us


@pytest.mark.parametrize("words", [("-o", "name"), ("--columns", "number,version")])
def test_refunds_is_not_asked_for_what_is_not_shown(order: Services, ordersctl: Ordersctl, words: Any) -> None:
    assert "A1" in ordersctl("order", "show", "A1", *words).out
    assert order.lines("GET") == [ORDERED]


@pytest.mark.parametrize(
    ("paid", "amount", "told"),
    [
        ([PAYMENT], "129.90", "300.00 RUB stays of payment pay-1"),
        ([PAYMENT], "429.90", "0.00 RUB stays of payment pay-1"),
        ([PAYMENT], "429.91", None),
        ([{**PAYMENT, "left": None}], "1", None),
        ([], "429.90", "429.90 RUB stays of what the order comes to; nothing was given back yet of it"),
    ],
)
def test_a_refund_of_a_sum_says_at_a_terminal_what_stays(
    order: Services, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch, paid: Any, amount: str, told: str | None
) -> None:
    order.on(PAID, {"items": paid})
    order.on(REFUND, {"amount": 1, "amount_is": "asked", "currency": "RUB"})
    words = ("order", "refund", "A1", "--amount", amount, "-r", "half was spoilt", "--dry-run")
    assert "stays" not in ordersctl(*words).remarks  # nobody sits there
    monkeypatch.setattr("console.cli.commands.Context.interactive", True)
    remarks = ordersctl(*words).remarks
    assert (told or "plan: order refund") in remarks
    assert ("stays" in remarks) == (told is not None)
