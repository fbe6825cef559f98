"""One incident with all that was done about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from console.client.suite import connected
from console.web.filters import as_pattern
from tests.integration.notifier.factories import MAIL_ONLY, Kit, MakeKit, a_problem
from tests.integration.notifier.people import FAST_CHAIN, crashed, put_roster, settings_for
from tests.support.alert_thresholds import alert_after
from tests.support.servers import eventually


async def test_an_incident_is_read_with_history_notices_calls_and_timer(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(**settings_for(tmp_path, escalation=FAST_CHAIN[:2], escalation_rounds=1))
    await put_roster(kit, "oleg", "anna")
    await kit.publish(crashed())

    async def called() -> dict[str, Any]:
        status, story = await kit.call("GET", "/admin/v1/incidents/1", role="viewer")
        assert status == 200, story
        assert [(call["person"], call["state"]) for call in story["calls"]] == [("oleg", "placed")]
        assert {notice["state"] for notice in story["notices"]} == {"sent"}
        assert [(line["actor"], line["act"]) for line in story["history"]] == [
            ("orchestrator", "opened"),
            ("notifier", "reminded"),
            ("notifier", "called"),
        ]
        return dict(story)

    story = await eventually(called)
    assert {notice["destination"] for notice in story["notices"]} == {"on-call-production", "orders-notifications"}
    assert all("KeyError" in notice["text"] for notice in story["notices"] if notice["transition"] == "opened")
    assert story["calls"][0]["outside_id"].startswith("call-")
    assert story["runbook"] == "/runbook/orchestrator-workflows-crashed"
    assert story["timers"] == [{"step": 1, "round": 0, "due_at": None}]
    assert (await kit.call("GET", "/admin/v1/incidents/99", role="viewer"))[0] == 404
    over = {"ids": [1], "reason": "the cause is mended", "dry_run": False}
    status, said = await kit.call("POST", "/admin/v1/incidents/resolve", body=over, role="operator")
    assert status == 200, said
    assert (await kit.call("GET", "/admin/v1/incidents/1", role="viewer"))[1]["timers"] == []


async def test_an_incident_leads_to_its_thing_and_names_the_silence_that_covers_it(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    kit = await make_kit(**settings_for(tmp_path))
    lost = [f"019b0000-0000-7000-8000-00000000000{n}" for n in (1, 2)]
    await kit.publish(
        *(
            a_problem(
                kind="website_order.endangered", fingerprint=f"lost[{one}]", link=f"/e/{one}", service="webhook-gateway"
            )
            for one in lost
        )
    )

    async def opened() -> dict[str, dict[str, Any]]:
        _, page = await kit.call("GET", "/admin/v1/incidents", role="viewer")
        return {each["fingerprint"]: each for each in page["items"]} if len(page["items"]) == 2 else {}

    first, second = (each["id"] for _, each in sorted((await eventually(opened)).items()))
    wanted = {
        "match": {"fingerprint": [as_pattern(f"lost[{lost[0]}]")]},
        "ends_at": (datetime.now(UTC) + timedelta(hours=2)).isoformat(),
        "reason": "the site is being mended",
    }
    status, made = await kit.call("POST", "/admin/v1/silences", body=wanted)
    assert (status, made["incidents"]) == (200, [first])

    async def story(incident: int) -> dict[str, Any]:
        status, whole = await kit.call("GET", f"/admin/v1/incidents/{incident}", role="viewer")
        assert status == 200
        return dict(whole)

    one, other = await story(first), await story(second)
    assert [each["page"] for each in (one, other)] == [f"/e/{each}" for each in lost]
    assert one["silence"] == {
        "id": made["id"],
        "ends_at": made["ends_at"],
        "created_by": "oleg",
        "reason": wanted["reason"],
    }
    assert other["silence"] is None
    listed = {each["id"]: each["silenced_until"] for each in (await opened()).values()}
    assert listed == {first: made["ends_at"], second: None}
    assert one["silenced_until"] == made["ends_at"]
    status, _ = await kit.call("DELETE", f"/admin/v1/silences/{made['id']}", body={"reason": "mended"})
    assert status == 200
    assert (await story(first))["silence"] is None
    assert [each["silenced_until"] for each in (await opened()).values()] == [None, None]


async def test_what_waits_is_late_when_the_alerts_say_so(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(routes=MAIL_ONLY, smtp_port=1, **settings_for(tmp_path))  # where no mail server is
    await kit.publish(crashed())

    async def told() -> dict[str, Any]:
        status, said = await kit.call("GET", "/admin/v1/queues", role="viewer")
        found = {each["name"]: each for each in said["items"]}
        assert (status, said["complete"], found["to_send.mail"]["waiting"]) == (200, True, 1)
        return found

    found = await eventually(told)
    assert found["to_send.mail"]["state"] == "waiting"
    assert found["to_send.mail"]["oldest_seconds"] > 0
    queue, timers = alert_after("notifier", "notifier_queue_oldest_seconds"), "notifier_timers_overdue_seconds"
    assert {name: each["late_after_seconds"] for name, each in found.items() if not name.startswith("messages.")} == {
        "to_send.telegram": queue,
        "to_send.slack": queue,
        "to_send.mail": queue,
        "follow_ups": alert_after("notifier", "notifier_follow_ups_oldest_seconds"),
        "timers": alert_after("notifier", timers),
        "outside_tickets": None,
        "outbox": alert_after("notifier", "outbox_oldest_seconds"),
        "dead_letters": 0.0,
    }


async def test_an_incident_is_read_in_the_language_of_who_reads_it(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(**settings_for(tmp_path))
    await kit.publish(a_problem(kind="refund.error", details={"refund_id": "r-1", "attempt": "2", "version": "3"}))

    async def read(language: str) -> tuple[str, str, str]:
        async with connected({"notifier": kit.url}, "viewer-token") as suite:
            suite.language = language
            items = (await suite.page("notifier", "/admin/v1/incidents")).items
            assert len(items) == 1
            listed = items[0]
            whole = await suite.get("notifier", f"/admin/v1/incidents/{listed['id']}")
            return listed["summary"], whole["summary"], whole["instruction"][:5]

    english = "Refund r-1 is in RS_ERROR after attempt 2"
    russian = "Возврат r-1 в состоянии RS_ERROR, попытка 2"
    assert await eventually(partial(read, "en")) == (english, english, "Look ")
    assert await read("ru") == (russian, russian, "Найди")
    assert await read("de") == (russian, russian, "Найди")
    texts = await eventually(partial(told_of, kit))
    assert all("Возврат r-1 в состоянии RS_ERROR" in text for text in texts)


async def told_of(kit: Kit) -> list[str]:
    """What chats were told of the incident."""
    _, story = await kit.call("GET", "/admin/v1/incidents/1", role="viewer")
    texts = [notice["text"] for notice in story["notices"] if notice["state"] == "sent"]
    assert texts
    return texts
