"""What Alertmanager's alerts say, whoever sends them: severities, environments, texts, labels, requests."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given

from notifier.incidents.model import ProblemFact
from notifier.inputs.alert import Notification, read_notification
from notifier.inputs.alertmanager import problem_of
from notifier.inputs.lenient import Vocabulary, moment_of
from notifier.messages.document import text_of
from notifier.messages.incident_notices import render_problem
from notifier.messages.words import Language, Words
from notifier.settings import NotifierSettings
from tests.support.alert_samples import KUBE_STATE_LABELS, notification, one_alert
from tests.support.severities import SEVERITIES

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
WORDS = Words("ru")


def read(body: Any) -> Notification:
    """Read a notification."""
    return read_notification(json.dumps(body).encode(), now=NOW)


def fact(**changes: Any) -> ProblemFact:
    """The problem that one alert is; an annotation of None is left out."""
    changes["annotations"] = {"summary": None, **changes.get("annotations", {})}
    [alert] = read(notification(one_alert(**changes))).alerts
    return problem_of(alert, "f", now=NOW, vocabulary=Vocabulary(), words=WORDS)


def lines(problem: ProblemFact) -> list[str]:
    """The lines of its notice."""
    document = render_problem(problem, transition="opened", environment="production", words=WORDS)
    return [text_of(line) for line in document.flatten()]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Critical", "critical"),
        ("emergency", "critical"),
        (" High\t", "critical"),
        ("crit", "critical"),
        ("", "warning"),
        ("purple", "warning"),
        ("INFO", "info"),
        ("VeryHigh", "critical"),
        ("SeverityCritical", "critical"),
        ("2 - High", "critical"),
        ("Р1", "critical"),  # on a Russian keyboard
        ("сritical", "critical"),
        ("ｃｒｉｔｉｃａｌ", "critical"),
        ("cri\u00adtical\u200b", "critical"),
        ("not_classified", "warning"),
        ("LowUrgency", "info"),
    ],
)
def test_a_severity_is_read_in_any_case_and_by_its_synonyms(said: str, meant: str) -> None:
    assert fact(severity=said).severity == meant


@given(spelled=SEVERITIES)
def test_a_severity_is_understood_in_every_spelling(spelled: tuple[str, str]) -> None:
    said, meant = spelled
    assert Vocabulary().severity(said) == meant


def test_a_severity_that_nobody_knows_is_shown_and_one_beside_it_counts() -> None:
    assert fact(severity="purple").details["severity"] == "purple"
    known = fact(severity="purple", labels={"priority": "P1"})
    assert (known.severity, "severity" in known.details) == ("critical", False)
    assert fact(severity="", annotations={"Severity": "S1"}).severity == "critical"


@pytest.mark.parametrize(
    ("labels", "meant"),
    [
        ({"environment": "prod"}, "production"),
        ({"environment": " Production"}, "production"),
        ({"env": "production"}, "production"),
        ({"environment": "staging"}, "testing"),
        ({"environment": "прод"}, "production"),
        ({"env": "Тест"}, "testing"),
        ({"environment": "eu-west"}, "production"),
        ({"Environment": "Staging "}, "testing"),
        ({"deployment_environment": "production"}, "production"),
        ({"deployment.environment.name": "staging"}, "testing"),
        ({"environment": "testing", "env": "prod"}, "production"),
        ({"environment": " ", "env": "test"}, "testing"),
        ({}, None),
    ],
)
def test_an_environment_that_nobody_knows_is_not_left_to_testers(labels: dict[str, str], meant: str | None) -> None:
    read = fact(labels=labels)
    assert read.environment == meant
    assert read.details.get("environment") == ("eu-west" if labels.get("environment") == "eu-west" else None)


def test_settings_add_words_to_the_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFIER_SEVERITIES", '{"Purple": "critical", "SEV-2": "critical"}')
    monkeypatch.setenv("NOTIFIER_ENVIRONMENTS", '{"eu-west": "production", "Lab": "testing"}')
    monkeypatch.setenv("NOTIFIER_TOKENS_FILE", "tokens.json")
    vocabulary = NotifierSettings().vocabulary
    assert [vocabulary.severity(word) for word in ("PURPLE", "page", "sev2", "sev3")] == ["critical"] * 3 + ["warning"]
    assert (vocabulary.environment("lab"), vocabulary.environment("eu-west")) == (
        ("testing", None),
        ("production", None),
    )


@pytest.mark.parametrize(
    ("annotations", "summary", "what_to_do"),
    [
        ({"summary": "S", "message": "M", "description": "D"}, "S", "D"),
        ({"message": "M", "description": "D"}, "M", "D"),
        ({"description": "D", "title": "T"}, "D", None),
        ({"description": "first\nsecond\nthird"}, "first", "second\nthird"),
        ({"title": "T"}, "T", None),
        ({"summary": " "}, "DiskFull", None),
    ],
)
def test_the_text_is_the_summary_or_whatever_there_is(
    annotations: dict[str, str], summary: str, what_to_do: str | None
) -> None:
    problem = fact(annotations=annotations)
    assert (problem.summary, problem.what_to_do) == (summary, what_to_do)


def test_names_are_understood_in_whatever_case_and_with_blanks_around() -> None:
    labels = {"AlertName": "DiskFull", " severity": "P1", "Service": "tips", "Pod": "tips-1", "K8s.Node": "n"}
    [alert] = read([{"labels": labels, "annotations": {"Summary": "S", "DESCRIPTION": "D"}}]).alerts
    told = problem_of(alert, "f", now=NOW, vocabulary=Vocabulary(), words=WORDS)
    assert (told.alert, told.severity, told.named_service, told.summary, told.what_to_do) == (
        *("DiskFull", "critical", "tips", "S", "D"),
    )
    assert told.details == {"alert": "DiskFull", "pod": "tips-1", "K8s.Node": "n"}
    named = fact(labels={"service.name": "tips", "job": "collector"})
    assert (named.service, named.named_service) == ("tips", None)


def test_what_grafana_says_beside_annotations_is_shown_and_its_own_marks_last() -> None:
    marks = {f"__mark{number}__": "x" for number in range(9)}
    problem = fact(annotations={**marks, "note": "N"}, valueString="[ value=44 ]", panelURL="https://grafana.example/p")
    assert list(problem.details)[1:4] == ["valueString", "panelURL", "note"]
    assert problem.details["annotations"] == "+7 ещё"


def test_other_annotations_stand_below() -> None:
    problem = fact(annotations={"summary": "S", "message": "M", "dashboard": "https://grafana.example/d/1"})
    assert {"message": "M", "dashboard": "https://grafana.example/d/1"}.items() <= problem.details.items()
    assert "annotations" not in problem.details
    notes = {f"note{number}": "text" for number in range(300)}
    problem = fact(
        annotations={"summary": "S", **notes, "blank": " "}, labels={f"l{number}": "v" for number in range(300)}
    )
    assert [name for name in problem.details if name.startswith("note")] == [f"note{number}" for number in range(5)]
    assert [problem.details[name] for name in ("annotations", "labels")] == ["+296 ещё", "+285 ещё"]
    assert "Прочие пояснения: +296 ещё" in lines(problem)


def test_labels_that_tell_where_come_first_and_the_rest_is_counted() -> None:
    problem = fact(labels=KUBE_STATE_LABELS)
    told = list(problem.details)
    assert told[:5] == ["alert", "namespace", "pod", "container", "node"]
    assert problem.details["endpoint"] == "http"
    assert "request" not in problem.details
    assert problem.details["labels"] == "+10 ещё"
    assert "Прочие метки: +10 ещё" in lines(problem)


@pytest.mark.parametrize(
    ("labels", "request_line"),
    [
        ({"method": "POST", "route": "/orders/v1/orders"}, "POST /orders/v1/orders"),
        ({"method": "GET", "endpoint": "http", "url": "https://shop.example/a?phone=1"}, "GET https://shop.example/a"),
        ({"handler": "prometheus", "method": "GET"}, None),
    ],
)
def test_a_request_is_only_read_from_a_path_or_an_address(labels: dict[str, str], request_line: str | None) -> None:
    assert fact(labels=labels).details.get("request") == request_line


def test_the_lines_of_a_description_stay_lines() -> None:
    shown = lines(fact(annotations={"summary": "S", "description": "one\ntwo\n\nthree"}))
    start = shown.index("Что делать: one")
    assert shown[start : start + 3] == ["Что делать: one", "two", "three"]


def test_notifications_of_other_shapes_are_read_too() -> None:
    alert = one_alert()
    bare = {"labels": alert["labels"], "status": "firing"}
    for body in ([alert], {"alerts": alert}, alert, notification(alert, version="1", status="odd")):
        assert [each.bare for each in read(body).alerts] == ["fp-DiskFull"]
    [first], [second] = read(bare).alerts, read({**bare, "annotations": {"summary": "other"}}).alerts
    assert first.fingerprint == second.fingerprint != ""
    assert [each.over for each in read(notification({**alert, "status": "OK"}, alert)).alerts] == [True, False]


def test_what_its_sender_left_out_is_counted_in_whatever_it_is_written() -> None:
    said = ["7", 7, 7.0, " 7 ", True, None, -7, "seven", [7], 10**30]
    assert [read(notification(truncatedAlerts=each)).lost for each in said] == [7, 7, 7, 7, 0, 0, 0, 0, 0, 10**9]


def test_of_endless_parts_the_first_are_read_and_the_rest_is_counted() -> None:
    read_of = read_notification(b'{"alerts": [' + b"{}," * 200_000 + b"{}]}", now=NOW)
    assert (len(read_of.unread), read_of.lost) == (20_000, 180_001)


def test_alerts_of_different_labels_under_one_fingerprint_are_told_apart() -> None:
    first, second = one_alert("One", fingerprint="x"), one_alert("Two", fingerprint="x")
    found = [alert.fingerprint for alert in read(notification(first, second, first)).alerts]
    [alone] = read(notification({**second, "labels": dict(reversed(second["labels"].items()))})).alerts
    assert found[0] == found[2] != found[1] == alone.fingerprint
    assert all(each.startswith("x:") for each in found)


@pytest.mark.parametrize(
    ("said", "over"),
    [
        ({"endsAt": "2026-11-29T11:59:00Z"}, True),
        ({"endsAt": "2026-11-29T12:04:00Z"}, False),
        ({"endsAt": "0001-01-01T00:00:00Z"}, False),
        ({"endsAt": "2026-11-29T09:00:00Z"}, False),  # before it began: an end of some time before
        ({"endsAt": "2026-11-29T11:59:00Z", "status": "firing"}, False),
        ({"endsAt": "2026-11-29T12:04:00Z", "status": "resolved"}, True),
        ({}, False),
    ],
)
def test_an_alert_without_a_status_is_over_when_its_end_is_past(said: dict[str, str], over: bool) -> None:
    alert = {"labels": {"alertname": "A"}, "startsAt": "2026-11-29T10:00:00Z", **said}
    assert [each.over for each in read([alert]).alerts] == [over]


@pytest.mark.parametrize(
    ("status", "over"),
    [
        *((each, True) for each in ("CLEAR", "Up", "RECOVERY", "auto_resolved", "Normal (MissingSeries)", "Решено")),
        *((each, False) for each in ("unresolved", "unhealthy", "not ok", "down", "PROBLEM", "expired", "pending")),
    ],
)
def test_an_end_is_known_by_its_word_and_any_other_word_fires(status: str, over: bool) -> None:
    assert [each.over for each in read(notification(one_alert(status=status))).alerts] == [over]


@pytest.mark.parametrize(
    "said",
    [
        *("2026-11-29 11:00:00 +0000 UTC", "2026-11-29 14:00:00.5 +0300 MSK m=+0.5", "2026-11-29T11:00:00z"),
        *("2026-11-29 11:00:00 UTC", "2026-11-29T14:00:00+03", "2026-W48-7T11:00:00Z", "20261129T110000Z"),
    ],
)
def test_a_time_is_read_as_others_write_it(said: str) -> None:
    at = moment_of(said, now=NOW)
    assert at is not None
    assert at.replace(microsecond=0) == NOW - timedelta(hours=1)


def test_times_that_cannot_be_meant_are_none_and_none_is_later_than_now() -> None:
    zero, far = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00"
    odd: list[Any] = [
        zero,
        far,
        "soon",
        None,
        True,
        float("nan"),
        10**400,
        "2026-11-29 11:00:00 MSK",
        "29-11-2026 10:00",
    ]
    assert [moment_of(each, now=NOW) for each in odd] == [None] * len(odd)
    assert moment_of("2026-11-29T12:00:01.123456789Z", now=NOW) == NOW
    assert moment_of("2026" + " " * 500_000 + "11", now=NOW) is None  # and holds up nothing
    for scale in (1, 10**3, 10**6, 10**9):
        second = int(NOW.timestamp() - 1) * scale
        assert moment_of(second, now=NOW) == moment_of(str(second), now=NOW) == NOW - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("language", "summary", "what_to_do"),
    [
        ("ru", "Шлюз не отвечает", "Его хуки принимают другие"),
        ("en", "A gateway does not answer", "The others take its hooks"),
    ],
)
def test_an_alert_is_told_in_the_language_of_notices_and_in_no_other(
    language: Language, summary: str, what_to_do: str
) -> None:
    annotations = {
        "summary": "A gateway does not answer",
        "summary_ru": "Шлюз не отвечает",
        "description": "The others take its hooks",
        "description_ru": "Его хуки принимают другие",
    }
    [alert] = read(notification(one_alert(annotations=annotations))).alerts
    told = problem_of(alert, "f", now=NOW, vocabulary=Vocabulary(), words=Words(language))
    assert (told.summary, told.what_to_do) == (summary, what_to_do)
    assert not {"summary_ru", "description_ru"} & told.details.keys()


def test_an_alert_without_our_language_is_told_in_its_own() -> None:
    told = fact(annotations={"summary": "A gateway does not answer", "description": "Look", "description_ru": " "})
    assert (told.summary, told.what_to_do) == ("A gateway does not answer", "Look")
