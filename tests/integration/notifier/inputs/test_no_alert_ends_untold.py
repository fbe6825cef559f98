"""Whatever is sent: each critical alert that fires has a notice of its own, each part that is none is told as such; no 5xx, ever."""

from __future__ import annotations

import asyncio
import copy
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.clock import SystemClock
from common.postgres import Database
from notifier.incidents.problems import Problems
from notifier.inputs.alert import Alert, Notification
from notifier.inputs.alertmanager import IngestAlerts
from notifier.inputs.lenient import Vocabulary
from notifier.messages.words import Words
from notifier.routing.file import read_routes
from tests.integration.notifier.factories import ALERTS, ONE_CHAT, SENTRYS, Kit, MakeKit, post, post_bytes
from tests.support.alert_samples import GRAFANA, SENTRY, notification, one_alert, sentry, stamp
from tests.support.severities import SEVERITIES

PROBE = "probe"
"""A label by which a test finds an alert again."""
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ENDED: list[Any] = [stamp(-5), 1787346377, "1787346377"]
TIMES = st.sampled_from([*ENDED, stamp(60), "0001-01-01T00:00:00Z", "never", None, "9999-12-31T23:59:59-12:00"])
FIRING, OVER = (
    st.sampled_from(["firing", "Firing ", None, 7, ["firing"]]),
    st.sampled_from(["resolved", " Resolved", "OK"]),
)
SHAPES: Sequence[Callable[[dict[str, Any]], Any]] = (
    dict,
    json.dumps,
    lambda labels: [{"name": name, "value": value} for name, value in labels.items()],
    lambda labels: [[name, value] for name, value in labels.items()],
    lambda labels: [{name: value} for name, value in labels.items()],
    lambda labels: ",".join(f"{name}={json.dumps(str(value))}" for name, value in labels.items()),
    lambda labels: [f"{name}={value}" for name, value in labels.items()],
)


@dataclass(frozen=True, slots=True)
class Item:
    """One part of a notification; ``critical``: it is an alert that fires and calls itself critical, in whatever word."""

    value: Any
    critical: bool = False


def probed(item: Any, probe: str) -> Any:
    """An item with a label that no other has; its fingerprint may be that of any number of others."""
    if not isinstance(item, dict) or "labels" not in item:
        return item
    labels = item["labels"]
    found = dict(item, labels=item["shape"]({**labels, PROBE: probe}))
    found.pop("shape")
    return found


def fires(one: Item, body: dict[str, Any]) -> bool:
    """Whether a critical item must be told: where nobody says a status, its end may have come."""
    said = one.value.get("status") is not None or body.get("status") is not None
    return said or one.value.get("endsAt") not in ENDED


def item(severity: tuple[str, str], *, firing: bool, status: Any, more: dict[str, Any]) -> Item:
    """An alert whose severity is spelled so, and means so much."""
    spelling, meaning = severity
    labels = {"severity": spelling, **more.pop("labels")}
    return Item({"labels": labels, "status": status, **more}, critical=firing and meaning == "critical")


MORE = st.fixed_dictionaries(
    {
        "labels": st.fixed_dictionaries({}, optional={"alertname": ODD, "service": ODD, "env": ODD}),
        "shape": st.sampled_from(SHAPES),
    },
    optional={
        "annotations": ODD | st.dictionaries(st.sampled_from(["summary", "message", "description"]), ODD, max_size=2),
        "startsAt": TIMES,
        "endsAt": TIMES,
        "generatorURL": ODD,
        "fingerprint": st.sampled_from(["a", "b", " ", "\0", "\ud800"]) | ODD,
    },
)
ITEMS = (
    st.builds(item, SEVERITIES, firing=st.just(value=True), status=FIRING, more=MORE)
    | st.builds(item, SEVERITIES, firing=st.just(value=False), status=OVER, more=MORE)
    | ODD.filter(lambda value: not isinstance(value, dict)).map(Item)
)
BODIES = st.fixed_dictionaries(
    {"alerts": st.lists(ITEMS, max_size=6)},
    optional={"truncatedAlerts": ODD, "commonLabels": ODD, "status": st.sampled_from(["firing", None, 7])},
)


async def test_samples_of_others_are_told(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    answer = await post(kit, GRAFANA)
    assert await told(kit, answer["incidents"]) == {"None": "critical"}


async def told(kit: Kit, incidents: Sequence[int]) -> dict[str, str]:
    """The probes of those of these incidents that chats are notified of, and how grave they are told to be."""
    rows = await kit.fetch(
        "SELECT i.details ->> 'probe' AS probe, i.severity FROM incidents AS i WHERE i.id = ANY($1::bigint[]) AND EXISTS "
        "(SELECT FROM notices AS n JOIN deliveries AS d ON d.notice_id = n.id "
        "WHERE n.incident_id = i.id AND n.document IS NOT NULL AND n.severity = i.severity)",
        incidents,
    )
    return {str(row["probe"]): row["severity"] for row in rows}


async def test_each_critical_alert_that_fires_is_told_whatever_stands_beside_it(make_kit: MakeKit) -> None:
    drawn_bodies = drawn(BODIES)
    kit = await make_kit(routes=ONE_CHAT)
    critical = 0
    for number, drawn_body in enumerate(drawn_bodies):
        items: list[Item] = drawn_body["alerts"]
        probes = [f"{number}.{place}" for place in range(len(items))]
        values = [probed(one.value, probe) for one, probe in zip(items, probes, strict=True)]
        body = {**drawn_body, "alerts": values}
        answer = await post(kit, body)
        wanted = {probe for one, probe in zip(items, probes, strict=True) if one.critical and fires(one, body)}
        found = await told(kit, answer["incidents"])
        assert {probe for probe, severity in found.items() if severity == "critical"} >= wanted, body
        assert answer.get("not_taken", 0) >= sum(not isinstance(value, dict) for value in values)
        if number % 10 == 0:
            before = await kit.fetch(
                "SELECT count(*) FROM notices WHERE document IS NOT NULL AND kind = 'problem.alert'"
            )
            again = await post(kit, body)
            assert set(await told(kit, again["incidents"])) >= wanted
            after = await kit.fetch(
                "SELECT count(*) FROM notices WHERE document IS NOT NULL AND kind = 'problem.alert'"
            )
            assert before == after
        critical += len(wanted)
    assert critical > 10  # drawn at random: some forty


async def test_a_large_odd_batch_that_comes_three_times_at_once_is_told_alert_by_alert(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT, replicas=2)
    alerts: list[Any] = []
    for number in range(600):
        alert = one_alert(f"A{number % 40}", labels={PROBE: str(number), "job": None}, annotations={"n\0": "\ud800"})
        alert["fingerprint"] = f"fp-{number % 550}"  # fifty of them are two alerts under one fingerprint
        alerts += [alert, *([number, None, "text", [alert]][number % 4 : number % 4 + 1] if number % 100 == 0 else [])]
    body = json.dumps(notification(*alerts)).encode()
    answers = await asyncio.gather(*(post_bytes(kit, body) for _ in range(3)))
    assert [status for status, _ in answers] == [200] * 3
    assert {answer["not_taken"] for _, answer in answers} == {6}
    found = await told(kit, answers[0][1]["incidents"])
    assert {found.get(str(number)) for number in range(600)} == {"critical"}
    [counted] = await kit.fetch(
        "SELECT count(*) AS incidents, min(occurrences) AS least FROM incidents WHERE kind = 'problem.alert'"
    )
    assert counted == {"incidents": 600, "least": 3}


NOISE = hashlib.shake_256(b"noise").digest(10_000)
HOSTILE_LINK = "/" + "".join(chr(0x10000 + NOISE[each] * 256 + NOISE[each + 1]) for each in range(3000))
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
WRAPPED: dict[str, Callable[[bytes], bytes | tuple[bytes, dict[str, str]]]] = {
    "as it is": lambda body: body,
    "gzip": lambda body: (gzip.compress(body), {"Content-Encoding": "gzip"}),
    "gzip in two members, padded": lambda body: gzip.compress(body[:99]) + gzip.compress(body[99:]) + b"\0\0",
    "gzip that breaks off": lambda body: gzip.compress(body + NOISE)[:-5000],
    "deflate": lambda body: (zlib.compress(body), {"Content-Encoding": "deflate"}),
    "plain that calls itself gzip": lambda body: (body, {"Content-Encoding": "gzip"}),
    "an encoding that is a charset": lambda body: (body, {"Content-Encoding": "UTF-8"}),
    "a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "UTF-16": lambda body: body.decode().encode("utf-16"),
    "bytes that are no UTF-8": lambda body: body.replace(b"Found fires", b"\xff\xfe\x80"),
    "another content type": lambda body: (body, {"Content-Type": "application/octet-stream"}),
    "a form that is JSON": lambda body: (body, FORM),
    "a form's field": lambda body: (b"x=1&payload=" + quote(body).encode(), FORM),
    "JSON in JSON": lambda body: json.dumps(body.decode()).encode(),
    "a number of 5000 digits beside it": lambda body: body.replace(b"[", b'[{"status": ' + b"9" * 5000 + b"}, ", 1),
    "nested 50,000 deep beside it": lambda body: body.replace(b"[", b"[" + b"[" * 50_000 + b"]" * 50_000 + b", ", 1),
    "another that is cut off": lambda body: body[: body.rindex(b"]")] + b', {"status": "firing", "labels": {"sev',
    "a line break in a text": lambda body: body.replace(b"Found fires", b"Found\n\tfires"),
    "several documents": lambda body: b'{"alerts": []}\n' + body + b"\n" + body,
    "a key twice": lambda body: body[:-1] + b', "alerts": []}',
    "a form's field twice": lambda body: (b"payload=%7B%22alerts%22%3A%5B%5D%7D&payload=" + quote(body).encode(), FORM),
    "behind a document that is broken": lambda body: b'{"alerts": [{"status": x}]}\n' + body,
    "notifications in a list": lambda body: b"[" + body + b", " + body + b"]",
    "alerts under names": lambda body: json.dumps({"alerts": {"a": json.loads(body)["alerts"][0], "b": 7}}).encode(),
    "an alert in an alert": lambda body: json.dumps([{"alert": json.loads(body)["alerts"][0]}]).encode(),
    "a list alone": lambda body: json.dumps(json.loads(body)["alerts"]).encode(),
    "an alert alone": lambda body: json.dumps(json.loads(body)["alerts"][0]).encode(),
    "an alert as text": lambda body: json.dumps([json.dumps(json.loads(body)["alerts"][0])]).encode(),
    "an alert that is no list": lambda body: json.dumps({"alerts": json.loads(body)["alerts"][0]}).encode(),
    "its end before it": lambda body: json.dumps(
        {
            "alerts": [
                {**json.loads(body)["alerts"][0], "status": "resolved", "endsAt": stamp(0)},
                *json.loads(body)["alerts"],
            ]
        }
    ).encode(),
}
CHANGED: dict[str, dict[str, Any]] = {
    "nulls": {
        "annotations": None,
        "startsAt": None,
        "endsAt": None,
        "generatorURL": None,
        "fingerprint": None,
        "status": None,
    },
    "lone surrogates and NUL": {"annotations": {"summary": "\ud800\0", "\udfff": "\0"}, "fingerprint": "\0\ud800"},
    "numbers": {
        "annotations": {"summary": 1e300, "value": float("nan")},
        "startsAt": 1787346377.5,
        "fingerprint": 2**70,
    },
    "a time with the zone in words": {"startsAt": "Sun, 29 Nov 2026 10:00:00 GMT", "endsAt": "tomorrow"},
    "a time without a zone": {"startsAt": "2026-11-29 10:00:00"},
    "the year 0": {"startsAt": "0000-00-00T00:00:00Z", "endsAt": "0000-00-00T00:00:00Z"},
    "the future": {"startsAt": "2999-01-01T00:00:00Z", "endsAt": "2999-01-01T00:00:00Z"},
    "a link that no index holds": {"generatorURL": HOSTILE_LINK, "annotations": {"runbook_url": HOSTILE_LINK}},
    "endless words": {"annotations": {"summary": "ы" * 10**6, "description": "\n" * 10**5}, "fingerprint": "f" * 10**5},
    "a severity beside the labels": {"labels": {"severity": None}, "severity": "SEV-1"},
    "a severity among the annotations": {"labels": {"severity": None}, "annotations": {"Severity": "P1"}},
    "a severity that nobody knows, and one": {"labels": {"severity": "purple", "priority": "P1"}},
    "twenty thousand labels": {"labels": {f"l{number}": "v" for number in range(20_000)}},
    "names of labels that are odd": {"labels": {"": "x", "\0": "y", " Severity ": "low", "x" * 10**5: "z"}},
    "everything in lists": {
        "status": ["firing"],
        "annotations": [],
        "startsAt": [],
        "labels": {"severity": ["critical"]},
    },
}


async def test_a_critical_alert_is_told_in_whatever_it_is_wrapped(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    for number, (name, changes) in enumerate([*CHANGED.items(), *((name, {}) for name in WRAPPED)]):
        alert = {**one_alert("Found"), "fingerprint": "", **changes}
        alert["labels"] = {
            "alertname": "Found",
            "severity": "critical",
            PROBE: str(number),
            **changes.get("labels", {}),
        }
        headers: dict[str, str] = {}
        content = json.dumps({"status": "firing", "alerts": [alert]}).encode()
        if name in WRAPPED:
            wrapped = WRAPPED[name](content)
            content, headers = wrapped if isinstance(wrapped, tuple) else (wrapped, {})
        status, answer = await post_bytes(kit, content, **headers)
        assert status == 200, (name, answer)
        assert (await told(kit, answer["incidents"])).get(str(number)) == "critical", (name, answer)


NOTHING: Sequence[bytes] = (
    *(
        b"",
        b"{",
        b"[[[[" * 50_000,
        b'"text"',
        b"null",
        b'{"alerts": 7}',
        b"alerts=firing",
        b"\0" * 1000,
        b"\x1f\x8b\x08broken",
    ),
    gzip.compress(b"\0" * 10**8),
    NOISE,
)


async def test_what_nobody_can_read_is_kept_and_told_and_never_a_5xx(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    for path in (ALERTS, SENTRYS):
        for content in NOTHING:
            status, answer = await post_bytes(kit, content, path)
            assert (status, answer.get("code", "")) in {(400, "unreadable_notification"), (200, "")}, content[:20]
            assert status == 400 or answer["not_taken"] == 1, content[:20]
    assert (await post(kit, {"alerts": []})) == {"incidents": []}  # nothing was sent, and nothing is missing
    kept = await kit.fetch("SELECT sender, count(*) AS bodies FROM unread_alerts GROUP BY sender ORDER BY sender")
    assert kept == [{"sender": sender, "bodies": len(NOTHING)} for sender in ("alertmanager", "sentry")]
    rows = await kit.fetch("SELECT kind, severity FROM incidents")
    assert {(row["kind"], row["severity"]) for row in rows} == {("problem.alerts_not_taken", "critical")}


async def test_whatever_stands_in_sentrys_hooks_is_told_or_kept(make_kit: MakeKit) -> None:
    changes = drawn(
        st.tuples(st.sampled_from(sorted(SENTRY)), st.integers(0, 40), ODD | st.sampled_from(["\0", "\ud800"]))
    )
    kit = await make_kit(routes=ONE_CHAT)
    for name, place, value in changes:
        body = sentry(name)
        if name == "issue":
            body["action"] = body["data"]["issue"]["status"] = "unresolved"
        _replace(body, place, value)
        answer = await post(kit, body, SENTRYS)
        assert answer["incidents"] or body["action"] in ("", "resolved"), body
        assert len(await told(kit, answer["incidents"])) == len(answer["incidents"]), body


async def test_an_alert_that_the_database_refuses_harms_no_other(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    database, words = Database(kit.dsn, application_name="test"), Words("en")
    await database.open()
    try:
        ingest = IngestAlerts(
            problems=Problems(
                routes=read_routes(json.dumps(ONE_CHAT), name="test"), words=words, environment="production"
            ),
            database=database,
            clock=SystemClock(),
            vocabulary=Vocabulary(),
            words=words,
            wake=lambda: None,
        )
        # As a reading would leave it that let a NUL pass.
        alerts = [
            Alert(
                fingerprint=str(number), over=False, labels={PROBE: str(number), "odd": "\0" if number == 5 else "even"}
            )
            for number in range(9)
        ]
        incidents, not_taken = await ingest(Notification(alerts=tuple(alerts)), content=b"{}", traceparent=None)
    finally:
        await database.close()
    assert not_taken == 1
    assert set(await told(kit, incidents)) == {*(str(number) for number in range(9) if number != 5), "None"}
    [kept] = (await kit.call("GET", "/admin/v1/unread-alerts"))[1]["items"]
    assert json.loads(kept["text"])[0] == "5"


async def test_addresses_that_others_call_answer_with_a_last_slash_too(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    assert (await post(kit, notification(one_alert("Slash")), f"/{ALERTS}//"))["incidents"] == [1]
    assert (await post(kit, sentry("error"), f"{SENTRYS}/"))["incidents"] == [2]
    for path in ("/telegram/webhook", "/slack/interactions", "/notifications/v1/twilio"):
        as_it_is, spelled = [await post_bytes(kit, b"{}", each) for each in (path, f"{path}/")]
        assert as_it_is[0] == spelled[0] == 401
    for path in ("/on-call/", "//on-call", "/on-call.ics/"):
        async with kit.sandbox.session.get(kit.url + path, allow_redirects=False) as answer:
            assert answer.status == 200


def drawn(strategy: st.SearchStrategy[Any], *more: Any) -> list[Any]:
    """Return many values of a strategy: drawn first, because whoever answers them uses random numbers meanwhile."""
    values: list[Any] = [*more]

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(value=strategy)
    def draw(value: Any) -> None:
        values.append(copy.deepcopy(value))

    draw()
    return values


def _replace(body: dict[str, Any], place: int, value: Any) -> None:
    """Put something else into one place of a document, wherever it is."""
    places: list[tuple[Any, Any]] = []
    stack: list[Any] = [body]
    while stack:
        inside = stack.pop()
        pairs = inside.items() if isinstance(inside, dict) else enumerate(inside)
        for key, each in list(pairs):
            places.append((inside, key))
            if isinstance(each, dict | list):
                stack.append(each)
    holder, key = places[place % len(places)]
    holder[key] = value


@pytest.mark.parametrize("name", sorted(SENTRY))
def test_samples_are_documents_of_their_own(name: str) -> None:
    assert sentry(name) == SENTRY[name]
    assert sentry(name) is not SENTRY[name]
