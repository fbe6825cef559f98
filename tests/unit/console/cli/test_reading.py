"""What is only looked at: lists, single things, find, checks, audit, tail, and how each failure ends."""

from __future__ import annotations

import json
import shlex
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from console.client.operations import SERVICES
from tests.unit.console.cli.conftest import (
    LEDGER,
    RECALCULATED,
    RECONCILED,
    UNALTERED,
    Call,
    Ordersctl,
    Services,
    checks,
)

ORDER = {"number": "A1", "status": "paid", "external_id": "e1", "cost": 100, "currency": "RUB"}


def pages(items: list[dict[str, Any]]) -> Any:
    """A list in pages, as a service answers it."""

    def answer(call: Call) -> tuple[int, Any]:
        start, size = int(call.query.get("cursor", 0)), int(call.query.get("limit", 50))
        after = start + size
        said = {"items": items[start:after], "next_cursor": str(after) if after < len(items) else None}
        return 200, {**said, **({"count": len(items)} if call.query.get("count") == "true" else {})}

    return answer


def test_a_list_is_read_page_by_page_and_says_how_many_match(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /admin/v1/orders", pages([{**ORDER, "number": f"N{n}"} for n in range(450)]))
    ended = ordersctl("order", "list", "--limit", "420", "--status", "paid", "-o", "name")
    assert ended.out.split() == [f"N{n}" for n in range(420)]
    assert "450 match, 420 shown" in ended.remarks
    assert [(call.query["limit"], call.query["status"]) for call in services.calls] == [
        ("200", "paid"),
        ("200", "paid"),
        ("20", "paid"),
    ]


def test_a_filter_may_be_called_as_the_service_that_is_asked(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /admin/v1/incidents", pages([{"id": 5, "state": "open"}]))
    assert ordersctl("incident", "list", "--service", "tips", "-o", "name").out.split() == ["5"]
    assert services.calls[-1].query["service"] == "tips"


def test_a_value_that_a_filter_cannot_have_is_wrong_usage_and_asks_nobody(
    services: Services, ordersctl: Ordersctl
) -> None:
    assert ordersctl("order", "list", "--status", "odd").code == 2
    assert ordersctl("order", "list", "--since", "tomorrowish").code == 2
    assert services.calls == []


@pytest.mark.parametrize(
    ("status", "problem", "code"),
    [
        (400, {"code": "bad_request"}, 2),
        (401, {"code": "unauthorized"}, 5),
        (403, {"code": "forbidden"}, 5),
        (404, {"code": "not_found"}, 3),
        (409, {"code": "conflict"}, 1),
        (422, {"code": "no_payment"}, 1),
        (422, {"code": "unprocessable", "fields": [{"field": "q", "message": "too short"}]}, 2),
        (301, "<html>elsewhere</html>", 1),
        (500, "<html>\x1b[2Jbroken</html>", 1),
        (503, {"code": "unavailable"}, 6),
        (504, {"code": "too_late"}, 4),
    ],
)
def test_each_refusal_has_its_exit_code_and_its_words(
    services: Services, ordersctl: Ordersctl, status: int, problem: Any, code: int
) -> None:
    services.on("GET /orders/v1/orders/A1", problem, status)
    ended = ordersctl("order", "show", "A1")
    assert ended.code == code
    assert ended.out == ""
    assert "orchestrator: " in ended.remarks
    assert "\x1b" not in ended.remarks


def test_a_service_that_nobody_runs_is_unreachable(services: Services, ordersctl: Ordersctl, profile: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{bound.getsockname()[1]}"
        profile.write_text(profile.read_text().replace(services.url, nobody, 1))
        ended = ordersctl("order", "show", "A1")
    assert (ended.code, nobody in ended.remarks) == (6, True)


def test_a_token_that_is_none_is_not_sent_anywhere(services: Services, ordersctl: Ordersctl, config: Path) -> None:
    for wrong in ("two words", "line\nbreak", "ключ", ""):
        (config / "token").write_text(wrong)
        ended = ordersctl("order", "list")
        assert ended.code == 5
        assert wrong == "" or wrong not in ended.remarks
    assert services.calls == []


def test_find_asks_all_at_once_and_says_what_each_thing_is(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /admin/v1/orders", {"items": [ORDER], "next_cursor": None})
    services.on("GET /admin/v1/incidents", {"items": [{"id": 7, "state": "open", "order_number": "A1"}]})
    services.on("GET /admin/v1/refunds", {"code": "invalid"}, 422)
    ended = ordersctl("find", "A1", "-o", "json")
    assert [(row["kind"], row["name"], row["state"], row["address"]) for row in ended.json] == [
        ("order", "A1", "paid", "/o/A1"),
        ("incident", "7", "open", "/i/7"),
    ]
    assert ordersctl("open", "A1").out == "https://console.example/o/A1\n"


def test_find_says_what_it_could_not_ask_and_finds_nothing_as_not_found(
    services: Services, ordersctl: Ordersctl
) -> None:
    assert ordersctl("find", "nobody's").code == 3
    services.on("GET /admin/v1/refunds", {"code": "unavailable"}, 503)
    ended = ordersctl("find", "nobody's")
    assert (ended.code, "refunds does not answer" in ended.remarks) == (6, True)
    services.on("GET /admin/v1/orders", {"items": [ORDER], "next_cursor": None})
    assert ordersctl("find", "A1").code == 7
    services.on("GET /admin/v1/tickets", {"code": "forbidden"}, 403)
    assert ordersctl("find", "A1").code == 5


def test_all_checks_are_one_verdict_and_change_nothing(services: Services, ordersctl: Ordersctl) -> None:
    checks(services)
    ended = ordersctl("check", "all", "-o", "json")
    assert (ended.code, [row["verdict"] for row in ended.json]) == (0, ["holds"] * 5)
    assert all(call.body["dry_run"] is True for call in services.calls if call.line.startswith("POST"))


@pytest.mark.parametrize(
    ("line", "said", "check"),
    [
        ("GET /admin/v1/ledger", {**LEDGER, "difference": 1}, "ledger"),
        ("GET /admin/v1/unarrived-orders", {"items": [{}], "count": 1}, "ledger"),
        ("POST /admin/v1/orders/recalculate", {**RECALCULATED, "differing": 2}, "orders"),
        ("GET /admin/v1/workflows", {"items": [{}], "count": 3}, "orders"),
        ("POST /admin/v1/reconciliation", {**RECONCILED, "registers": {"trust": "unavailable"}}, "refunds"),
        ("POST /admin/v1/reconciliation", {**RECONCILED, "unanswered": 1}, "refunds"),
        ("GET /admin/v1/differences", {"items": [{}], "count": 1}, "refunds"),
        (
            "GET /admin/v1/verdicts",
            {"items": [{"name": "refund-requests", "found": 1, "detail": "A1:cancel"}, *UNALTERED["items"]]},
            "refunds",
        ),
        ("GET /admin/v1/verdicts", {"items": UNALTERED["items"][2:]}, "refunds"),
        ("GET /admin/v1/dead-letters", {"items": [{}], "count": 1}, "dead-letters"),
        (
            "GET /admin/v1/verdicts",
            {"items": [*UNALTERED["items"][:2], {"name": "audit", "found": 1, "detail": "record 7"}]},
            "audit",
        ),
        ("GET /admin/v1/verdicts", {"items": []}, "refunds audit"),
        ("GET /admin/v1/verdicts", {"code": "unavailable"}, "refunds audit"),
    ],
)
def test_one_thing_that_differs_makes_the_verdict(
    services: Services, ordersctl: Ordersctl, line: str, said: Any, check: str
) -> None:
    checks(services)
    services.on(line, said)
    ended = ordersctl("check", "all", "-o", "json")
    assert (ended.code, [row["check"] for row in ended.json if row["verdict"] == "differs"]) == (1, check.split())


def test_what_could_not_be_checked_is_never_said_to_hold(services: Services, ordersctl: Ordersctl) -> None:
    checks(services)
    services.on("POST /admin/v1/reconciliation", {"code": "forbidden", "detail": "no"}, 403)
    ended = ordersctl("check", "all")
    assert (ended.code, "unknown" in ended.out, "NOT proved" in ended.remarks) == (5, True, True)


def test_the_audit_of_all_services_is_one_by_time(services: Services, ordersctl: Ordersctl) -> None:
    def audit(call: Call) -> tuple[int, Any]:
        n = len(services.lines("GET /admin/v1/audit"))
        return 200, {"items": [{"at": f"2026-11-29T10:00:{(n * 7) % 5:02}Z", "action": call.query["actor"]}]}

    services.on("GET /admin/v1/audit", audit)
    ended = ordersctl("audit", "--actor", "anna", "-o", "json")
    times = [row["at"] for row in ended.json]
    assert times == sorted(times, reverse=True)
    assert {row["service"] for row in ended.json} == set(SERVICES)


def test_status_counts_what_needs_a_person_and_who_would_not_be_told(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /readyz", {"ready": True, "checks": {"postgres": "ok"}})
    services.on("GET /admin/v1/coverage", {"covered": True, "missing": []})
    assert ordersctl("status").code == 0
    services.on("GET /admin/v1/workflows", {"items": [{}], "count": 3})
    services.on(
        "GET /admin/v1/coverage", {"covered": False, "missing": [{"what": "people", "detail": "phone of oleg"}]}
    )
    ended = ordersctl("status", "-o", "json")
    assert ended.code == 1
    assert [row["count"] for row in ended.json["needed"] if row["what"] == "crashed workflows"] == [3]
    assert ended.json["missing"] == [{"what": "people", "detail": "phone of oleg"}]


def test_status_says_why_a_service_is_not_ready(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /readyz", {"ready": False, "checks": {"postgres": "ok", "amqp": "no connection"}}, 503)
    services.on("GET /admin/v1/coverage", {"covered": True, "missing": []})
    rows = ordersctl("status", "-o", "json").json["services"]
    assert {(row["state"], row["checks"]) for row in rows} == {("not ready", "amqp: no connection")}


def test_status_asks_everything_at_once(services: Services, ordersctl: Ordersctl) -> None:
    last = threading.Event()

    def coverage(_: Call) -> tuple[int, Any]:
        last.set()
        return 200, {"covered": True, "missing": []}

    def ready(_: Call) -> tuple[int, Any]:  # before the answer to this the other was asked
        return (200, {"ready": True, "checks": {}}) if last.wait(timeout=60) else (503, {"code": "unavailable"})

    services.on("GET /readyz", ready)
    services.on("GET /admin/v1/coverage", coverage)
    ended = ordersctl("status", "-o", "json")
    assert (ended.code, {each["state"] for each in ended.json["services"]}) == (0, {"ready"})


def test_status_says_what_waits_and_is_not_well_when_that_is_late(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /readyz", {"ready": True, "checks": {}})
    services.on("GET /admin/v1/coverage", {"covered": True, "missing": []})
    queue = {"name": "outbox", "replica": None, "waiting": 2, "oldest_seconds": 9.0, "state": "waiting"}
    services.on(
        "GET /admin/v1/queues", {"items": [queue, {**queue, "name": "calls", "state": "empty"}], "complete": True}
    )
    ended = ordersctl("status", "-o", "json")
    assert (ended.code, ended.json["queues"]) == (0, [{"service": service, **queue} for service in SERVICES])
    services.on("GET /admin/v1/queues", {"items": [{**queue, "state": "late"}], "complete": False})
    ended = ordersctl("status", "-o", "json")
    assert (ended.code, ended.json["queues_unknown"]) == (1, list(SERVICES))


def test_status_shows_the_rest_where_nobody_can_say_who_would_be_told(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /readyz", {"ready": True, "checks": {}})
    services.on("GET /admin/v1/coverage", {"code": "unavailable", "detail": "its database does not answer"}, 503)
    ended = ordersctl("status", "-o", "json")
    assert (ended.code, ended.json["missing"], len(ended.json["services"])) == (1, None, len(SERVICES))
    ended = ordersctl("status")
    assert "whether a critical problem would reach a person is not known" in ended.remarks
    assert "nothing needs a person" not in ended.remarks


def test_shadow_mode_says_whether_both_decide_alike(services: Services, ordersctl: Ordersctl) -> None:
    said: dict[str, Any] = {"since": "2026-11-22T10:00:00Z", "first_at": None, "rules": [], "differences": []}
    counts = {"compared": 4, "agreed": 4, "differed": 0, "failed": 0}
    services.on("GET /admin/v1/tips/shadow", {**said, **counts})
    ended = ordersctl("tips", "shadow", "--since", "2026-11-22T10:00:00Z")
    assert (ended.code, "compared 4  agreed 4  differed 0  failed 0" in ended.remarks) == (0, True)
    assert services.calls[-1].query == {"since": "2026-11-22T13:00:00+03:00"}
    rule = {"decision": "tips", "rule": "cap", "orders": 1, "last_at": "2026-11-23T10:00:00Z"}
    services.on("GET /admin/v1/tips/shadow", {**said, **counts, "agreed": 3, "differed": 1, "rules": [rule]})
    ended = ordersctl("tips", "shadow", "-o", "json")
    assert (ended.code, ended.json["rules"]) == (1, [rule])


def test_status_counts_exactly_what_the_command_beside_it_lists(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /readyz", {"ready": True, "checks": {}})
    services.on("GET /admin/v1/coverage", {"covered": True, "missing": []})
    services.on("GET /admin/v1/dead-letters", pages([{"id": 1, "dead_at": "2026"}, {"id": 2, "dead_at": "2026"}]))
    ended = ordersctl("status", "-o", "json")
    letters = [row for row in ended.json["needed"] if row["count"] == 2]
    assert (ended.code, len(letters)) == (1, 4)
    counted = {json.dumps([call.line, {**call.query, "limit": "1"}], sort_keys=True) for call in services.calls}
    services.calls.clear()
    for row in ended.json["needed"]:
        assert ordersctl(*shlex.split(row["look"])[1:], "-o", "json").code == 0, row
    for call in services.calls:
        asked = {name: held for name, held in call.query.items() if name != "cursor"} | {"limit": "1", "count": "true"}
        assert json.dumps([call.line, asked], sort_keys=True) in counted


def test_tail_shows_both_copies_of_one_message(services: Services, ordersctl: Ordersctl) -> None:
    copy = {"notice_id": "n", "kind": "order.paid", "state": "sent", "created_at": "2026-11-29T10:00:00Z"}
    looks = iter([[], [{**copy, "delivery_id": 2}, {**copy, "delivery_id": 1}]])
    services.on("GET /admin/v1/notifications", lambda _: (200, {"items": next(looks, []), "next_cursor": None}))
    ended = ordersctl("tail", "--only", "message", "--every", "0.2", "--for", "0.5", "-o", "jsonl")
    assert [json.loads(line)["item"]["delivery_id"] for line in ended.out.splitlines()] == [2, 1]


def test_tail_writes_sums_as_people_do(services: Services, ordersctl: Ordersctl) -> None:
    refund = {"id": "r1", "order_number": "A1", "amount": 8500, "currency": "RUB", "state_name": "SUCCESS"}
    looks = iter([[], [{**refund, "state_since": "2026-11-29T10:00:00Z"}]])
    services.on("GET /admin/v1/refunds", lambda _: (200, {"items": next(looks, []), "next_cursor": None}))
    ended = ordersctl("tail", "--only", "refund", "--every", "0.2", "--for", "0.5")
    assert "r1  A1  85.00 RUB  SUCCESS" in ended.out


def test_tail_shows_each_thing_once_and_only_what_came_since(services: Services, ordersctl: Ordersctl) -> None:
    hooks = [{"id": "1", "received_at": "2026-11-29T10:00:00Z", "event": "order.created", "outcome": "confirmed"}]

    def deliveries(_: Call) -> tuple[int, Any]:
        shown = list(hooks)
        if len(hooks) < 3:
            hooks.insert(0, {**hooks[0], "id": str(len(hooks) + 1), "event": "order.paid\x1b[2J"})
        return 200, {"items": shown, "next_cursor": None}

    services.on("GET /admin/v1/deliveries", deliveries)
    ended = ordersctl("tail", "--only", "intake", "--every", "0.2", "--for", "1", "-o", "jsonl")
    assert [json.loads(line)["item"]["id"] for line in ended.out.splitlines()] == ["2", "3"]
    assert "\x1b" not in ended.out


@pytest.mark.parametrize("length", [3, 250])
def test_tail_never_takes_what_was_there_before_for_news(services: Services, ordersctl: Ordersctl, length: int) -> None:
    old = [f"old-{n}" for n in range(length)]
    many = [f"many-{n}" for n in range(150)]
    left = [name for name in old if name not in ("old-1", "old-30")]  # others move up in their place
    looks = iter([old, ["one", *old], ["one", *left], [*many, "one", *left], [*many, "one", *left]])
    held: list[dict[str, Any]] = []

    def deliveries(call: Call) -> tuple[int, Any]:
        if "cursor" not in call.query:
            if (names := next(looks, None)) is None:
                return 403, {"code": "forbidden"}  # which ends it
            held[:] = [{"id": name, "received_at": "2026-11-29T10:00:00Z"} for name in names]
        return 200, pages(held)(call)[1]

    services.on("GET /admin/v1/deliveries", deliveries)
    ended = ordersctl("tail", "--only", "intake", "--every", "0.2", "-o", "jsonl")
    assert [json.loads(line)["item"]["id"] for line in ended.out.splitlines()] == ["one", *many]


def test_tail_finds_again_what_it_could_not_read_to_the_end(services: Services, ordersctl: Ordersctl) -> None:
    old, many = [f"old-{n}" for n in range(5)], [f"many-{n}" for n in range(150)]
    asked: list[str] = []

    def deliveries(call: Call) -> tuple[int, Any]:
        asked.append(call.query.get("cursor", ""))
        if len(asked) == 3 and asked[-1]:
            return 503, {"code": "unavailable"}
        if len(asked) > 5:
            return 403, {"code": "forbidden"}
        names = old if len(asked) == 1 else [*many, *old]
        return 200, pages([{"id": name, "received_at": "2026-11-29T10:00:00Z"} for name in names])(call)[1]

    services.on("GET /admin/v1/deliveries", deliveries)
    ended = ordersctl("tail", "--only", "intake", "--every", "0.2", "-o", "jsonl")
    assert [json.loads(line)["item"]["id"] for line in ended.out.splitlines()] == many


def test_tail_tells_of_an_old_thing_that_changed_below_all_that_is_known(
    services: Services, ordersctl: Ordersctl
) -> None:
    def tickets(n: int) -> list[dict[str, Any]]:
        return [
            {"key": f"T-{each}", "state": "closed" if (n, each) == (1, 99) else "open", "created_at": "2026"}
            for each in range(150)
        ]

    looks = iter([tickets(0), tickets(1)])
    services.on(
        "GET /admin/v1/tickets",
        lambda call: (403, {}) if (held := next(looks, None)) is None else pages(held)(call),
    )
    ended = ordersctl("tail", "--only", "ticket", "--every", "0.2", "-o", "jsonl")
    assert [json.loads(line)["item"]["key"] for line in ended.out.splitlines()] == ["T-99"]


def test_a_dead_letter_is_found_by_asking_every_service(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /admin/v1/dead-letters/5", {"id": 5, "reason": "odd"})
    ended = ordersctl("dead-letter", "show", "5")
    assert (ended.code, "--service" in ended.remarks) == (2, True)
    assert ordersctl("dead-letter", "show", "5", "--service", "refunds").code == 0
    assert ordersctl("dead-letter", "show", "6").code == 3


def test_any_address_can_be_called_and_none_outside_the_service(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /admin/v1/x", lambda call: (200, call.query))
    services.on("POST /admin/v1/x", lambda call: (200, {"body": call.body, "key": call.key}))
    shown = ordersctl("api", "GET", "/admin/v1/x?a=1&b=%20", "-s", "tips")
    assert shown.json == {"a": "1", "b": " "}
    sent = ordersctl("api", "POST", "/admin/v1/x", "-s", "tips", "-d", '{"a": 1}', "--key", "k")
    assert sent.json == {"body": {"a": 1}, "key": "k"}
    for wrong in (["GET", "//evil.example/"], ["GET", "x"], ["TRACE", "/x"], ["GET", "/x", "-d", "{}"]):
        assert ordersctl("api", *wrong, "-s", "tips").code == 2
    assert ordersctl("api", "GET", "/x", "-s", "elsewhere").code == 2
