"""The rehearsal of an order's refund is refused as the refunds service would turn it down after it was accepted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.console.cli.conftest import Ordersctl, Services

ASKED = "POST /admin/v1/orders/A1/refund"
REHEARSED = "POST /refunds/v1/refunds"
SAID = {
    "number": "A1",
    "dry_run": True,
    "business_key": "A1:K",
    "payment_id": "pay-1",
    "amount": 8550,
    "amount_is": "asked",
    "currency": "RUB",
    "positions": [],
    "tips": 0,
    "notices": [],
}
WORDS = ("order", "refund", "A1", "--amount", "85.50", "-r", "broken", "--dry-run", "-o", "json")


@pytest.fixture
def order(services: Services) -> Services:
    """An order whose refund the orchestrator rehearses."""
    services.on("GET /orders/v1/orders/A1", {"version": 3, "source": "website", "totals": {"currency": "RUB"}})
    services.on(ASKED, SAID)
    return services


def refusal(code: str) -> tuple[int, dict[str, Any]]:
    """A problem of the refunds service."""
    return 409, {"status": 409, "code": code, "detail": f"it is {code}"}


@pytest.mark.parametrize("code", ["exceeds_captured", "nothing_left", "nothing_captured", "currency_mismatch"])
def test_what_does_not_fit_is_refused_before_it_is_asked_for(order: Services, ordersctl: Ordersctl, code: str) -> None:
    order.on(REHEARSED, lambda _: refusal(code))
    ended = ordersctl(*WORDS)
    assert ended.code != 0
    assert code in ended.remarks + ended.out
    [asked] = [call for call in order.calls if call.line == REHEARSED]
    assert (asked.body["dry_run"], asked.body["amount"], asked.body["payment_id"]) == (True, 8550, "pay-1")
    assert asked.body["source"] == "website"  # else another payment system may be asked than the refund goes to
    assert all(call.body["dry_run"] for call in order.calls if call.body)


@pytest.mark.parametrize(
    "answer", [(202, {"id": None}), refusal("business_key_reused"), (503, {"status": 503, "code": "unavailable"})]
)
def test_what_fits_or_cannot_be_told_is_rehearsed_as_before(
    order: Services, ordersctl: Ordersctl, answer: tuple[int, Any]
) -> None:
    order.on(REHEARSED, lambda _: answer)
    ended = ordersctl(*WORDS)
    assert ended.code == 0, ended.remarks + ended.out


LINES = [{"id": "a", "kind": "position", "quantity": "1", "of_quantity": "3", "paid": 25500}]
TIPS = [{"id": "tips", "kind": "tips", "quantity": "1", "of_quantity": "1", "paid": 700}]


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({"amount": None, "amount_is": "left_of_positions", "lines": LINES}, [{"amount": None, "lines": LINES}]),
        ({"amount": 8500, "amount_is": "worth_of_positions", "lines": LINES}, [{"amount": None, "lines": LINES}]),
        ({"amount": 700, "tips": 700, "lines": TIPS}, [{"amount": 700, "lines": TIPS}]),
        ({"amount": None, "amount_is": "left_of_positions"}, []),  # an orchestrator that does not name lines yet
        ({"amount": None, "amount_is": "left_of_payment", "lines": []}, [{"amount": None}]),
    ],
)
def test_goods_whose_sum_is_open_are_rehearsed_by_their_lines(
    order: Services, ordersctl: Ordersctl, said: dict[str, Any], asked: list[dict[str, Any]]
) -> None:
    order.on(ASKED, SAID | said)
    order.on(REHEARSED, lambda _: refusal("line_conflict"))
    ended = ordersctl(*WORDS)
    bodies = [call.body for call in order.calls if call.line == REHEARSED]
    assert [{name: body[name] for name in ("amount", "lines") if name in body} for body in bodies] == asked
    assert ("line_conflict" in ended.remarks + ended.out) == bool(asked)
    assert "of_quantity" not in ended.out
