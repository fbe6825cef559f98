"""One incident with all that was done about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.testing import eventually
from tests.integration.notifier.factories import MAIL_ONLY, MakeKit
from tests.integration.notifier.people import FAST_CHAIN, crashed, put_roster, settings_for
from tests.support.alert_thresholds import alert_after


async def test_an_incident_is_read_with_history_notices_calls_and_timer(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(**settings_for(tmp_path, escalation=FAST_CHAIN[:2], escalation_rounds=1))
    await put_roster(kit, "oleg", "anna")
    await kit.publish(crashed())

    async def called() -> dict[str, Any]:
        status, story = await kit.call("GET", "/admin/v1/incidents/1", role="viewer")
        assert status == 200, story
        assert [(call["person"], call["state"]) for call in story["calls"]] == [("oleg", "placed")]
        assert {notice["state"] for notice in story["notices"]} == {"sent"}
        return dict(story)

    story = await eventually(called)
    assert [(line["actor"], line["act"]) for line in story["history"]] == [
        ("orchestrator", "opened"),
        ("notifier", "reminded"),
        ("notifier", "called"),
    ]
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
