"""What surprised a newcomer at the terminal: reasons of refusals, plans that say what they do, commands that can be copied."""

from __future__ import annotations

from typing import Any

import pytest

from console.cli import changing
from console.cli.commands import Context
from tests.unit.console.cli.conftest import Ended, Ordersctl, Services

AT = "2026-11-29T10:00:00Z"
RETRY = "POST /admin/v1/workflows/retry"


@pytest.mark.parametrize(
    ("detail", "status", "code", "says"),
    [
        ("oleg is on duty already, until 2026-12-07T06:00:00Z", 409, "conflict", "oleg уже дежурит, до 7 дек"),
        ("ends_at is in the past", 422, "unprocessable", "ends_at уже в прошлом"),
        ("99.99 is more than the 5.00 RUB left of the captured 9.00 RUB", 409, "exceeds_captured", "списано 9.00"),
        ("words of another release", 409, "conflict", "words of another release"),
    ],
)
def test_a_refusal_in_russian_has_its_headline_and_its_reason(
    services: Services, ordersctl: Ordersctl, detail: str, status: int, code: str, says: str
) -> None:
    services.on(RETRY, {"code": code, "detail": detail, "fields": [{"field": "f1", "message": "m1"}]}, status)
    remarks = ordersctl("workflow", "retry", "7", "-r", "once more", "-y", "--language", "ru").remarks
    headline, fields = remarks.splitlines()[:2]
    assert headline.startswith("orchestrator: ")
    assert headline.endswith(f"({code})")
    assert says in headline
    assert headline.count(": ") >= 2, "what the code means stands before the reason"
    assert "f1: m1" in fields


def test_an_unknown_order_is_named_in_russian(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /orders/v1/orders/NOPE", {"code": "not_found", "detail": "there is no order NOPE"}, 404)
    ended = ordersctl("order", "show", "NOPE", "--language", "ru")
    assert (ended.code, "заказа NOPE нет" in ended.remarks) == (3, True)


@pytest.mark.parametrize("sure", ["-y", "--wait"])
@pytest.mark.parametrize(("outcome", "code"), [("refused", 1), ("not_found", 3)])
def test_a_plan_that_is_wholly_refused_ends_after_its_rehearsal(
    services: Services, ordersctl: Ordersctl, sure: str, outcome: str, code: int
) -> None:
    item = {"id": 329, "version": 1, "outcome": outcome, "code": "finished", "detail": "it has finished"}
    services.on(RETRY, {"plan": "a" * 64, "matched": 1, "more": False, "items": [item]})
    ended = ordersctl("workflow", "retry", "329", "-r", "once more", sure)
    assert (ended.code, "it has finished" in ended.out) == (code, True)
    assert [call.body["dry_run"] for call in services.calls] == [True]


def test_a_plan_of_which_some_is_refused_is_applied(services: Services, ordersctl: Ordersctl) -> None:
    refused = {"id": 1, "version": 1, "outcome": "refused", "code": "finished", "detail": "it has finished"}
    fine = {"id": 2, "version": 1, "outcome": "retried"}
    services.on(RETRY, {"plan": "a" * 64, "matched": 2, "more": False, "items": [refused, fine]})
    assert ordersctl("workflow", "retry", "1", "2", "-r", "once more", "-y").code == 7
    assert [call.body["dry_run"] for call in services.calls] == [True, False]


def test_a_silences_plan_says_what_it_silences(services: Services, ordersctl: Ordersctl) -> None:
    kept = {"hours": 24, "messages": 2, "incidents": 1}
    said = {"id": None, "ends_at": AT, "incidents": [5, 7], "would_have_muted": kept, "dry_run": True}
    services.on("POST /admin/v1/silences", said)
    wish = ("silence", "add", "--match-alert", "Late,Lost", "--ends-at", "+2h", "-r", "it is mended")
    ended = ordersctl(*wish)  # nobody can be asked here: it ends with the plan
    assert "for: alert=Late, alert=Lost" in ended.remarks
    assert "incident 5, 7 goes quiet" in ended.remarks
    assert "incidents: 5" not in ended.remarks
    russian = ordersctl(*wish, "--language", "ru").remarks
    assert ("для: alert=Late" in russian, "проблема 5, 7" in russian) == (True, True)


def test_a_mended_events_plan_says_what_it_changes(services: Services, ordersctl: Ordersctl) -> None:
    gone = {"id": "a", "name": "Milk", "quantity": "2", "price": 8500}
    difference = {"added": [], "removed": [gone], "changed": [], "fields": [["comment", None, "у двери"]]}
    effect = {"summary": "The order was changed", "currency": "RUB", "difference": difference}
    services.on("GET /admin/v1/workflow-events/7-1", {"id": "7-1", "workflow_id": 7})
    services.on("GET /admin/v1/workflows/7", {"id": 7, "version": 3})
    services.on("POST /admin/v1/workflow-events/7-1/mend", {"effect": effect, "notices": []})
    mend = ("event", "mend", "7-1", "--payload", "{}", "-r", "read by a person")
    for ended in (ordersctl(*mend, "-y"), ordersctl(*mend, "--dry-run")):
        lines = [line.strip() for line in ended.remarks.splitlines()]
        said = ["The order was changed", "removed: Milk: 2 × 85.00 RUB", "comment: – → у двери"]
        assert [line for line in lines if line in said] == said
    assert "убрано: Milk: 2 × 85,00" in ordersctl(*mend, "-y", "--language", "ru").remarks
    assert ordersctl(*mend, "--dry-run", "-o", "json").json["items"][0]["shown"]["effect"] == effect


def test_what_failed_is_named_where_it_is_to_be_skipped_or_mended(services: Services, ordersctl: Ordersctl) -> None:
    item = {"id": 7, "version": 1, "outcome": "retried"}
    services.on(RETRY, {"plan": "a" * 64, "matched": 1, "more": False, "items": [item]})
    services.on("GET /admin/v1/workflows/7", {"state_name": "crashed", "pending": 1})
    services.on("GET /admin/v1/workflow-events", {"items": [{"id": "7-3"}], "next_cursor": None})
    retry = ("workflow", "retry", "7", "-r", "once more", "-y", "--wait", "--timeout", "0")
    assert "(ordersctl event skip 7-3, or event mend 7-3)" in ordersctl(*retry).remarks
    asked = services.calls[-1]
    assert (asked.query["workflow_id"], asked.query["state"]) == ("7", "failed")
    services.on("GET /admin/v1/workflow-events", {"code": "unavailable"}, 503)
    ended = ordersctl(*retry)
    assert (ended.code, "event skip" in ended.remarks, "workflow show 7" in ended.remarks) == (1, False, True)


def test_an_event_says_where_its_body_is(
    services: Services, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    event = {"id": "1-6", "attributes": {"delivery_id": "d9"}}
    services.on("GET /admin/v1/workflow-events/1-6", event)
    services.on("GET /admin/v1/workflow-events/1-7", {"id": "1-7", "attributes": {}})
    assert "ordersctl intake show d9" in ordersctl("event", "show", "1-6").out
    assert "intake show" not in ordersctl("event", "show", "1-7").out
    assert ordersctl("event", "show", "1-6", "-o", "json").json == event
    assert "ordersctl intake show DELIVERY" in " ".join(ordersctl("event", "mend", "--help").out.split())


def test_a_reason_that_is_too_short_is_asked_for_again(
    services: Services, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = ordersctl("workflow", "retry", "7", "-r", " x ", "-y", "--language", "ru")
    assert (ended.code, services.calls, "не короче трёх знаков" in ended.remarks) == (2, [], True)
    typed = ["", "no", "it is mended "]
    monkeypatch.setattr(Context, "interactive", property(lambda _: True))
    monkeypatch.setattr(changing, "line", lambda *_: typed.pop(0))
    services.on(RETRY, {"plan": "a" * 64, "matched": 0, "more": False, "items": []})
    assert ordersctl("workflow", "retry", "7", "-r", "", "-y").code == 2  # who gave one is asked for none
    ended = ordersctl("workflow", "retry", "7", "-y", "--language", "ru")
    assert ended.remarks.count("причина — не короче трёх знаков") == 2
    assert services.calls[0].body["reason"] == "it is mended"


@pytest.mark.parametrize(
    ("held", "english", "russian"),
    [
        ("earlier_notice", "earlier notice", "ждало сообщение этого чата, которое шло перед ним"),
        ("chat_limit", "chat limit", "предел сообщений в чате"),
    ],
)
def test_a_list_says_in_words_what_held_a_message(
    services: Services, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch, held: str, english: str, russian: str
) -> None:
    services.on("GET /admin/v1/notifications", {"items": [{"notice_id": "n1", "held_by": held}], "next_cursor": None})
    monkeypatch.setenv("COLUMNS", "400")

    def listed(*more: str) -> Ended:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        return ordersctl("message", "list", *more)

    shown = listed("--language", "en").out
    assert (english in shown, held in shown) == (True, False)
    assert russian in listed("--language", "ru").out
    assert listed("-o", "json").json[0]["held_by"] == held


def test_find_tells_of_an_order_when_it_came_to_be(services: Services, ordersctl: Ordersctl) -> None:
    order: dict[str, Any] = {"number": "A1", "created_at": AT, "updated_at": "2026-11-30T10:00:00Z"}
    services.on("GET /admin/v1/orders", {"items": [order], "next_cursor": None, "count": 1})
    assert [each["at"] for each in ordersctl("find", "A1", "-o", "json").json if each["kind"] == "order"] == [AT]
