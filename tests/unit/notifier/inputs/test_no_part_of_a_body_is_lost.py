"""Bodies of odd shapes: each alert in them is read with its severity, and each part that is none is kept and counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from notifier.inputs.alert import Notification, read_notification
from notifier.inputs.lenient import Vocabulary, json_of
from notifier.inputs.sentry_event import read as read_sentry

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
X: dict[str, Any] = {"status": "firing", "labels": {"alertname": "X", "severity": "warning"}}
Y: dict[str, Any] = {"status": "firing", "labels": {"alertname": "Y", "severity": "critical"}}
ONE, OTHER = json.dumps({"alerts": [X]}), json.dumps({"alerts": [Y]})
BOTH = [("X", "warning"), ("Y", "critical")]


def read(body: str | bytes) -> Notification:
    """Read a body."""
    return read_notification(body.encode() if isinstance(body, str) else body, now=NOW)


def item(value: Any) -> Notification:
    """Read a notification of one item."""
    return read(json.dumps({"alerts": [value]}))


def named(notification: Notification) -> list[tuple[str | None, str | None]]:
    """Names and severities of its alerts."""
    return [(each.labels.get("alertname"), each.labels.get("severity")) for each in notification.alerts]


@pytest.mark.parametrize(
    "body",
    [
        f"{ONE}\n{OTHER}\n",
        ONE + OTHER,
        f"\x1e{ONE}\n\x1e{OTHER}\n",
        f"{json.dumps(X)}\n{json.dumps(Y)}",
        f'{ONE[:-1]}, "alerts": {json.dumps([Y])}}}',
        f'{{"alerts": {json.dumps(X)}, "alerts": {json.dumps(Y)}}}',
        f"payload={quote(ONE)}&payload={quote(OTHER)}",
        f"payload={quote(ONE)}&more={quote(OTHER)}",
        f"[{ONE}, {OTHER}]",
        json.dumps({"alerts": {"a": X, "b": Y}}),
        json.dumps({"alerts": [{"alert": X}, {"alerts": [Y]}]}),
        json.dumps({"alerts": [[X, Y]]}),
        json.dumps({"alerts": json.dumps([X, Y])}),
        json.dumps({"one": {"alerts": [X]}, "other": {"alerts": [Y]}}),
    ],
)
def test_every_document_of_a_body_is_read_and_whatever_it_wraps_opened(body: str) -> None:
    found = read(body)
    if body.startswith('{"one"'):  # no notification of this format, so it is kept whole
        assert (found.readable, found.alerts, found.unread) == (False, (), (body,))
        return
    assert (named(found), found.unread, found.lost, found.readable) == (BOTH, (), 0, True)


def test_of_a_broken_document_what_is_whole_is_read_and_the_rest_kept() -> None:
    cut = read(f"{ONE}\n{OTHER[:-15]}")
    assert (named(cut), cut.lost, cut.readable) == (BOTH[:1], 0, False)
    assert [json.dumps(Y)[:20] in part for part in cut.unread] == [True]
    before = read(f'{{"alerts": [{{"status": x, "labels": {{"severity": "critical"}}}}]}}\n{OTHER}')
    assert (named(before)[-1], len(before.unread)) == (BOTH[1], 1)
    between = read(f'{{"alerts": [{json.dumps(X)}, {{"status": oops}}, {json.dumps(Y)}]}}')
    assert (named(between), between.unread, between.lost) == (BOTH, ('{"status": oops}, ',), 0)
    alone = read(f"[{json.dumps(X)}, {json.dumps(Y)[:-9]}")
    assert (named(alone), len(alone.unread)) == (BOTH[:1], 1)
    assert read(f"{ONE} and more").unread == ("and more",)
    for gap in (f"{ONE[:-2]},", ONE[:-2]):
        assert (named(read(gap)), len(read(gap).unread), read(gap).readable) == (BOTH[:1], 1, False)
    assert (named(read(ONE[:-1])), read(ONE[:-1]).unread) == (BOTH[:1], ())
    for nothing in ("[[[[" * 50_000, '{"alerts": [', "{", "", '"text"', "null"):
        found = read(nothing)
        assert (found.readable, found.alerts, len(found.unread)) == (False, (), 1)


def test_line_breaks_and_tabs_in_a_text_lose_nothing() -> None:
    body = json.dumps({"alerts": [{**Y, "annotations": {"summary": "a|b#c"}}, X]}).replace("|", "\n").replace("#", "\t")
    [alert, _] = read(body).alerts
    assert (alert.annotations["summary"], alert.labels["severity"], read(body).unread) == ("a\nb\tc", "critical", ())


@pytest.mark.parametrize(
    "labels",
    [
        "alertname=Y,severity=critical",
        ' {alertname="Y", severity="critical"} ',
        ["alertname=Y", "severity=critical"],
        [{"alertname": "Y"}, {"severity": "critical"}],
        [{"alertname": "Y", "severity": "critical"}],
        [{"key": "alertname", "value": "Y"}, {"name": "severity", "value": "critical"}],
        [["alertname", "Y"], "severity=critical"],
        json.dumps([["alertname", "Y"], ["severity", "critical"]]),
        json.dumps(Y["labels"]),
    ],
)
def test_labels_of_any_form_are_read(labels: Any) -> None:
    assert named(item({"labels": labels})) == BOTH[1:]


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"labels": "critical!"},
        {"labels": ["severity", "critical"]},
        {"labels": ["severity=critical", 7]},
        {"labels": 7, "annotations": {"summary": "S"}},
        {"labels": None, "annotations": None, "status": "firing", "fingerprint": "f"},
        {"status": "firing", "details": {"severity": "critical"}},
        {"alerts": 7},
        [],
        "text",
        None,
    ],
)
def test_an_item_of_which_nobody_knows_how_grave_it_is_is_kept(value: Any) -> None:
    found = item(value)
    assert (found.alerts, len(found.unread), found.lost) == ((), 1, 0)


def test_labels_in_text_keep_commas_quotes_and_backslashes() -> None:
    text = 'severity=critical, path="C:\\dir", said="a, \\"b\\""'
    [alert] = item({"labels": text}).alerts
    assert alert.labels == {"severity": "critical", "path": "C:\\dir", "said": 'a, "b"'}
    [alert] = item({"labels": ["severity=critical", 'said=a, "b']}).alerts
    assert alert.labels == {"severity": "critical", "said": 'a, "b'}


def test_different_items_without_labels_are_different_alerts() -> None:
    found = read(json.dumps([{"message": "one"}, {"message": "two"}, {"name": "N"}]))
    assert len({each.fingerprint for each in found.alerts}) == 3


@pytest.mark.parametrize("name", ["message", "summary", "description", "title"])
def test_a_text_beside_the_annotations_is_read(name: str) -> None:
    [alert] = item({**X, name: "Disk is full"}).alerts
    assert alert.annotations == {name: "Disk is full"}
    [alert] = item({**X, name: "Disk is full", "annotations": {name: "own"}}).alerts
    assert alert.annotations == {name: "own"}


def test_a_name_beside_the_labels_and_annotations_that_are_a_text_are_read() -> None:
    for texts in ("Disk is full", ["Disk is full"], [["message", "Disk is full"]]):
        [alert] = item({"name": "DiskFull", "severity": "critical", "annotations": texts}).alerts
        assert (alert.labels, alert.annotations) == (
            {"alertname": "DiskFull", "severity": "critical"},
            {"message": "Disk is full"},
        )
    [alert] = item({**X, "name": "other"}).alerts
    assert alert.labels["alertname"] == "X"
    [alert] = item({"annotations": ["one", "two"]}).alerts
    assert alert.annotations == {"message": "one\ntwo"}


@pytest.mark.parametrize(
    ("said", "over"),
    [
        ({"state": "resolved"}, True),
        ({"status": {"state": "resolved"}}, True),
        ({"status": {"state": "active", "silencedBy": []}}, False),
        ({"status": "firing", "state": "resolved"}, False),
        ({"state": "alerting"}, False),
    ],
)
def test_an_end_is_understood_wherever_it_is_said(said: dict[str, Any], over: bool) -> None:
    assert [each.over for each in item({"labels": X["labels"], **said}).alerts] == [over]


@pytest.mark.parametrize("word", ["Чрезвычайная", "Аварийный", "катастрофа", "блокер"])
def test_the_gravest_russian_words_are_critical(word: str) -> None:
    assert Vocabulary().severity(word) == "critical"


def test_sentrys_tags_are_read_in_each_form() -> None:
    pairs = {"environment": "staging", "responsible": "ann, bob"}
    for tags in (
        pairs,
        [list(pair) for pair in pairs.items()],
        [{"key": name, "value": value} for name, value in pairs.items()],
    ):
        event = read_sentry({"data": {"event": {"event_id": "1", "tags": tags}}}, now=NOW)
        assert event is not None
        assert (event.environment, event.responsible) == ("staging", ("ann", "bob"))


def test_several_values_are_never_taken_for_one() -> None:
    for content in (b'{"a": 1}\n{"b": 2}', b"payload=%7B%7D&payload=%7B%7D", b""):
        with pytest.raises(ValueError, match=r"unpack|no JSON"):
            json_of(content)
