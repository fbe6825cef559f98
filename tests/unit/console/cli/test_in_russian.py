"""What is said to a person at the terminal is said in Russian where her profile or her terminal says so; what programs read is not."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.dates import format_date

from console.client.sentences import language_of, sentences
from console.client.words import called
from tests.support.terminal_words import found_by_checkers, headings, needs, refusals, said, said_by_services
from tests.unit.console.cli.conftest import Ordersctl, Services

RUSSIAN = sentences("ru")
CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)


def test_every_sentence_of_the_terminal_has_its_russian() -> None:
    assert sorted(text for text in said() if not CYRILLIC.search(RUSSIAN(filled(text)))) == []


def test_every_fault_and_every_finding_of_a_checker_has_its_russian() -> None:
    known = said_by_services()
    assert len(known) > 30
    assert sorted(text for text in known if not CYRILLIC.search(RUSSIAN(filled(text)))) == []


def test_every_verdict_and_every_fault_of_the_audit_has_its_russian() -> None:
    known = found_by_checkers()
    assert len(known) > 15
    shown = {text: RUSSIAN(filled(text)) for text in known}
    assert {text: said for text, said in shown.items() if re.search("[a-z]{3,} [a-z]{2,}", said)} == {}


def test_every_refusal_of_a_service_has_its_russian() -> None:
    known = refusals()
    assert len(known) > 150
    assert {"that time was over at {}: nobody's duty would change", "{} is the backup already, until {}"} <= known
    assert sorted(text for text in known if not CYRILLIC.search(RUSSIAN(filled(text)))) == []


def test_whatever_status_counts_and_misses_has_its_russian() -> None:
    assert len(needs()) > 15
    assert sorted(text for text in needs() if not CYRILLIC.search(RUSSIAN(filled(text)))) == []


def test_every_heading_of_a_table_has_its_russian() -> None:
    assert len(headings()) > 40
    assert sorted(name for name in headings() if not CYRILLIC.search(called(name, "ru"))) == []


def test_headings_and_kinds_are_russian_for_people_and_stay_for_programs(
    services: Services, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = {"id": 7, "kind": "order_life", "state_name": "crashed", "order_number": "N1"}
    services.on(
        "GET /admin/v1/workflows", {"items": [{**workflow, "kind": kind} for kind in ("order_life", "odd_kind")]}
    )
    listed = ("workflow", "list", "--language", "ru")
    assert "order_life" in ordersctl(*listed).out, "what goes into a pipe stays"
    assert ordersctl(*listed, "-o", "json").json[0]["kind"] == "order_life"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for width in ("300", "20"):
        monkeypatch.setenv("COLUMNS", width)
        shown = ordersctl(*listed).out
        assert [word in shown for word in ("состояние", "вид", "жизнь заказа", "odd_kind")] == [True] * 4, width
        assert re.findall(r"\bstate|\bkind\b|order_life", shown) == [], width
    english = ordersctl("workflow", "list", "--language", "en").out
    assert ("order_life" in english, "жизнь" in english) == (True, False)


def test_status_is_wholly_in_one_language(
    services: Services, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = {"name": "outbox", "replica": None, "waiting": 2, "oldest_seconds": 172800.0, "state": "late"}
    hole = {"what": "roster", "detail": "nobody is on duty now"}
    services.on("GET /readyz", {"ready": True, "checks": {"postgres": "ok", "broker": "ok"}})
    services.on("GET /admin/v1/coverage", {"covered": False, "missing": [hole]})
    services.on("GET /admin/v1/queues", {"items": [queue], "complete": False})
    services.on("GET /admin/v1/workflows", {"items": [{}], "count": 3})
    services.on("GET /admin/v1/dead-letters", {"items": [{"id": 1}], "count": 1})
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    ended = ordersctl("status", "--language", "ru")
    for text in ("готов", "postgres в порядке", "2 дня", "опоздало", "упавшие процессы", "без решения (notifier)"):
        assert text in ended.out
    assert "сейчас никто не дежурит" in ended.remarks
    ours = re.compile("ordersctl .*|webhook-gateway")
    assert re.findall("[a-z]{2,} [a-z]{2,} [a-z]+", ours.sub("", ended.out + ended.remarks)) == []
    english = ordersctl("status")
    assert not CYRILLIC.search(english.out + english.remarks)
    assert "2 days" in english.out


def filled(text: str) -> str:
    """A sentence with something in each place that varies."""
    return text.replace("{}", "x7")


@pytest.mark.parametrize(
    ("english", "russian"),
    [
        ("5 match, 3 shown", "подходит 5, показано 3"),
        ("orchestrator: no order X-1 (unknown_order)", "orchestrator: Такого заказа нет: no order X-1 (unknown_order)"),
        ("  positions.0.id: a position needs an id", "  positions.0.id: у позиции нет id"),
        (
            "2 refunds could not be asked about; nobody knows why",
            "возвратов, о которых не удалось спросить: 2; nobody knows why",
        ),
        ("  N1: refused - the number is too large", "  N1: refused - число слишком велико"),
        ("      tells nobody anything", "      никому ничего не сообщит"),
        ("a sentence of another release", "a sentence of another release"),
    ],
)
def test_a_sentence_keeps_what_varies_and_an_unknown_one_stays(english: str, russian: str) -> None:
    assert RUSSIAN(english) == russian
    assert sentences("en")(english) == english


@pytest.mark.parametrize(
    ("environment", "own", "language"),
    [
        ({}, None, "en"),
        ({"LANG": "ru_RU.UTF-8"}, None, "ru"),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": "C.UTF-8"}, None, "en"),
        ({"LANG": "C.UTF-8", "LC_MESSAGES": "ru_RU"}, None, "ru"),
        ({"LANG": "ru_RU.UTF-8"}, "en", "en"),
        ({}, "ru", "ru"),
    ],
)
def test_the_profile_says_the_language_and_else_the_terminal(
    environment: dict[str, str], own: str | None, language: str
) -> None:
    assert language_of(environment, own) == language


def test_remarks_are_in_russian_and_what_programs_read_is_as_ever(
    services: Services, ordersctl: Ordersctl, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.on("POST /admin/v1/orders/recalculate", {"orders": 9, "differing": 2, "items": []})
    services.on(
        "GET /admin/v1/deliveries/d1",
        {"id": "d1", "faults": [{"field": "positions", "message": "positions are a list"}]},
    )
    services.on("GET /orders/v1/orders/A1", {"code": "unknown_order", "detail": "there is none"}, 404)
    monkeypatch.setenv("LC_ALL", "ru_RU.UTF-8")
    ended = ordersctl("check", "orders", "-o", "json")
    assert ended.json[0]["detail"] == "orders in a state that their events do not give: 2 of 9"
    assert "НЕ доказано" in ended.remarks
    assert "Такого заказа нет" in ordersctl("order", "show", "A1").remarks
    assert "ничего не найдено" in ordersctl("find", "nobody").remarks
    profile.write_text(profile.read_text().replace("[profiles.here]", '[profiles.here]\nlanguage = "en"'))
    assert "nothing found" in ordersctl("find", "nobody").remarks
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    assert "positions are a list" in ordersctl("intake", "show", "d1").out
    profile.write_text(profile.read_text().replace('"en"', '"ru"'))
    monkeypatch.delenv("LC_ALL")
    assert "позиции — это список" in ordersctl("intake", "show", "d1").out
    assert "из 9" in ordersctl("check", "orders").out
    profile.write_text(profile.read_text().replace('"ru"', '"de"'))
    assert ordersctl("intake", "show", "d1").code == 2


def test_sums_answers_and_notices_are_written_as_in_the_pages(
    services: Services, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"id": 5, "name": "retry_workflow", "target": "7", "outcome": "started", "amount": 1050, "currency": "RUB"}
    told = [
        "orders.order.cancelled.v1 of 7Q3M: pickers and store",
        "if it succeeds: ticket.closed or nothing of TRAVELSUP-1: who follows the ticket",
        "incident.opened (workflow.crashed) of incident:5: nobody (silenced by somebody)",
    ]
    services.on("GET /admin/v1/incidents/5", {"revision": 2, "recipes": []})
    services.on("POST /admin/v1/incidents/5/recipes/retry_workflow", {**said, "dry_run": True, "notices": told})
    services.on("GET /refunds/v1/refunds/r1", {"id": "r1", "amount": 123456, "currency": "RUB", "is_open": False})
    monkeypatch.setenv("LANG", "ru_RU.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    rehearse = ("incident", "recipe", "5", "retry_workflow", "-r", "test", "--dry-run")
    plan = ordersctl(*rehearse, "-o", "json").json
    assert plan["items"][0]["notices"] == told
    assert ordersctl("refund", "show", "r1", "-o", "json").json["amount"] == 123456
    assert "amount\t123456" in ordersctl("refund", "show", "r1").out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "400")
    shown = ordersctl("refund", "show", "r1").out
    assert ("1\u00a0234,56\u00a0₽" in shown, "нет" in shown) == (True, True)
    shown = ordersctl(*rehearse).out
    assert "10,50\u00a0₽" in shown
    assert "сообщит сборщикам и магазину: " in shown
    assert "если получится, может сообщить тем, кто следит за тикетом: тикет закрыт · TRAVELSUP-1" in shown
    assert "silenced by" in shown
    monkeypatch.setenv("LANG", "C.UTF-8")
    shown = ordersctl(*rehearse).out
    assert "10.50 RUB" in shown
    assert "tells pickers and store: order cancelled · 7Q3M" in shown
    assert "if it succeeds, may tell who follows the ticket: ticket closed · TRAVELSUP-1" in shown
    assert "tells nobody (silenced by somebody): incident opened (workflow crashed) · incident:5" in shown


def test_a_thing_says_when_it_was_and_how_long_ago_in_the_persons_language(
    services: Services, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = datetime.now(UTC) - timedelta(minutes=5)
    services.on("GET /refunds/v1/refunds/r1", {"id": "r1", "created_at": at.isoformat()})
    monkeypatch.setenv("LC_ALL", "ru_RU.UTF-8")
    assert f"created_at\t{at.isoformat()}\n" in ordersctl("refund", "show", "r1").out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    shown = ordersctl("refund", "show", "r1").out
    there = at.astimezone(ZoneInfo("Europe/Moscow"))
    assert f"{there.day} {format_date(there, 'MMM', locale='ru')} {there.year}, {there:%H:%M:%S}" in shown
    assert "(5 минут назад)" in shown
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    shown = ordersctl("refund", "show", "r1").out
    assert f"{there:%Y-%m-%d %H:%M:%S %Z} (5 minutes ago)" in shown
