"""A command says what a person types next, and leaves out what it can know by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.console_plans import planned
from tests.unit.console.cli.conftest import Call, Ordersctl, Services, checks

NAME = "01a22b0a-468f-7d21-a1aa-000000000001"
MEND = ("endangered", "mend", NAME, "--body", "{}", "-r", "a figure")
REPLAY = ("intake", "replay", NAME, "-r", "once more")
RESUBMIT = f"next: ordersctl endangered resubmit {NAME}\n"
SEND_A_MENDED_ONE = f"next: ordersctl intake mend {NAME} --body @FILE\n"


def test_a_mended_endangered_order_leads_on_to_its_resubmission(services: Services, ordersctl: Ordersctl) -> None:
    services.on(f"GET /admin/v1/endangered-orders/{NAME}", {"id": NAME, "version": 4, "state": "open"})
    services.on(f"POST /admin/v1/endangered-orders/{NAME}/mend", {"id": NAME, "state": "open", "dry_run": False})
    ended = ordersctl(*MEND, "-y")
    assert (ended.code, RESUBMIT in ended.remarks) == (0, True), ended.remarks
    rehearsed = ordersctl(*MEND, "--dry-run")
    assert (rehearsed.code, "next: " in rehearsed.remarks) == (0, False), rehearsed.remarks
    services.on(f"POST /admin/v1/endangered-orders/{NAME}/mend", {"code": "unprocessable", "detail": "it is old"}, 422)
    assert RESUBMIT not in ordersctl(*MEND, "-y").remarks


@pytest.mark.parametrize("manner", ["--dry-run", "-y"])
def test_a_delivery_that_cannot_go_as_it_came_leads_on_to_its_mending(
    services: Services, ordersctl: Ordersctl, manner: str
) -> None:
    said = {"id": NAME, "outcome": "refused", "code": "unprocessable", "detail": "it cannot be used; send a mended one"}
    services.on("POST /admin/v1/deliveries/replay", planned(said))
    refused = ordersctl(*REPLAY, manner)
    assert (refused.code, refused.remarks.count(SEND_A_MENDED_ONE)) == (1, 1), refused.remarks
    services.on("POST /admin/v1/deliveries/replay", planned({**said, "code": "erased"}))
    assert SEND_A_MENDED_ONE in ordersctl(*REPLAY, manner).remarks
    services.on("POST /admin/v1/deliveries/replay", planned({**said, "code": "conflict"}))
    assert "next: " not in ordersctl(*REPLAY, manner).remarks


@pytest.mark.parametrize(
    ("code", "leads_on"),
    [("unprocessable", True), ("conflict", False), ("likely_duplicates", False), ("not_found", False)],
)
def test_only_an_order_that_is_still_to_be_resubmitted_leads_on_to_its_mending(
    services: Services, ordersctl: Ordersctl, code: str, leads_on: bool
) -> None:
    said = {"id": NAME, "outcome": "refused", "code": code, "detail": "no"}
    services.on("POST /admin/v1/endangered-orders/resubmit", planned(said))
    for manner in ("--dry-run", "-y"):
        remarks = ordersctl("endangered", "resubmit", NAME, "-r", "a figure", manner).remarks
        assert (f"next: ordersctl endangered mend {NAME} --body @FILE\n" in remarks) == leads_on
        assert RESUBMIT not in remarks


def test_duty_is_given_from_now_on_unless_a_beginning_is_said(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /admin/v1/roster", {"revision": 4})
    services.on("POST /admin/v1/roster/overrides", {"items": [], "replaced": []})
    override = ("duty", "override", "--person", "anna", "-r", "she helps", "--dry-run")
    before = datetime.now(UTC)
    assert ordersctl(*override, "--ends-at", "+2h").code == 0
    said = services.calls[-1].body
    assert before <= datetime.fromisoformat(said["starts_at"]) <= datetime.now(UTC)
    assert ordersctl(*override, "--starts-at", "+1h", "--ends-at", "+2h").code == 0
    assert datetime.fromisoformat(services.calls[-1].body["starts_at"]) >= before + timedelta(hours=1)
    assert ordersctl("duty", "swap", "2026-12-07", "2026-12-14", "-r", "a trip", "--dry-run").code == 0
    assert "starts_at" not in services.calls[-1].body


def test_an_incident_has_the_name_that_a_silence_takes(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /admin/v1/incidents", {"items": [{"id": 5, "details": {"alert": "Silent"}}, {"id": 6}]})
    assert "details.alert" in ordersctl("incident", "list", "-o", "table").out
    assert ordersctl("incident", "list", "--columns", "id,details.alert").out.split()[-3:] == ["5", "Silent", "6"]


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        (
            "deliveries",
            {"outcome": "quarantined", "undecided": "true"},
            "quarantined hooks wait for a decision: 14 (intake list --outcome=quarantined --undecided)",
        ),
        (
            "endangered-orders",
            {"state": "open"},
            "customers wait, their orders are endangered: 14 (endangered list --state=open)",
        ),
        ("refunds", {"state": "UNKNOWN"}, "refunds of which nobody knows: 14 (refund list --state=UNKNOWN)"),
        ("refunds", {"state": "ERROR"}, "refunds that failed: 14 (refund list --state=ERROR)"),
    ],
)
def test_all_checks_say_what_still_waits_for_a_person(
    services: Services, ordersctl: Ordersctl, path: str, query: dict[str, str], said: str
) -> None:
    def of(call: Call) -> tuple[int, Any]:
        return 200, {"items": [{}], "count": 14} if query.items() <= call.query.items() else {"items": [], "count": 0}

    checks(services)
    services.on(f"GET /admin/v1/{path}", of)
    ended = ordersctl("check", "all")
    assert said in ended.remarks.replace("\n", " "), ended.remarks
    assert (ended.code, ended.remarks.count(": 14 (")) == (0, 1)
    assert said not in ordersctl("check", "audit").remarks
    services.on(f"GET /admin/v1/{path}", {"code": "forbidden"}, 403)
    assert "not known all that waits for a person" in ordersctl("check", "all").remarks


def test_an_endangered_order_is_rehearsed_as_goods_and_sums(
    services: Services, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.on("GET /admin/v1/endangered-orders/e1", {"id": "e1", "version": 1})
    milk = {"id": "sku-1", "name": "Milk", "quantity": "2", "price": 990000, "amount": 1980000}
    said = {"state": "mended", "goods": [milk], "total": 1980000, "currency": "RUB"}
    services.on("POST /admin/v1/endangered-orders/e1/mend", said)
    monkeypatch.setattr("console.cli.commands.Context.interactive", True)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    mend = ordersctl("endangered", "mend", "e1", "--body", "{}", "-r", "a price was missing")
    assert "goods: Milk: 2 × 9900.00 RUB = 19800.00 RUB" in mend.remarks
    assert "total 19800.00 RUB" in mend.remarks


def test_a_likely_duplicate_leads_to_the_option_that_does_it(services: Services, ordersctl: Ordersctl) -> None:
    refused = {"e1": {"outcome": "refused", "code": "likely_duplicates", "detail": "looks like W-1"}}
    items = [{"id": name, "version": 1, **said} for name, said in refused.items()]
    answer = {"items": items, "matched": 1, "more": False, "plan": "digest"}
    services.on("POST /admin/v1/endangered-orders/resubmit", answer)
    ended = ordersctl("endangered", "resubmit", "e1", "-r", "it is another order", "--dry-run")
    assert "next: ordersctl endangered resubmit e1 --despite-duplicates" in ended.remarks
