"""Changes: rehearsed, shown, applied by their plan, and watched."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.console.cli.conftest import Call, Ordersctl, Services

RETRY = "POST /admin/v1/workflows/retry"
REFUND = "POST /admin/v1/orders/A1/refund"
DIGEST = "a" * 64


def bulk(outcomes: dict[int, str], *, applied: dict[int, str] | None = None) -> Callable[[Call], tuple[int, Any]]:
    """A bulk change as the services answer it: a plan, what was done by it, and the same again."""
    answered: dict[str, Any] = {}

    def answer(call: Call) -> tuple[int, Any]:
        if call.key in answered:
            return 200, {**answered[call.key], "already_applied": True}
        done = outcomes if call.body["dry_run"] else (applied or outcomes)
        items = [{"id": each, "version": 1, "outcome": out, "notices": ["told"]} for each, out in done.items()]
        said = {"dry_run": call.body["dry_run"], "plan": DIGEST, "matched": len(items), "more": False, "items": items}
        if call.key:
            answered[call.key] = said
        return 200, said

    return answer


def states(services: Services, **shown: list[str]) -> None:
    """Workflows that are in one state after the other, and stay in the last."""
    for name, left in shown.items():

        def answer(_: Call, left: list[str] = left) -> tuple[int, Any]:
            return 200, {"state_name": left.pop(0) if len(left) > 1 else left[0], "pending": 1}

        services.on(f"GET /admin/v1/workflows/{name.removeprefix('w')}", answer)


def test_a_change_is_rehearsed_and_then_exactly_that_plan_applied(services: Services, ordersctl: Ordersctl) -> None:
    services.on(RETRY, bulk({1: "retried", 2: "retried"}))
    ended = ordersctl("workflow", "retry", "1", "2", "1", "-r", "feedback is back", "--yes", "-o", "json")
    assert (ended.code, [item["outcome"] for item in ended.json["items"]]) == (0, ["retried", "retried"])
    rehearsed, applied = services.calls
    assert rehearsed.body == {"reason": "feedback is back", "dry_run": True, "ids": [1, 2]}
    assert applied.body == {**rehearsed.body, "dry_run": False, "plan": DIGEST}
    assert (rehearsed.key, bool(applied.key)) == (None, True)


def test_waiting_tells_what_became_of_each(services: Services, ordersctl: Ordersctl) -> None:
    services.on(RETRY, bulk({1: "retried", 2: "retried", 3: "retried"}))
    states(services, w1=["running", "finished"], w2=["finished"], w3=["running", "crashed"])
    ended = ordersctl("workflow", "retry", "1", "2", "3", "-r", "once more", "-y", "--wait")
    assert (ended.code, "seen: 1 crashed, 2 finished" in ended.remarks) == (7, True)
    states(services, w1=["running"])
    assert ordersctl("workflow", "retry", "1", "-r", "once more", "-y", "--wait", "--timeout", "0").code == 4


@pytest.mark.parametrize(
    ("applied", "code"),
    [
        ({1: "retried", 2: "changed_since"}, 7),
        ({1: "changed_since", 2: "changed_since"}, 1),
        ({1: "not_found", 2: "not_found"}, 3),
        ({1: "retried", 2: "refused"}, 7),
    ],
)
def test_what_was_left_alone_is_in_the_exit_code(
    services: Services, ordersctl: Ordersctl, applied: dict[int, str], code: int
) -> None:
    services.on(RETRY, bulk({1: "retried", 2: "retried"}, applied=applied))
    assert ordersctl("workflow", "retry", "1", "2", "-r", "once more", "-y").code == code


def test_a_kept_plan_is_applied_once_however_often_it_is_given(
    services: Services, ordersctl: Ordersctl, tmp_path: Path
) -> None:
    services.on(RETRY, bulk({1: "retried"}))
    plan = tmp_path / "plan.json"
    plan.write_text(ordersctl("workflow", "retry", "1", "-r", "once more", "--dry-run", "-o", "json").out)
    first = ordersctl("apply", str(plan), "-y")
    again = ordersctl("apply", str(plan), "-y")
    assert (first.code, again.code, "nothing happened twice" in again.remarks) == (0, 0, True)
    assert len({call.key for call in services.calls if call.key}) == 1
    assert ordersctl("apply", str(plan), "-y", "-p", "live").code == 2


@pytest.mark.parametrize(
    "broken",
    [
        "{bad",
        "[]",
        '"text"',
        "{}",
        '{"ordersctl_plan": 1, "profile": "here"}',
        '{"ordersctl_plan": 1, "profile": "here", "wish": {"act": "no such"}, "items": [], "matched": 0, "key": "k"}',
        '{"ordersctl_plan": 1, "profile": "here", "wish": [], "items": {}, "matched": 0, "key": "k"}',
    ],
)
def test_what_is_no_plan_is_not_applied(services: Services, ordersctl: Ordersctl, tmp_path: Path, broken: str) -> None:
    (tmp_path / "plan.json").write_text(broken)
    assert ordersctl("apply", str(tmp_path / "plan.json"), "-y").code == 2
    assert services.calls == []


def test_without_a_reason_a_name_or_a_yes_nothing_is_changed(services: Services, ordersctl: Ordersctl) -> None:
    services.on(RETRY, bulk({1: "retried"}))
    for lacking in (["1", "-y"], ["1", "-y", "-r", " "], ["-r", "why", "-y"], ["1", "-r", "why"]):
        assert ordersctl("workflow", "retry", *lacking).code == 2
    assert all(call.body["dry_run"] for call in services.calls)


def test_on_production_the_name_of_the_profile_has_to_be_typed(
    services: Services, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.on(RETRY, bulk({1: "retried"}))
    monkeypatch.setattr("console.cli.commands.Context.interactive", True)
    typed: list[str] = []
    monkeypatch.setattr("typer.prompt", lambda *_, **__: typed.pop(0))
    typed[:] = ["prod"]
    assert ordersctl("workflow", "retry", "1", "-r", "why", "-p", "live").code == 1
    assert [call.body["dry_run"] for call in services.calls] == [True]
    typed[:] = ["the reason", "live"]
    ended = ordersctl("workflow", "retry", "1", "-p", "live")
    assert (ended.code, "PRODUCTION" in ended.remarks, services.calls[-1].body["reason"]) == (0, True, "the reason")


def test_a_sum_is_sent_in_minor_units_with_the_version_that_was_looked_at(
    services: Services, ordersctl: Ordersctl
) -> None:
    services.on("GET /orders/v1/orders/A1", {"version": 3, "totals": {"currency": "RUB"}})
    services.on(REFUND, lambda call: (200, {"dry_run": call.body["dry_run"], "amount": call.body["amount"]}))
    ended = ordersctl("order", "refund", "A1", "--amount", "10.50", "-r", "half was spoilt", "-y")
    assert ended.code == 0
    bodies = [call.body for call in services.calls if call.line == REFUND]
    assert bodies == [
        {"amount": 1050, "reason": "half was spoilt", "dry_run": dry, "expected_version": 3} for dry in (True, False)
    ]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"amount": 8500}, "amount 85.00 RUB"),
        ({"amount": None, "amount_is": "left_of_payment"}, "amount everything left of the captured sum"),
        ({"amount": None, "amount_is": "left_of_positions"}, "amount what earlier refunds have left of these goods"),
        ({"amount": None, "positions": [{"id": "milk", "quantity": "2"}]}, "positions 2 of milk"),
        ({"amount": None, "tips": 500}, "tips 5.00 RUB"),
    ],
)
def test_a_refund_is_agreed_to_as_a_sum_with_its_goods(
    services: Services, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], told: str
) -> None:
    services.on("GET /orders/v1/orders/A1", {"version": 3, "totals": {"currency": "RUB"}})
    services.on(REFUND, {"tips": 0, "positions": [], **asked, "number": "A1", "currency": "RUB"})
    monkeypatch.setattr("console.cli.commands.Context.interactive", True)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    ended = ordersctl("order", "refund", "A1", "-r", "half was spoilt")
    assert ended.code == 1
    assert told in ended.remarks
    assert "8500" not in ended.remarks


def test_a_refund_without_a_sum_says_first_what_that_comes_to(services: Services, ordersctl: Ordersctl) -> None:
    order = {"version": 3, "totals": {"currency": "RUB", "cost": 17000}, "payment": {"id": "pay-1"}}
    services.on("GET /orders/v1/orders/A1", order)
    services.on(REFUND, {"amount": None, "amount_is": "left_of_payment"})
    words = ["order", "refund", "A1", "-r", "all of it", "--dry-run"]
    assert "which comes to 170.00 RUB" in ordersctl(*words).remarks
    payment = {"payment_id": "pay-1", "left": 8500, "currency": "RUB"}
    services.on("GET /admin/v1/payments", {"items": [{**payment, "payment_id": "other", "left": 1}, payment]})
    assert "all that is left, 85.00 RUB of payment pay-1" in ordersctl(*words).remarks
    services.on("GET /admin/v1/payments", {"items": [{**payment, "captured": 8500, "left": 0}]})
    remarks = ordersctl(*words).remarks
    assert (
        "all that is left" in remarks,
        "nothing is left of payment pay-1: 85.00 RUB were given back" in remarks,
    ) == (
        False,
        True,
    )
    services.on("GET /admin/v1/payments", {"items": [{**payment, "left": None}]})
    assert "all that is left of the captured sum" in ordersctl(*words).remarks
    assert "all that is left" not in ordersctl(*words, "--tips").remarks


def test_a_state_that_was_asked_for_is_no_failure(services: Services, ordersctl: Ordersctl) -> None:
    services.on("POST /admin/v1/workflows/stop", bulk({1: "stopped"}))
    states(services, w1=["stopped"])
    assert ordersctl("workflow", "stop", "1", "-r", "to look", "-y", "--wait").code == 0
    states(services, w1=["crashed"])
    assert ordersctl("workflow", "stop", "1", "-r", "to look", "-y", "--wait").code == 1


def test_resubmitting_a_reported_order_is_seen_by_its_number(services: Services, ordersctl: Ordersctl) -> None:
    services.on("POST /admin/v1/endangered-orders/resubmit", bulk({1: "resubmitted"}))
    services.on("GET /admin/v1/endangered-orders/1", {"state": "reported", "number": None})
    resubmit = ("endangered", "resubmit", "1", "-r", "mended", "-y", "--wait", "--timeout", "0")
    assert ordersctl(*resubmit).code == 4
    services.on("GET /admin/v1/endangered-orders/1", {"state": "reported", "number": "W-1"})
    assert ordersctl(*resubmit).code == 0


@pytest.mark.parametrize(("state", "code"), [("SUCCESS", 0), ("ERROR", 1), ("SENDING", 4), (None, 4), ("no", 1)])
def test_a_refund_of_an_order_is_watched_until_the_money_moved(
    services: Services, ordersctl: Ordersctl, state: str | None, code: int
) -> None:
    services.on("GET /orders/v1/orders/A1", {"version": 3})
    services.on(REFUND, {"number": "A1", "business_key": "A1:2", "amount": 5, "currency": "RUB"})
    kept = {"business_key": "A1:2", "rejected": "no" if state == "no" else None, "state": state}
    others = {"business_key": "A1:1", "rejected": None, "state": "SUCCESS"}
    services.on("GET /admin/v1/orders/A1/refunds", {"items": [others, kept]})
    ended = ordersctl("order", "refund", "A1", "-r", "half was spoilt", "-y", "--wait", "--timeout", "0")
    assert ended.code == code, ended.remarks


def test_one_that_is_refused_does_not_hold_up_the_others(services: Services, ordersctl: Ordersctl) -> None:
    for name, status in (("1", 200), ("2", 409), ("3", 200)):
        services.on(
            f"DELETE /admin/v1/silences/{name}",
            lambda call, status=status: (200 if call.body["dry_run"] else status, {"code": "conflict", "detail": "no"}),
        )
    ended = ordersctl("silence", "end", "1", "2", "3", "-r", "it is over", "-y", "-o", "json")
    assert ended.code == 7
    assert [(item["id"], item["outcome"]) for item in ended.json["items"]] == [
        ("1", "end"),
        ("2", "changed_since"),
        ("3", "end"),
    ]
    assert "2: left alone: it has changed since the plan, by no person" in ended.remarks


def test_what_somebody_else_did_since_the_plan_is_named(services: Services, ordersctl: Ordersctl) -> None:
    record = {"actor": "anna", "at": "2026-11-30T02:00:00Z", "action": "silence.end", "target": "silence:2"}
    services.on("GET /admin/v1/audit", {"items": [record], "next_cursor": None})
    services.on(
        "DELETE /admin/v1/silences/2",
        lambda call: (200, {}) if call.body["dry_run"] else (404, {"code": "not_found", "detail": "there is none"}),
    )
    ended = ordersctl("silence", "end", "2", "-r", "it is over", "-y", "-o", "json")
    [item] = ended.json["items"]
    assert (ended.code, item["outcome"], item["changed_by"], item["change"]) == (
        1,
        "changed_since",
        "anna",
        "silence.end",
    )
    assert "anna has changed it since the plan" in ended.remarks
    [asked] = [call.query for call in services.calls if call.line == "GET /admin/v1/audit"]
    assert asked["target"] == "silence:2"
    assert datetime.fromisoformat(asked["from"]).tzinfo is not None
    key_reused = {"code": "idempotency_key_reused", "detail": "another request had it"}
    services.on("DELETE /admin/v1/silences/2", lambda call: (200, {}) if call.body["dry_run"] else (409, key_reused))
    assert (
        ordersctl("silence", "end", "2", "-r", "it is over", "-y", "-o", "json").json["items"][0]["outcome"]
        == "refused"
    )


def test_who_may_not_do_it_is_told_the_role_that_may(services: Services, ordersctl: Ordersctl) -> None:
    services.on(RETRY, {"code": "forbidden", "detail": "this token's role may not do that"}, 403)
    ended = ordersctl("workflow", "retry", "1", "-r", "why", "-y")
    assert (ended.code, "needs the role operator" in ended.remarks) == (5, True)


def test_who_lacks_a_scope_is_told_which_in_the_persons_language(
    services: Services, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = {"field": "orchestrator:admin", "code": "out_of_scope", "message": "the token's scopes do not hold it"}
    said = {"code": "out_of_scope", "detail": "this token is for other things", "fields": [lacking]}
    services.on(RETRY, said, 403)
    ended = ordersctl("workflow", "retry", "1", "-r", "why", "-y")
    assert (ended.code, "it needs the scope orchestrator:admin" in ended.remarks) == (5, True)
    assert "role" not in ended.remarks
    monkeypatch.setenv("LC_ALL", "ru_RU.UTF-8")
    ended = ordersctl("workflow", "retry", "1", "-r", "why", "-y")
    assert "Токен не для этого: " in ended.remarks
    assert "(out_of_scope): нужна область orchestrator:admin" in ended.remarks


def test_needed_fields_and_json_are_checked_before_anybody_is_asked(services: Services, ordersctl: Ordersctl) -> None:
    assert "--match, --ends-at" in ordersctl("silence", "add", "-r", "why", "-y").remarks
    for wrong in ("{bad", "[1]", "@/nowhere", '"x"'):
        ended = ordersctl("silence", "add", "--match", wrong, "--ends-at", "+2h", "-r", "why", "-y")
        assert (ended.code, "--match" in ended.remarks) == (2, True)
    assert services.calls == []


def test_what_a_service_says_of_an_item_cannot_steer_the_terminal(services: Services, ordersctl: Ordersctl) -> None:
    evil = "\x1b]0;owned\x07"
    item = {"id": 1, "version": 1, "outcome": "retried", "detail": evil, "notices": [evil], "name": evil}
    services.on(RETRY, {"plan": DIGEST, "matched": 1, "more": False, "items": [item]})
    for form in ("table", "json", "yaml", "name"):
        ended = ordersctl("workflow", "retry", "1", "-r", "why", "-y", "-o", form)
        assert "\x1b" not in ended.out + ended.remarks
    assert json.loads(ordersctl("workflow", "retry", "1", "-r", "why", "--dry-run", "-o", "json").out)


def test_a_house_alone_is_completed_from_the_address_of_the_version_that_was_read(
    services: Services, ordersctl: Ordersctl
) -> None:
    parts = {"city": "Москва", "street": "Тверская", "house": "1", "flat": "5"}
    order = {"version": 3, "address": {"text": "Москва", "parts": parts}}
    services.on("GET /orders/v1/orders/A1", order)
    correct = "POST /admin/v1/orders/A1/correct"
    services.on(correct, {"version": 3})
    house = ["order", "correct", "A1", "--address-house", "3", "-r", "it is the next one", "--dry-run"]
    assert ordersctl(*house).code == 0
    body = services.calls[-1].body
    assert (body["address"], body["expected_version"]) == ({**parts, "house": "3"}, 3)
    assert ordersctl(*house, "--expected-version", "2").code == 0
    assert services.calls[-1].body["expected_version"] == 2
    services.on("GET /orders/v1/orders/A1", {**order, "address": {"text": "за рынком", "parts": {}}})
    ended = ordersctl(*house)
    assert (ended.code, "in words" in ended.remarks) == (2, True)


@pytest.mark.parametrize("code", ["changed_since", "stale_version", "version_mismatch"])
def test_what_changed_since_is_left_alone_by_one_word_whichever_service_says_it(
    services: Services, ordersctl: Ordersctl, code: str
) -> None:
    problem = {"code": code, "detail": "it is at another version"}
    services.on("GET /orders/v1/orders/A1", {"version": 3})
    services.on("POST /admin/v1/orders/A1/deliver", lambda call: (200 if call.body["dry_run"] else 409, problem))
    ended = ordersctl("order", "deliver", "A1", "-r", "she has it", "-y", "-o", "json")
    assert (ended.code, [item["outcome"] for item in ended.json["items"]]) == (1, ["changed_since"])
    services.on("POST /admin/v1/orders/A1/deliver", problem, 409)
    ended = ordersctl("order", "deliver", "A1", "-r", "she has it", "-y")
    assert (ended.code, "(changed_since)" in ended.remarks) == (1, True)
    refused = {"id": 1, "version": 2, "outcome": "refused", **problem}
    services.on(RETRY, {"plan": DIGEST, "matched": 1, "more": False, "items": [refused]})
    ended = ordersctl("workflow", "retry", "1", "-r", "once more", "-y", "-o", "json")
    assert (ended.code, [item["outcome"] for item in ended.json["items"]]) == (1, ["changed_since"])


def test_a_mended_body_is_for_the_version_that_was_looked_at(services: Services, ordersctl: Ordersctl) -> None:
    mend = "POST /admin/v1/deliveries/d1/replay"
    services.on("GET /admin/v1/deliveries/d1", {"version": 2})
    services.on(mend, {"code": "changed_since", "detail": "look at it again"}, 409)
    words = ["intake", "mend", "d1", "--body", "{}", "-r", "a comma was missing", "-y"]
    assert ordersctl(*words, "--expected-version", "1").code == 1
    assert services.calls[-1].body["expected_version"] == 1
    assert ordersctl(*words).code == 1
    assert services.calls[-1].body["expected_version"] == 2
