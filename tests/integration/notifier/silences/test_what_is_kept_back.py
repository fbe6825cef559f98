"""Silences, maintenance and inhibition keep problems from being notified, say so, and lose nothing."""

from __future__ import annotations

import copy
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from common.contracts.alerts import ProblemResolvedV1
from notifier.silences.alert_names import SHIPPED
from tests.integration.notifier.factories import ALERT, NOW, ONE_CHAT, PICKERS, Kit, MakeKit, a_problem, created, ended
from tests.integration.notifier.people import put_roster, settings_for
from tests.support.servers import eventually
from tests.support.slack_texts import as_read

RULES = Path(__file__).parents[4] / "deploy/prometheus/rules"
INHIBITING: dict[str, Any] = {
    **ONE_CHAT,
    "inhibit": [
        {
            "name": "down explains the rest",
            "source": {"kind": ["problem.alert"], "alert": ["*Down"]},
            "target": {"kind": ["problem.alert"], "alert": ["!*Down"]},
            "equal": ["service"],
        }
    ],
}


async def silence(kit: Kit, *, hours: float = 1.0, **body: Any) -> dict[str, Any]:
    """Set a silence as an operator; returns the answer."""
    wanted = {
        "reason": "we know of it",
        "match": {"kind": ["problem.order_conflict"]},
        "ends_at": (datetime.now(UTC) + timedelta(hours=hours)).isoformat(),
        **body,
    }
    status, answer = await kit.call("POST", "/admin/v1/silences", body=wanted)
    assert status == 200, answer
    return dict(answer)


async def why_not(kit: Kit, incident: int, count: int = 1) -> list[str]:
    """Wait until so much is known of an incident; returns the states and reasons, newest first."""

    async def probe() -> list[str]:
        status, page = await kit.call("GET", f"/admin/v1/notifications?incident={incident}")
        assert (status, len(page["items"])) == (200, count)
        return [f"{item['transition'].partition(':')[0]} {item['state']}: {item['reason']}" for item in page["items"]]

    return await eventually(probe)


async def test_a_silence_for_ever_and_an_override_for_ever_are_no_fault(make_kit: MakeKit, tmp_path: Path) -> None:
    for_ever = "9999-12-31T23:59:59.999999Z"
    kit = await make_kit(routes=ONE_CHAT, **settings_for(tmp_path))
    await put_roster(kit, "oleg", "anna")
    assert (await silence(kit, ends_at=for_ever, dry_run=True))["dry_run"]
    await silence(kit, ends_at=for_ever)
    override = {"starts_at": datetime.now(UTC).isoformat(), "ends_at": for_ever, "person": "anna", "reason": "for ever"}
    status, answer = await kit.call("POST", "/admin/v1/roster/overrides", body=override)
    assert status < 500, answer
    await kit.publish(a_problem())
    [reason] = await why_not(kit, 1)
    assert reason.endswith("until 9999-12-31T23:59:59Z"), reason
    assert (await kit.call("GET", "/admin/v1/roster", role="viewer"))[0] == 200


async def test_nobody_is_notified_of_a_silenced_problem_and_the_log_says_why(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    answer = await silence(kit)
    assert (answer["id"], answer["dry_run"]) == (1, False)
    await kit.publish(a_problem(), created(), a_problem("p:2", kind="other"))
    await ended(kit, 2)  # the order and the other problem
    [reason] = await why_not(kit, 1)
    assert reason.startswith("opened not_told: silenced by silence 1 until ")
    await kit.publish(
        ProblemResolvedV1(
            fingerprint="p:1", summary="gone", service="orchestrator", occurred_at=NOW + timedelta(hours=1)
        )
    )
    newest, _ = await why_not(kit, 1, count=2)
    assert newest.startswith("resolved not_told: nobody was told of the problem (silenced")
    await kit.publish(a_problem("p:3"))
    await why_not(kit, 3)
    assert (await kit.call("POST", "/admin/v1/incidents/3/resolve", body={"reason": "by hand"}))[0] == 200
    newest, _ = await why_not(kit, 3, count=2)
    assert newest.startswith("resolved not_told: nobody was told of the problem (silenced")
    assert len(await kit.texts(PICKERS)) == 2


async def test_what_lasts_longer_than_its_silence_is_notified_at_the_end(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT, replicas=2)
    await silence(kit, match={"store_id": ["17"], "severity": ["!info"]}, purpose="maintenance")
    await kit.publish(a_problem(store_id="17"))
    await why_not(kit, 1)
    await kit.publish(a_problem("p:2", store_id="18"))
    await ended(kit, 1)
    status, ends = await kit.call("DELETE", "/admin/v1/silences/1", body={"reason": "the work is done"})
    assert (status, ends["id"]) == (200, 1)
    rows = await ended(kit, 2)
    assert [row["subject"] for row in rows] == ["incident:2", "incident:1"]
    assert [line.partition(" ")[0] for line in await why_not(kit, 1, count=2)] == ["unmuted", "opened"]
    status, page = await kit.call("GET", "/admin/v1/silences?over=true", role="viewer")
    [kept] = page["items"]
    assert await kit.call("GET", "/admin/v1/silences/1", role="viewer") == (200, kept)
    for nobody in ("2", "0", str(2**63 - 1), "x"):
        assert (await kit.call("GET", f"/admin/v1/silences/{nobody}"))[0] == 404, nobody
    assert (kept["purpose"], kept["created_by"], kept["ended_by"], kept["match"]) == (
        "maintenance",
        "oleg",
        "oleg",
        {"store_id": ["17"], "severity": ["!info"]},
    )
    status, page = await kit.call("GET", "/admin/v1/audit", role="viewer")
    assert [item["action"] for item in page["items"]] == ["silence.end", "silence.add"]


async def test_nobody_is_phoned_for_what_is_silenced_until_that_is_over(make_kit: MakeKit, tmp_path: Path) -> None:
    chain = [{"after": 0.2, "act": "call", "whom": "on_duty"}]
    kit = await make_kit(routes=ONE_CHAT, replicas=2, **settings_for(tmp_path, escalation=chain))
    await put_roster(kit, "oleg", "anna")
    await silence(kit, match={"store_id": ["17"]})
    for fingerprint, store in (("p:1", "17"), ("p:2", "18")):
        await kit.publish(a_problem(fingerprint, store_id=store, severity="critical"))

    async def called(*expected: str) -> bool:
        rows = await kit.fetch(
            "SELECT DISTINCT i.fingerprint FROM calls c JOIN incidents i ON i.id = c.incident_id ORDER BY 1"
        )
        assert [row["fingerprint"] for row in rows] == list(expected)
        return True

    await eventually(lambda: called("p:2"))
    waiting = await kit.fetch(
        "SELECT FROM escalations e JOIN incidents i ON i.id = e.incident_id WHERE i.fingerprint = 'p:1'"
    )
    assert waiting == []
    assert (await kit.call("DELETE", "/admin/v1/silences/1", body={"reason": "the work is done"}))[0] == 200
    await eventually(lambda: called("p:1", "p:2"))


async def history(kit: Kit, incident: int, *acts: str) -> list[str]:
    """What the history says of these acts, without the end of a silence."""
    story = (await kit.call("GET", f"/admin/v1/incidents/{incident}"))[1]
    lines = [f"{line['act']}: {line['text'].partition(' until ')[0]}" for line in story["history"]]
    return [line for line in lines if line.partition(":")[0] in acts]


async def test_a_silence_holds_the_calls_about_what_people_were_told_before_it(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    chain = [{"after": 0.1, "act": "call", "whom": "on_duty"}]
    kit = await make_kit(routes=ONE_CHAT, replicas=2, **settings_for(tmp_path, escalation=chain, escalation_rounds=1))
    await put_roster(kit, "oleg", "anna")
    await kit.sandbox.fault("calls", mode="error")  # so that the calls wait
    of_stores = (("p:1", "17"), ("p:2", "18"))
    await kit.open_in_turn(*(a_problem(each, store_id=store, severity="critical") for each, store in of_stores))
    await ended(kit, 3)  # the handover, too

    async def both_wait() -> bool:
        return len(await kit.fetch("SELECT FROM calls WHERE attempts > 0")) == 2

    await eventually(both_wait)
    await silence(kit, match={"store_id": ["17"]})

    async def one_is_held() -> bool:
        return await history(kit, 1, "held", "called") == ["held: silenced by silence 1"]

    await eventually(one_is_held)  # a call that is being made when the silence begins still rings
    await kit.sandbox.heal("calls")

    async def one_is_called() -> bool:
        assert await history(kit, 1, "held", "called") == ["held: silenced by silence 1"]
        assert await history(kit, 2, "held", "called") == ["called: oleg"]
        return True

    await eventually(one_is_called)
    [call] = await kit.fetch("SELECT state FROM calls WHERE incident_id = 1")
    assert call == {"state": "waiting"}  # nor does the call about the other one stand for it
    assert (await kit.call("DELETE", "/admin/v1/silences/1", body={"reason": "the work is done"}))[0] == 200

    async def goes_on() -> bool:
        assert (await history(kit, 1, "held", "called"))[1:] == ["called: oleg"]
        return True

    await eventually(goes_on)
    await kit.publish(
        ProblemResolvedV1(
            fingerprint="p:1", summary="gone", service="orchestrator", occurred_at=NOW + timedelta(hours=1)
        )
    )
    assert "not_told" not in await eventually(lambda: sent_about(kit, 1, "resolved"))


async def test_the_chain_of_what_was_told_and_silenced_later_goes_on_where_it_was(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    chain = [{"after": 0.1, "act": act, "whom": "on_duty"} for act in ("remind", "call")]
    settings = settings_for(tmp_path, escalation=chain, escalation_rounds=1, ack_lasts=0.5)
    kit = await make_kit(routes=ONE_CHAT, replicas=2, **settings)
    await kit.publish(a_problem(severity="critical"))

    async def nobody_is_on_duty() -> bool:
        return await kit.fetch("SELECT due_at FROM escalations") == [{"due_at": None}]

    await eventually(nobody_is_on_duty)
    await put_roster(kit, "oleg", "anna")
    await silence(kit)
    assert (await kit.call("POST", "/admin/v1/incidents/1/ack", body={"reason": "mine"}))[0] == 200

    async def held() -> bool:
        acts = await history(kit, 1, "ack_expired", "held", "reminded", "called")
        assert [act.partition(":")[0] for act in acts] == ["reminded", "ack_expired", "held"]
        assert await sent_about(kit, 1, "ack_expired") == ["not_told"]
        return True

    await eventually(held)
    assert (await kit.call("DELETE", "/admin/v1/silences/1", body={"reason": "the work is done"}))[0] == 200

    async def goes_on() -> bool:
        acts = await history(kit, 1, "held", "reminded", "called")
        assert acts[1:] == ["held: silenced by silence 1", "reminded: Oleg (@oleg)", "called: oleg"]
        return True

    await eventually(goes_on)


async def sent_about(kit: Kit, incident: int, transition: str) -> list[str]:
    """The states of an incident's notices of a kind, once there are any."""
    page = (await kit.call("GET", f"/admin/v1/notifications?incident={incident}"))[1]
    found = [item["state"] for item in page["items"] if item["transition"].startswith(transition)]
    assert found
    return found


async def test_a_dry_run_says_what_a_silence_would_cover_and_would_have_muted(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    await kit.publish(created(), a_problem(), a_problem("p:2", kind="other"))
    await ended(kit, 3)
    answer = await silence(kit, dry_run=True)
    assert (answer["id"], answer["incidents"]) == (None, [1])
    assert answer["would_have_muted"] == {"hours": 24, "messages": 1, "incidents": 1}
    anything = await silence(kit, dry_run=True, match={"kind": ["*"]})
    assert anything["would_have_muted"] == {"hours": 24, "messages": 2, "incidents": 2}, "an order is never muted"
    assert await kit.fetch("SELECT 1 FROM silences") == []
    assert (await kit.call("DELETE", "/admin/v1/silences/7", body={"reason": "not there"}))[0] == 404
    wrongs: tuple[dict[str, Any], ...] = (
        {"match": {}},
        {"match": {"kind": []}},
        {"match": {"colour": ["red"]}},
        {"match": None},
        {"ends_at": "2026-01-01T00:00:00Z"},
        {"ends_at": "2026-01-01T00:00:00Z", "dry_run": True},
    )
    for wrong in wrongs:
        body = {"reason": "because", "match": {"kind": ["other"]}, "ends_at": "2030-01-01T00:00:00Z", **wrong}
        assert (await kit.call("POST", "/admin/v1/silences", body=body))[0] == 422


def alert(name: str, *, status: str = "firing", **labels: str) -> dict[str, Any]:
    """A notification of one alert."""
    body: dict[str, Any] = copy.deepcopy(ALERT)
    ends = {"endsAt": "2026-11-21T11:00:00+03:00"} if status == "resolved" else {}
    body["status"] = status
    body["alerts"][0] |= {"status": status, "fingerprint": f"f-{name}", **ends}
    body["alerts"][0]["labels"] = {"alertname": name, "severity": "warning", **labels}
    return body


async def test_an_alert_that_another_explains_is_kept_back_until_that_one_is_over(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=INHIBITING)

    async def post(body: dict[str, Any]) -> None:
        """Call as Alertmanager does."""
        status, _ = await kit.call("POST", "/alerts/v1/alertmanager", role="internal", body=body)
        assert status == 200

    await post(alert("TipsDown", service="tips", severity="critical"))
    await post(alert("TipsSlow", service="tips"))
    await post(alert("RefundsSlow", service="refunds"))
    await ended(kit, 2)
    assert await why_not(kit, 2) == ["opened not_told: inhibited by incident 1 (down explains the rest)"]
    await post(alert("TipsDown", status="resolved", service="tips", severity="critical"))
    rows = await ended(kit, 4)
    assert sorted(row["subject"] for row in rows) == ["incident:1", "incident:1", "incident:2", "incident:3"]


async def test_an_alert_tags_whom_its_label_names_and_names_the_request(make_kit: MakeKit, tmp_path: Path) -> None:
    routes = {
        "destinations": {
            "all": {"channel": "telegram", "address": str(PICKERS), "topic": 7},
            "team": {"channel": "slack", "address": "#orders-notifications"},
        },
        "routes": [{"name": "testing only", "match": {"environment": ["testing"]}, "to": ["all", "team"]}],
    }
    people = tmp_path / "people.json"
    ivan = {"id": "ivan", "name": "Иван", "telegram": 77, "mention": "@ivan_tips", "slack": "U0IVAN"}
    olga = {"id": "olga", "name": "Ольга", "telegram": 4242}
    people.write_text(json.dumps({"people": [ivan, olga], "owners": {"tips-owner": ["olga"]}}))
    kit = await make_kit(routes=routes, people_file=people)
    body = alert(
        "TipsErrors",
        service="tips",
        environment="testing",
        responsible="ivan, tips-owner, petr",
        method="GET",
        route="/tips/v1/need-hold-tips",
    )
    status, _ = await kit.call("POST", "/alerts/v1/alertmanager", role="internal", body=body)
    assert status == 200
    await ended(kit, 2)
    [entry] = await kit.telegram()
    lines = entry["request"]["text"].splitlines()
    assert entry["request"]["message_thread_id"] == "7"
    assert lines[0].startswith("<b>🟠 [testing] Проблема")
    assert 'Ответственный: @ivan_tips, <a href="tg://user?id=4242">Ольга</a>, petr' in lines
    assert "Запрос: GET /tips/v1/need-hold-tips" in lines
    [post] = [entry for entry in await kit.sandbox.log("slack") if entry["effect"]]
    assert "Ответственный: <@U0IVAN>, Ольга, petr" in as_read(post["request"]["blocks"][0]).splitlines()


async def test_routes_on_trial_say_what_would_become_of_past_events(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    await kit.publish(created(), a_problem(), a_problem("p:2", kind="other", zone="moscow"))
    await ended(kit, 3)
    trial = {
        "destinations": {"new": {"channel": "slack", "address": "#new"}, **ONE_CHAT["destinations"]},
        "routes": [
            {"name": "orders", "match": {"kind": ["order.*"]}, "to": ["all"]},
            {"name": "moscow", "match": {"zone": ["moscow"]}, "to": ["new", "all"]},
        ],
    }
    body = {"past": {"since": "2026-01-01T00:00:00Z"}, "routes": trial}
    status, answer = await kit.call("POST", "/admin/v1/routes/dry-run", role="viewer", body=body)
    past = answer["past"]
    assert (status, past["events"], past["unrouted"], past["changed"]) == (200, 3, 1, 2)
    assert past["by_destination"] == {"all": 2, "new": 1}
    assert {(each["kind"], tuple(each["was"]), tuple(each["would"])) for each in past["differences"]} == {
        ("problem.order_conflict", ("all",), ()),
        ("problem.other", ("all",), ("new", "all")),
    }
    _, log = await kit.call("GET", "/admin/v1/notifications", role="viewer")
    notice = next(item for item in log["items"] if item["kind"] == "problem.other")
    for routes, expected in ((None, ["all"]), (trial, ["new", "all"])):
        asked = {"notice": notice["notice_id"], **({"routes": routes} if routes else {})}
        status, answer = await kit.call("POST", "/admin/v1/routes/dry-run", role="viewer", body=asked)
        assert (status, [target["destination"] for target in answer["targets"]]) == (200, expected)
    for asked, status in (
        ({"notice": "00000000-0000-7000-8000-000000000000"}, 404),
        ({"notice": "x"}, 422),
        ({"notice": notice["notice_id"], "kind": "order.created"}, 422),
        ({}, 422),
    ):
        assert (await kit.call("POST", "/admin/v1/routes/dry-run", role="viewer", body=asked))[0] == status
    wrong = {"kind": "order.created", "routes": {**trial, "routes": [{"name": "r", "to": ["nobody"]}]}}
    status, answer = await kit.call("POST", "/admin/v1/routes/dry-run", role="viewer", body=wrong)
    assert (status, answer["detail"]) == (
        400,
        "the routes file on trial: route 'r' goes to 'nobody', which is not defined",
    )


async def test_a_mistyped_alert_is_told_with_the_names_that_are_like_it(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    status, _ = await kit.call("POST", "/alerts/v1/alertmanager", role="internal", body=alert("ShelvesAreEmpty"))
    assert status == 200
    warned = [
        (await silence(kit, dry_run=True, match={"alert": [name]}))["warnings"]
        for name in ("ConsoleDwn", "ShelfsAreEmpty", "zzz", "Console*", "ShelvesAreEmpty", "!zzz")
    ]
    mistyped, heard, strange, *known = warned
    assert mistyped[0].startswith("no alert is known by the name ConsoleDwn; names like it are ConsoleDown")
    assert heard == ["no alert is known by the name ShelfsAreEmpty; names like it are ShelvesAreEmpty"]
    assert strange == ["no alert is known by the name zzz, and no name is like it; names are such as ShelvesAreEmpty"]
    assert known == [[], [], []]


def test_the_names_of_alerts_are_those_of_the_rules_that_are_shipped() -> None:
    named = re.findall(r"- alert: (\w+)", "".join(rules.read_text() for rules in RULES.glob("*.yml")))
    assert set(SHIPPED) == set(named)
