"""Alerts come late, odd, large and again: each that fires reaches a person, and one bad one harms no other."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from common.postgres import Database
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.look_again import LookAgain
from notifier.incidents.problems import Problems, Report
from notifier.inputs.alert import read_notification
from notifier.inputs.alertmanager import problem_of
from notifier.inputs.lenient import Vocabulary
from notifier.messages.words import Words
from notifier.routing.file import read_routes
from tests.integration.notifier.factories import ALERTS, NOW, ONE_CHAT, SENTRYS, Kit, MakeKit, ended, post, post_bytes
from tests.support.alert_samples import notification, one_alert, sentry, stamp
from tests.support.clocks import ManualClock


async def states(kit: Kit) -> list[tuple[str, str]]:
    """Fingerprints and states of all incidents, in the order of their opening."""
    rows = await kit.fetch("SELECT fingerprint, state FROM incidents ORDER BY id")
    return [(row["fingerprint"].split(":")[1], row["state"]) for row in rows]


async def test_an_alert_opens_again_when_it_fires_clearly_after_its_end(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    firing = one_alert(startsAt=stamp(-30))
    over = {**firing, "status": "resolved", "endsAt": stamp(-5)}
    assert await post(kit, notification(firing)) == {"incidents": [1]}
    assert (await post(kit, notification(over)))["incidents"] == [1]
    assert (await post(kit, notification(firing)))["incidents"] == [2]  # five minutes after its end
    assert (await post(kit, notification(over)))["incidents"] == []  # the same end, by another Alertmanager
    assert await states(kit) == [("fp-DiskFull", "resolved"), ("fp-DiskFull", "open")]
    assert (await post(kit, notification({**over, "endsAt": stamp(-1)})))["incidents"] == [2]
    another = notification(firing, externalURL="https://another.example")
    for said in (notification(firing), another):  # within two minutes it may be older than the end
        assert (await post(kit, said))["incidents"] == []
    newer = {**firing, "startsAt": stamp(-20)}
    assert (await post(kit, notification(newer)))["incidents"] == [
        3
    ]  # it began anew, whatever the clocks say of the end
    assert (await post(kit, notification({**newer, "status": "resolved", "endsAt": stamp(0)})))["incidents"] == [3]
    await ended(kit, 6)
    told = await kit.fetch("SELECT subject, transition FROM notices WHERE document IS NOT NULL ORDER BY created_at, id")
    assert [(row["subject"], row["transition"]) for row in told] == [
        (f"incident:{incident}", what) for incident in (1, 2, 3) for what in ("opened", "resolved")
    ]


async def test_what_fires_too_soon_after_its_end_opens_when_no_other_end_comes(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    alerts = {name: one_alert(name, startsAt=stamp(-30)) for name in ("Lasts", "Ends", "EndsAgain", "Lags", "Open")}
    ends = {name: {**alert, "status": "resolved", "endsAt": stamp(-1)} for name, alert in alerts.items()}
    await post(kit, notification(*alerts.values()))
    await post(kit, notification(*ends.values()))
    lags = notification(alerts["Lags"], externalURL="https://another.example")
    for said in (notification(*(alerts[name] for name in alerts if name != "Lags")), lags):
        assert (await post(kit, said))["incidents"] == []
    assert (await post(kit, notification({**ends["Ends"], "endsAt": stamp(-0.5)})))["incidents"] == []
    assert (await post(kit, notification(ends["EndsAgain"])))["incidents"] == []
    assert len((await post(kit, notification({**alerts["Open"], "startsAt": stamp(-2)})))["incidents"]) == 1

    async with AsyncExitStack() as stack:
        looks = [await another_replica(kit, stack, ahead=ahead) for ahead in (0.5, 3, 3)]
        assert await looks[0]() == 0  # its time has not come
        assert sum(await asyncio.gather(*(look() for look in looks[1:]))) == 1
        assert await looks[1]() == 0
    rows = await kit.fetch(
        "SELECT details ->> 'alert' AS name, occurrences FROM incidents WHERE state = 'open' ORDER BY id"
    )
    assert [tuple(row.values()) for row in rows] == [("Open", 1), ("Lasts", 1)]
    await ended(kit, 12)  # five began and ended; one began anew, and one lasts


async def another_replica(kit: Kit, stack: AsyncExitStack, *, ahead: float) -> LookAgain:
    """What looks again at problems, with a clock that is so many minutes ahead."""
    database = Database(kit.dsn, application_name="test")
    await database.open()
    stack.push_async_callback(database.close)
    clock = ManualClock(datetime.now(UTC) + timedelta(minutes=ahead))
    routes = read_routes(json.dumps(ONE_CHAT), name="test")
    problems = Problems(routes=routes, words=Words("ru"), environment="production")
    return LookAgain(problems=problems, database=database, clock=clock)


async def test_another_replica_of_alertmanager_that_lags_behind_opens_nothing_again(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    firing = one_alert(startsAt=stamp(-30))
    # Its end is known to Alertmanager for minutes before it sends it; both replicas have one external address.
    over = {**firing, "status": "resolved", "endsAt": stamp(-4)}

    async def sent(alert: dict[str, Any], replica: int) -> list[int]:
        """The incidents of what one of the replicas sends through the edge."""
        body = json.dumps(notification(alert)).encode()
        _, answer = await post_bytes(kit, body, **{"X-Real-IP": f"10.0.0.{replica}"})
        return list(answer["incidents"])

    assert await sent(firing, 1) == [1]
    assert await sent(firing, 2) == [1]
    assert await sent(over, 1) == [1]
    assert await sent(firing, 2) == []
    assert await sent(over, 2) == []
    assert await sent(firing, 2) == []
    [again] = await sent(firing, 1)  # who says one after the other means it: four minutes after that end
    assert again > 1
    await ended(kit, 3)


LABELS, BEGINS = {"instance": "h1", "job": "node"}, stamp(-10)
OTHER_ENDS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "a label was added under the same fingerprint": ({}, {"labels": {"cluster": "eu"}}, True),
    "and under another one": ({}, {"labels": {"cluster": "eu"}, "fingerprint": "other"}, True),
    "and without any": ({}, {"labels": {"cluster": "eu"}, "fingerprint": ""}, True),
    "a label was taken away": ({"labels": {"cluster": "eu"}}, {"fingerprint": "other"}, True),
    "its fingerprint alone says so": ({}, {"labels": {"cluster": "eu"}, "startsAt": None}, True),
    "another instance under the same fingerprint": ({}, {"labels": {"instance": "h2"}}, False),
    "another start": ({}, {"labels": {"cluster": "eu"}, "startsAt": stamp(-8), "fingerprint": "other"}, False),
    "another name": ({}, {"labels": {"alertname": "Other", "cluster": "eu"}}, False),
}
"""Firing, end, whether it is the end of that."""


async def test_an_end_with_other_labels_ends_the_one_alert_that_it_must_mean(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)

    def alert(name: str, changes: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The alert, with these changes."""
        labels = {**LABELS, **changes.get("labels", {})}
        return one_alert(name, **{"fingerprint": "fp", "startsAt": BEGINS, **changes, "labels": labels, **more})

    for name, (fires, ends, same) in OTHER_ENDS.items():
        firing, end = alert(name, fires), alert(name, ends, status="resolved", endsAt=stamp(0))
        [incident] = (await post(kit, notification(firing)))["incidents"]
        beside = (await post(kit, notification(alert(name, ends, status="resolved"), firing)))["incidents"]
        assert beside == [incident], name  # it fires beside that end
        answers = [(await post(kit, notification(end)))["incidents"] for _ in range(2)]
        assert answers == ([[incident], []] if same else [[], []]), name
        again = notification(firing, externalURL="https://another.example")
        assert (await post(kit, again))["incidents"] == ([] if same else [incident]), name


async def test_an_end_with_other_labels_ends_none_of_several_nor_another_alerts_incident(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    begins = stamp(-10)
    one, other = (one_alert("A", fingerprint="x", startsAt=begins, labels={"instance": each}) for each in ("1", "2"))
    less = one_alert("A", fingerprint="x", startsAt=begins)
    await post(kit, notification(one, other))
    assert (await post(kit, notification({**less, "status": "resolved"})))["incidents"] == []
    await post(kit, notification(one_alert("B", startsAt=begins), one_alert("B", startsAt=begins, labels={"pod": "p"})))
    wide = one_alert("B", startsAt=begins, labels={"pod": "p"}, status="resolved", endsAt=stamp(0))
    assert len((await post(kit, notification(wide)))["incidents"]) == 1
    assert (await post(kit, notification(wide)))["incidents"] == []
    rows = await kit.fetch("SELECT details ->> 'pod' AS pod, state FROM incidents")
    assert sorted((row["pod"] or "", row["state"]) for row in rows) == [("", "open")] * 3 + [("p", "resolved")]


async def test_two_alerts_under_one_fingerprint_are_two_problems_in_whatever_they_come(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    first, second = one_alert("A", fingerprint="x"), one_alert("B", fingerprint="x")
    assert (await post(kit, notification(first)))["incidents"] == [1]
    assert (await post(kit, notification(second)))["incidents"] == [2]
    assert (await post(kit, notification(first, second)))["incidents"] == [1, 2]
    assert (await post(kit, notification({**second, "status": "resolved", "endsAt": stamp(0)})))["incidents"] == [2]
    rows = await kit.fetch("SELECT summary, state, occurrences FROM incidents ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [("A fires", "open", 2), ("B fires", "resolved", 2)]
    await ended(kit, 3)


async def test_an_incident_of_the_release_before_is_counted_and_ends_under_its_new_key(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    # As the release before opened them: under the sender's fingerprint alone.
    database, problems = (
        Database(kit.dsn, application_name="test"),
        Problems(routes=read_routes(json.dumps(ONE_CHAT), name="test"), words=Words("ru"), environment="production"),
    )
    await database.open()
    try:
        for name in ("Repeated", "Ended", "Another"):
            [alert] = read_notification(json.dumps([one_alert(name, fingerprint=name)]).encode(), now=NOW).alerts
            fact = problem_of(alert, f"alertmanager:{name}", now=NOW, vocabulary=Vocabulary(), words=Words("ru"))
            async with database.transaction() as connection:
                await problems.ingest(NotificationStore(connection), [Report(fact=fact, event_id=name)])
    finally:
        await database.close()
    repeated, last, third = (one_alert(name, fingerprint=name) for name in ("Repeated", "Ended", "Another"))
    third["labels"]["alertname"] = "Third"
    taken = notification(repeated, {**last, "status": "resolved", "endsAt": stamp(0)}, third)
    answers = await asyncio.gather(*(post(kit, taken) for _ in range(3)))
    assert {1, 4} <= {incident for answer in answers for incident in answer["incidents"]} <= {1, 2, 4}
    assert (await post(kit, notification({**repeated, "status": "resolved", "endsAt": stamp(0)})))["incidents"] == [1]
    rows = await kit.fetch("SELECT details ->> 'alert' AS alert, state FROM incidents ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [
        ("Repeated", "resolved"),
        ("Ended", "resolved"),
        ("Another", "open"),
        ("Third", "open"),
    ]
    await ended(kit, 6)


async def test_an_end_without_a_time_is_now_and_a_start_in_the_future_too(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    for name, begins in (("Zero", stamp(-10)), ("Ahead", stamp(3)), ("None", None), ("Odd", "yesterday")):
        firing = one_alert(name, startsAt=begins)
        await post(kit, notification(firing))
        await post(kit, notification({**firing, "status": "resolved", "endsAt": "0001-01-01T00:00:00Z"}))
    assert {state for _, state in await states(kit)} == {"resolved"}
    assert len(await states(kit)) == 4


async def test_a_warning_never_hides_a_critical_alert_nor_an_unnamed_service_another(make_kit: MakeKit) -> None:
    rule = {
        "name": "down explains the rest",
        "source": {"kind": ["problem.alert"], "alert": ["*Down"]},
        "target": {"kind": ["problem.alert"], "alert": ["!*Down"]},
        "equal": ["environment"],
    }
    kit = await make_kit(
        routes={**ONE_CHAT, "inhibit": [rule]}
    )  # which compares the service although the rule does not say so
    both = {"job": "node", "instance": "h1"}
    await post(kit, notification(one_alert("InstanceDown", severity="warning", labels=both)))
    await post(kit, notification(one_alert("HostOutOfDiskSpace", labels={**both, "instance": "h2"})))
    await post(kit, notification(one_alert("OtherDown", severity="critical"), one_alert("NoService")))
    await post(kit, notification(one_alert("TipsDown", severity="warning", labels={"service": "tips"})))
    await post(kit, notification(one_alert("TipsSick", severity="critical", labels={"service": "tips"})))
    await ended(kit, 6)
    await post(kit, notification(one_alert("TipsSlow", severity="warning", labels={"service": "tips"})))
    [row] = await kit.fetch("SELECT fingerprint, muted FROM incidents WHERE muted IS NOT NULL")
    assert row["fingerprint"].startswith("alertmanager:fp-TipsSlow:")


async def test_one_bad_alert_harms_no_other_and_a_person_hears_of_it(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    nul = one_alert("Nul", annotations={"summary": "a\0b \ud800 +7 916 123-45-67"})
    empty = one_alert("Null") | {"annotations": None, "labels": None, "fingerprint": "fp-Null"}
    answer = await post(kit, notification(one_alert("Good"), nul, empty, "Bad of +7 916 123-45-67", True))
    assert (len(answer["incidents"]), answer.get("not_taken", 0)) == (3, 3)
    rows = await kit.fetch("SELECT fingerprint, summary, severity FROM incidents ORDER BY id")
    assert [(row["fingerprint"].split(":")[1], row["summary"], row["severity"]) for row in rows] == [
        ("alertmanager", "Не принято от alertmanager: 3", "critical"),
        ("fp-Good", "Good fires", "critical"),
        ("fp-Nul", "a\ufffdb \ufffd [masked]", "critical"),
    ]
    status, page = await kit.call("GET", "/admin/v1/unread-alerts")
    assert (status, [(item["parts"], item["text"].split("\n")[1:]) for item in page["items"]]) == (
        200,
        [(3, ["Bad of [masked]", "true"])],
    )
    [kept] = page["items"]
    assert "fp-Null" in kept["text"]
    assert await kit.call("GET", f"/admin/v1/unread-alerts/{kept['id']}") == (200, kept)
    await ended(kit, 3)


async def test_a_loss_after_somebody_took_the_first_is_told_again_once(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    first, second = notification("first"), notification("second")
    for body in (first, first, notification("before it was taken")):
        [incident] = (await post(kit, body))["incidents"]
    assert (await kit.call("POST", f"/admin/v1/incidents/{incident}/ack", body={"reason": "looking"}))[0] == 200
    before = await kit.fetch("SELECT id FROM notices WHERE kind = 'problem.alerts_not_taken'")
    for body in (first, second, second):
        assert (await post(kit, body))["incidents"] == [incident]
    told = await kit.fetch(
        "SELECT incident_id FROM notices WHERE kind = 'problem.alerts_not_taken' AND document IS NOT NULL "
        "AND id <> ALL($1)",
        [row["id"] for row in before],
    )
    assert [row["incident_id"] for row in told] == [incident]


async def test_what_fits_of_a_broken_or_too_large_notification_is_taken(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    thousand = notification(
        *(one_alert(f"Large{each}", severity="info", annotations={"text": "x" * 800}) for each in range(1000))
    )
    assert len(json.dumps(thousand)) > 1.1e6
    answer = await post(kit, thousand)
    assert (len(answer["incidents"]), answer.get("not_taken", 0)) == (1000, 0)
    small = notification(*(one_alert(f"Small{each}", severity="info") for each in range(5001)))
    assert len((await post(kit, small))["incidents"]) == 5001
    whole = json.dumps(notification(one_alert("First"), one_alert("Second"), one_alert("Third"))).encode()
    status, answer = await post_bytes(kit, whole[: whole.index(b"fp-Third")])
    assert (status, len(answer["incidents"]), answer.get("not_taken", 0)) == (200, 3, 1)
    huge = json.dumps(
        notification(one_alert("Kept"), *(one_alert(f"H{each}", annotations={"x": "y" * 10**6}) for each in range(18)))
    ).encode()
    status, answer = await post_bytes(kit, huge)
    assert (status, len(answer["incidents"]) - 1, answer.get("not_taken", 0)) == (200, 17, 2)
    left_out = notification(one_alert("Shown"), truncatedAlerts=7)
    assert (await post(kit, left_out))["not_taken"] == 7
    for nothing in (b"", b"{", b"[[[[" * 50_000, b'"text"', b'{"alerts": 7}'):
        status, answer = await post_bytes(kit, nothing)
        assert (status, answer["code"]) == (400, "unreadable_notification")
    [told] = await kit.fetch("SELECT occurrences, severity FROM incidents WHERE kind = 'problem.alerts_not_taken'")
    assert (told["occurrences"], told["severity"]) == (8, "critical")
    status, answer = await kit.call("POST", ALERTS, role="operator", body=left_out)
    assert status == 403


async def test_an_error_that_comes_clearly_after_its_end_opens_again_whatever_its_clock(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    seconds = int(datetime.now(UTC).timestamp())

    async def hook(name: str, *, ago: int) -> list[int]:
        """Post one of Sentry's notifications as of so many seconds ago; its events are months older."""
        body = json.dumps(sentry(name)).encode()
        _, answer = await post_bytes(kit, body, SENTRYS, **{"Sentry-Hook-Timestamp": str(seconds - ago)})
        return list(answer["incidents"])

    assert await hook("event_alert", ago=120) == [1]
    assert await hook("issue", ago=100) == [1]
    assert await hook("event_alert", ago=90) == []  # on its way while the issue was resolved
    assert await hook("event_alert", ago=30) == [2]


@pytest.mark.parametrize("name", ["issue", "metric_alert"])
@pytest.mark.parametrize("overtaken", [False, True])
async def test_what_ends_and_begins_anew_in_one_second_is_open(make_kit: MakeKit, name: str, overtaken: bool) -> None:
    kit = await make_kit(routes=ONE_CHAT, replicas=2)
    begins = "unresolved" if name == "issue" else "critical"

    async def hook(action: str, second: int) -> None:
        """Post what Sentry says happened in a second."""
        body = json.dumps(sentry(name) | {"action": action}).encode()
        assert (await post_bytes(kit, body, SENTRYS, **{"Sentry-Hook-Timestamp": str(second)}))[0] == 200

    now = int(datetime.now(UTC).timestamp())
    await hook(begins, now - 9)
    for action in (begins, "resolved") if overtaken else ("resolved", begins):
        await hook(action, now - 5)
    assert (await states(kit))[-1][1] == "open"
    await hook("resolved", now - 4)
    assert {state for _, state in await states(kit)} == {"resolved"}
    now = int(datetime.now(UTC).timestamp())  # hooks that come at once: their second is not over yet
    for action in (begins, "resolved") if overtaken else ("resolved", begins):
        await hook(action, now)
    assert (await states(kit))[-1][1] == "open"


async def test_sentrys_own_hooks_are_taken_when_they_are_signed(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT, sentry_secret=SecretStr("client-secret"))

    async def signed(name: str, *, key: bytes = b"client-secret", **changes: Any) -> tuple[int, dict[str, Any]]:
        """Post one of Sentry's notifications as Sentry does."""
        body = json.dumps(sentry(name) | changes).encode()
        signature = hmac.new(key, body, hashlib.sha256).hexdigest()
        headers = {"Sentry-Hook-Resource": name, "Sentry-Hook-Signature": signature, "Authorization": ""}
        return await post_bytes(kit, body, SENTRYS, **headers)

    assert (await signed("event_alert"))[1]["incidents"] == [1]
    assert (await signed("issue", action="assigned"))[1] == {"incidents": [], "endangered_order": None}
    assert (await signed("issue"))[1]["incidents"] == [1]  # although lastSeen is older than the event
    assert (await signed("issue", action="unresolved"))[1]["incidents"] == [2]
    assert (await signed("metric_alert"))[1]["incidents"] == [3]
    assert (await signed("metric_alert", action="resolved"))[1]["incidents"] == [3]
    assert (await signed("error"))[1]["incidents"] == [4]
    assert (await signed("legacy"))[1]["incidents"] == [5]
    assert (await signed("event_alert", key=b"another"))[0] == 401
    assert (await post_bytes(kit, b"{}", SENTRYS, Authorization=""))[0] == 401
    [refused] = await kit.fetch("SELECT occurrences FROM incidents WHERE kind = 'problem.alerts_refused'")
    assert refused["occurrences"] == 1
    rows = await kit.fetch(
        "SELECT severity, state, service, environment, details FROM incidents WHERE kind = 'problem.sentry' ORDER BY id"
    )
    assert [(row["severity"], row["state"], row["service"]) for row in rows] == [
        ("critical", "resolved", "front-end"),
        ("critical", "open", "front-end"),
        ("critical", "resolved", "back-end"),
        ("warning", "open", "1"),
        ("critical", "open", "front-end"),
    ]
    assert rows[0]["environment"] == "production"
    unknown = await post(kit, {"action": "dreamt", "data": {"dream": {}}}, SENTRYS)
    assert unknown["not_taken"] == 1
    assert (await post_bytes(kit, b"not JSON", SENTRYS))[0] == 400
