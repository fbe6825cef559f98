"""Reports and ends of problems come through several replicas, several Alertmanagers, late and twice."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta
from typing import Any

from common.contracts.alerts import ProblemResolvedV1
from tests.integration.notifier.factories import ALERT, NOW, SLACK_ONLY, STORE, Kit, MakeKit, a_problem, created, ended
from tests.support.alert_samples import stamp
from tests.support.servers import eventually


def over(fingerprint: str = "p:1", *, minutes: int = 60) -> ProblemResolvedV1:
    """The end of a problem."""
    return ProblemResolvedV1(
        fingerprint=fingerprint, summary="gone", service="orchestrator", occurred_at=NOW + timedelta(minutes=minutes)
    )


def resolved_alert() -> dict[str, Any]:
    """The end of the alert that the other tests raise."""
    body: dict[str, Any] = copy.deepcopy(ALERT)
    body["status"] = "resolved"
    body["alerts"][0] |= {"status": "resolved", "endsAt": "2026-11-21T10:05:00+03:00"}
    return body


async def incidents(kit: Kit) -> list[dict[str, Any]]:
    """All incidents, in the order of their opening."""
    return await kit.fetch("SELECT fingerprint, state, occurrences FROM incidents ORDER BY id")


async def post(kit: Kit, body: dict[str, Any]) -> Any:
    """Call as Alertmanager does."""
    status, answer = await kit.call("POST", "/alerts/v1/alertmanager", role="internal", body=body)
    assert status == 200
    return answer["incidents"]


async def test_the_notice_of_an_end_has_the_ends_own_time(make_kit: MakeKit) -> None:
    kit = await make_kit()
    await post(kit, ALERT)
    await post(kit, resolved_alert())
    told = await kit.fetch("SELECT transition, occurred_at FROM notices WHERE incident_id = 1")
    began = datetime.fromisoformat(ALERT["alerts"][0]["startsAt"])
    assert {row["transition"]: row["occurred_at"] - began for row in told} == {
        "opened": timedelta(0),
        "resolved": timedelta(minutes=5),
    }


async def test_a_firing_that_another_alertmanager_repeats_after_its_end_opens_nothing(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=SLACK_ONLY)
    over = resolved_alert()
    over["alerts"][0]["endsAt"] = stamp(-0.2)
    assert await post(kit, ALERT) == [1]
    assert await post(kit, over) == [1]
    assert await post(kit, {**ALERT, "externalURL": "https://another.example"}) == []
    assert await post(kit, over) == []
    await ended(kit, 2)
    [incident] = await incidents(kit)
    assert incident["fingerprint"].startswith("alertmanager:abc123:")
    assert (incident["state"], incident["occurrences"]) == ("resolved", 1)
    assert await post(kit, ALERT) == []  # too soon after the end: kept, and opened when no other end comes


async def test_an_alert_that_fires_anew_after_its_end_is_a_new_incident(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=SLACK_ONLY)
    await post(kit, ALERT)
    await post(kit, resolved_alert())
    anew = copy.deepcopy(ALERT)
    anew["alerts"][0]["startsAt"] = "2026-11-21T11:00:00+03:00"
    assert await post(kit, anew) == [2]
    await ended(kit, 3)


async def test_what_a_person_closed_opens_again_when_alertmanager_still_reports_it(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=SLACK_ONLY)
    await post(kit, ALERT)
    assert (await kit.call("POST", "/admin/v1/incidents/1/resolve", body={"reason": "mended"}))[0] == 200
    assert await post(kit, ALERT) == [2]
    await ended(kit, 3)


async def test_an_end_that_comes_late_does_not_close_what_was_raised_since(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=SLACK_ONLY)
    later = a_problem(occurred_at=NOW + timedelta(minutes=90))
    await kit.publish(a_problem(), later, over(minutes=60), a_problem("p:2"))
    await ended(kit, 2)
    assert await incidents(kit) == [
        {"fingerprint": "p:1", "state": "open", "occurrences": 2},
        {"fingerprint": "p:2", "state": "open", "occurrences": 1},
    ]


async def test_a_report_that_comes_late_does_not_open_anew_what_is_over(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=SLACK_ONLY)
    await kit.publish(
        a_problem(), over(minutes=60), a_problem(occurred_at=NOW + timedelta(minutes=30)), a_problem("p:2")
    )
    await ended(kit, 3)
    assert await incidents(kit) == [
        {"fingerprint": "p:1", "state": "resolved", "occurrences": 1},
        {"fingerprint": "p:2", "state": "open", "occurrences": 1},
    ]


async def test_a_problem_that_becomes_critical_overtakes_the_crowd_with_its_first_report(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=SLACK_ONLY, slack_token=None)
    await kit.publish(
        *(created(f"C{index}") for index in range(5)),
    )

    async def taken(count: int) -> None:
        async def probe() -> bool:
            return len(await kit.fetch("SELECT 1 FROM deliveries")) == count

        await eventually(probe)

    await taken(5)
    await kit.publish(a_problem())
    await taken(6)
    await kit.publish(a_problem(severity="critical", occurred_at=NOW + timedelta(minutes=1)))
    await taken(7)
    rows = await kit.fetch(
        "SELECT n.kind, n.transition, d.priority FROM deliveries AS d JOIN notices AS n ON n.id = d.notice_id"
        " ORDER BY d.priority, d.id LIMIT 3"
    )
    assert [(row["kind"], row["transition"].split(":")[0], row["priority"]) for row in rows] == [
        ("problem.order_conflict", "opened", 1),
        ("problem.order_conflict", "escalated", 1),
        ("order.created", "order.created", 5),
    ]


async def test_an_alert_storm_in_one_notification_is_taken_in_whole(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=SLACK_ONLY, slack_token=None)
    body = copy.deepcopy(ALERT)
    body["alerts"] = [{**ALERT["alerts"][0], "fingerprint": f"f{index:04}"} for index in range(500)]
    assert len(await post(kit, body)) == 500
    assert len(await post(kit, body)) == 500
    [count] = await kit.fetch("SELECT count(*) AS n, sum(occurrences)::int AS seen FROM incidents")
    assert count == {"n": 500, "seen": 1000}


async def test_a_chat_that_works_again_ends_the_problem_and_a_second_refusal_is_news(
    make_kit: MakeKit,
) -> None:
    kit = await make_kit()
    chat = f"/sandbox/telegram/chats/{STORE}"
    await kit.sandbox.control("PUT", chat, {"state": "blocked"})
    await kit.publish(created())
    await ended(kit, 4)
    await kit.sandbox.control("PUT", chat, {"state": "active"})
    await kit.publish(created("H124"))
    await ended(kit, 8)  # two more notices, and the end of the problem to on-call and Slack
    await kit.sandbox.control("PUT", chat, {"state": "kicked"})
    await kit.publish(created("H125"))
    await ended(kit, 12)
    fingerprint = f"notifier:channel-refused:telegram:{STORE}"
    assert await incidents(kit) == [
        {"fingerprint": fingerprint, "state": "resolved", "occurrences": 1},
        {"fingerprint": fingerprint, "state": "open", "occurrences": 1},
    ]
