"""A customer is erased in every service that holds some of her, rehearsed in all first; and what else helps at a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from console.cli.output import Output
from tests.unit.console.cli.conftest import Call, Ordersctl, Services

ERASE = "POST /admin/v1/erasures"


def erased(call: Call) -> tuple[int, Any]:
    """What a service answers."""
    return 200, {"dry_run": call.body["dry_run"], "places": 2, "by_kind": {"orders": 2}, "kept": {"sums": "law"}}


def test_a_customer_is_erased_in_all_services_after_a_rehearsal_in_each(
    services: Services, ordersctl: Ordersctl, tmp_path: Path
) -> None:
    services.on(ERASE, erased)
    ended = ordersctl("customer", "erase", "--phone", "+79990001122", "-r", "she asked", "-y", "-o", "json")
    assert ended.code == 0, ended.remarks
    assert [row["service"] for row in ended.json] == ["webhook-gateway", "orchestrator", "refunds", "notifier"]
    assert [call.body["dry_run"] for call in services.calls] == [True] * 4 + [False] * 4
    assert {tuple(call.body) for call in services.calls} == {("phone", "reason", "dry_run")}
    assert len({call.key for call in services.calls[4:]}) == 4
    assert "places: 8, services: 4" in ended.remarks

    services.calls.clear()
    rehearsed = ordersctl("customer", "erase", "--email", "a@b.example", "-r", "she asked", "--dry-run", "-o", "json")
    assert (rehearsed.code, [call.body["dry_run"] for call in services.calls]) == (0, [True] * 4)
    services.calls.clear()
    (kept := tmp_path / "plans.json").write_text(json.dumps(rehearsed.json), encoding="utf-8")
    assert ordersctl("apply", str(kept), "-y").code == 0
    assert [(call.body["dry_run"], call.body["email"]) for call in services.calls] == [(False, "a@b.example")] * 4
    services.calls.clear()
    one = ordersctl("customer", "erase", "--order-number", "A1", "--service", "notifier", "-r", "she asked", "-y")
    assert (one.code, len(services.calls)) == (0, 2)


def test_nothing_is_erased_anywhere_when_one_service_cannot_rehearse_it(
    services: Services, ordersctl: Ordersctl
) -> None:
    answers = iter([erased, erased])
    services.on(ERASE, lambda call: next(answers, lambda _: (403, {"code": "forbidden", "detail": "no"}))(call))
    ended = ordersctl("customer", "erase", "--phone", "+79990001122", "-r", "she asked", "-y")
    assert ended.code == 5
    assert [call.body["dry_run"] for call in services.calls] == [True, True, True]


def test_a_service_that_fails_keeps_none_of_the_others_from_erasing(services: Services, ordersctl: Ordersctl) -> None:
    done: list[str] = []

    def answer(call: Call) -> tuple[int, Any]:
        """Fail the second that is to do it."""
        if not call.body["dry_run"]:
            done.append(str(call.key))
            if len(done) == 2:
                return 409, {"code": "conflict", "detail": "busy"}
        return erased(call)

    services.on(ERASE, answer)
    ended = ordersctl("customer", "erase", "--phone", "+79990001122", "-r", "she asked", "-y")
    assert (ended.code, len(done)) == (7, 4)
    assert "orchestrator" in ended.remarks
    assert "the same command again finishes it" in ended.remarks


@pytest.mark.parametrize(
    "whom", [(), ("--phone", "1234567", "--email", "a@b"), ("--phone", "1234567", "--service", "tips")]
)
def test_whom_to_erase_is_said_in_one_way(services: Services, ordersctl: Ordersctl, whom: tuple[str, ...]) -> None:
    assert ordersctl("customer", "erase", *whom, "-r", "she asked", "-y").code == 2
    assert services.calls == []


def test_a_payment_finds_its_order_and_its_refunds(services: Services, ordersctl: Ordersctl) -> None:
    services.on(
        "GET /admin/v1/refunds",
        lambda call: (
            200,
            {"items": [{"id": "R1", "order_number": "N1"}] if call.query.get("payment") == "p-1" else []},
        ),
    )
    services.on(
        "GET /admin/v1/orders",
        lambda call: (200, {"items": [{"number": "N1"}] if call.query.get("payment_id") == "p-1" else []}),
    )
    found = ordersctl("find", "p-1", "-o", "json")
    assert [(row["kind"], row["name"]) for row in found.json] == [("order", "N1"), ("refund", "R1")]


def test_a_customer_is_corrected_in_parts_or_whole_but_not_both(services: Services, ordersctl: Ordersctl) -> None:
    correct = "POST /admin/v1/orders/A1/correct"
    services.on("GET /orders/v1/orders/A1", {"number": "A1", "version": 3})
    services.on(correct, {"number": "A1", "dry_run": False})
    given = ("--customer-phone", "+79990001122", "--customer-name", "Анна", "--address", "Тверская 1")
    assert ordersctl("order", "correct", "A1", *given, "-r", "she called", "-y").code == 0
    sent = services.calls[-1].body
    assert sent["customer"] == {"phone": "+79990001122", "name": "Анна"}
    assert (sent["address"], sent["expected_version"]) == ("Тверская 1", 3)
    both = ordersctl("order", "correct", "A1", *given, "--customer", '{"name": "x"}', "-r", "she called", "-y")
    assert both.code == 2


def test_a_bar_is_shown_on_a_terminal_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Output().progress("applying") as show:
        show(1, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # as rich has a terminal
    monkeypatch.setenv("TERM", "xterm")
    with Output().progress("applying") as show:
        show(1, 2)
    assert "1/2" in capsys.readouterr().err
