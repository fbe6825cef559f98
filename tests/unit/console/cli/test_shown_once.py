"""What is shown of one thing: nothing twice, and what the console says of it, too."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.console.cli.conftest import LEDGER, Ended, Ordersctl, Services, checks

AT = "2026-11-29T10:00:00Z"
TEXT = "New order N1 of the store 42"
NOTICE = {"notice_id": "n1", "kind": "order.created", "order_number": "N1", "occurred_at": AT, "text": TEXT}
COPY = {
    **NOTICE,
    "delivery_id": 1,
    "destination": "pickers-42",
    "sent_at": "2026-11-29T10:02:00Z",
    "held_by": "the messenger answered 502",
    "failed_at": "2026-11-29T10:00:02Z",
}
DRAFT: dict[str, Any] = {
    "recipient": "owner@example",
    "copies": [],
    "subject": "Two orders were endangered",
    "text": "We mend them.",
}
REPORT = {"draft": DRAFT, "reports": []}


@pytest.fixture
def ordersctl(ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch) -> Ordersctl:
    """At a wide terminal."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        return ordersctl(*arguments)

    return run


def test_a_message_says_its_text_once_and_why_a_copy_was_late(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /admin/v1/notifications/n1", {**NOTICE, "deliveries": [COPY]})
    shown = ordersctl("message", "show", "n1").out
    assert (shown.count(TEXT), shown.count("order.created"), "pickers-42" in shown) == (1, 1, True)
    held = "2 minutes after what it tells: the messenger answered 502"
    assert f"{held} (tried at 29 Nov 2026, 13:00:02 MSK, sent at 29 Nov 2026, 13:02:00 MSK)" in shown
    russian = ordersctl("message", "show", "n1", "--language", "ru").out
    assert ("через 2 минуты после события" in russian, "пробовали 29 нояб. 2026" in russian) == (True, True)
    assert ordersctl("message", "show", "n1", "-o", "json").json["deliveries"] == [COPY]


@pytest.mark.parametrize(
    ("copy", "says"),
    [
        ({"held_by": "chat_limit"}, "2 minutes after what it tells: chat limit"),
        ({"held_by": None}, "2 minutes after what it tells"),
        (
            {"held_by": "earlier_notice", "held_behind": "n0", "held_behind_kind": "order.paid"},
            "order.paid: ordersctl message show n0",
        ),
        (
            {"held_by": None, "received_at": AT, "came_by": "act"},
            "2 minutes after a person had entered it: order created",
        ),
        ({"sent_at": "2026-11-29T10:00:04Z", "failed_at": None, "held_by": None}, ""),
        ({"sent_at": None}, ""),
    ],
)
def test_a_copy_that_no_attempt_held_names_no_attempt(
    copy: dict[str, Any], says: str, services: Services, ordersctl: Ordersctl
) -> None:
    services.on("GET /admin/v1/notifications/n1", {**NOTICE, "deliveries": [{**COPY, **copy}]})
    shown = ordersctl("message", "show", "n1").out
    assert ("tried at" in shown, "2 minutes after" in shown) == (False, bool(says))
    assert says in shown


def test_a_delivery_shows_its_body_once(services: Services, ordersctl: Ordersctl) -> None:
    as_text = {"id": "d1", "body": '{"a": 1}', "body_base64": "eyJhIjogMX0="}
    services.on("GET /admin/v1/deliveries/d1", as_text)
    services.on("GET /admin/v1/deliveries/d2", {**as_text, "id": "d2", "body": None})
    assert "eyJhIjogMX0=" not in ordersctl("intake", "show", "d1").out
    assert "eyJhIjogMX0=" in ordersctl("intake", "show", "d2").out
    assert "eyJhIjogMX0=" in ordersctl("intake", "show", "d1", "--columns", "body_base64").out
    assert ordersctl("intake", "show", "d1", "-o", "json").json == as_text


def test_an_endangered_order_comes_with_the_draft_of_its_report(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /admin/v1/endangered-orders/e1", {"id": "e1", "state": "new"})
    assert "not known" in ordersctl("endangered", "show", "e1").out
    services.on("GET /admin/v1/endangered-orders/e1/report", REPORT)
    shown = ordersctl("endangered", "show", "e1").out
    assert (DRAFT["subject"] in shown, DRAFT["text"] in shown) == (True, True)
    assert ordersctl("endangered", "show", "e1", "-o", "json").json == {"id": "e1", "state": "new", "report": REPORT}
    before = len(services.calls)
    assert "new" in ordersctl("endangered", "show", "e1", "--columns", "state").out
    assert ordersctl("endangered", "show", "e1", "-o", "name").out == "e1\n"
    assert [call.line for call in services.calls[before:]] == ["GET /admin/v1/endangered-orders/e1"] * 2


def test_the_ledgers_equation_is_said_with_its_numbers(services: Services, ordersctl: Ordersctl) -> None:
    checks(services)
    equation = "received 5 = confirmed 2 + spooled 1 + quarantined 1 + refused 1"
    assert equation in ordersctl("check", "ledger").out
    assert ordersctl("check", "all", "-o", "json").json[0]["figures"] == equation
    russian = "принято 5 = подтверждено 2 + в спуле 1 + в карантине 1 + отказано 1"
    assert russian in ordersctl("check", "ledger", "--language", "ru").out
    services.on("GET /admin/v1/ledger", {**LEDGER, "received": 6, "difference": 1})
    shown = ordersctl("check", "ledger")
    assert (shown.code, equation.replace("5 =", "6 ≠") in shown.out) == (1, True)


def test_silenced_incidents_are_marked_where_they_are_listed_and_counted(
    services: Services, ordersctl: Ordersctl
) -> None:
    silenced = {"id": 5, "state": "open", "silenced_until": AT}
    other = {"id": 6, "state": "open", "silenced_until": None}
    services.on("GET /admin/v1/incidents", {"items": [silenced, other], "count": 2, "next_cursor": None})
    services.on("GET /admin/v1/coverage", {"covered": True, "missing": []})
    lines = {line.split()[0]: line for line in ordersctl("incident", "list").out.splitlines() if line.strip()}
    assert ("2026-11-29 13:00:00 MSK" in lines["5"], "MSK" in lines["6"]) == (True, False)
    said = ordersctl("status", "-o", "json").json["needed"]
    found = [(each["what"], each["count"], each["silenced"]) for each in said if "incident list" in each["look"]]
    assert found == [("critical incidents that nobody took", 2, 1), ("warnings that nobody took", 2, 1)]
    [row] = [line for line in ordersctl("status").out.splitlines() if "critical incidents" in line]
    assert row.split("nobody took")[1].split()[:2] == ["2", "1"]
