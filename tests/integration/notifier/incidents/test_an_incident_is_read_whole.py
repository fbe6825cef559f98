"""One incident with all that was done about it; many taken and closed at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.testing import eventually
from tests.integration.notifier.factories import MakeKit, many
from tests.integration.notifier.people import FAST_CHAIN, crashed, put_roster, settings_for


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

    story = await eventually(called, within=30)
    assert [(line["actor"], line["act"]) for line in story["history"]] == [
        ("orchestrator", "opened"),
        ("notifier", "reminded"),
        ("notifier", "called"),
    ]
    assert {notice["destination"] for notice in story["notices"]} == {"on-call-production", "orders-notifications"}
    assert all("KeyError" in notice["text"] for notice in story["notices"] if notice["transition"] == "opened")
    assert story["calls"][0]["outside_id"].startswith("call-")
    assert story["timers"] == [{"step": 1, "round": 0, "due_at": None}]
    assert (await kit.call("GET", "/admin/v1/incidents/99", role="viewer"))[0] == 404


async def test_many_incidents_are_taken_and_closed_as_planned(make_kit: MakeKit) -> None:
    kit = await make_kit()
    await kit.publish(*many(3), *many(1, kind="intake_quarantined"))

    async def opened() -> bool:
        return len(await kit.fetch("SELECT FROM incidents")) == 4

    await eventually(opened)
    wanted = {"filter": {"kind": "problem.order_conflict"}, "reason": "one cause, known"}
    status, plan = await kit.call("POST", "/admin/v1/incidents/ack", body={**wanted, "dry_run": True})
    assert (status, plan["matched"], [item["outcome"] for item in plan["items"]]) == (200, 3, ["acknowledged"] * 3), (
        plan
    )
    first = plan["items"][0]["id"]
    assert (await kit.call("POST", f"/admin/v1/incidents/{first}/ack", body={"reason": "this one is mine"}))[0] == 200
    status, done = await kit.call("POST", "/admin/v1/incidents/ack", body={**wanted, "plan": plan["plan"]})
    assert (status, [item["outcome"] for item in done["items"]]) == (
        200,
        ["changed_since", "acknowledged", "acknowledged"],
    )
    assert (await kit.call("POST", "/admin/v1/incidents/resolve", role="viewer", body=wanted))[0] == 403
    status, done = await kit.call("POST", "/admin/v1/incidents/resolve", body=wanted)
    assert (status, [item["outcome"] for item in done["items"]]) == (200, ["resolved"] * 3)
    states = await kit.fetch("SELECT kind, state FROM incidents ORDER BY id")
    assert [row["state"] for row in states if row["kind"] == "problem.order_conflict"] == ["resolved"] * 3
    assert [row["state"] for row in states if row["kind"] != "problem.order_conflict"] == ["open"]
    _, audit = await kit.call("GET", "/admin/v1/audit?action=incident.resolve")
    assert {record["reason"] for record in audit["items"]} == {"one cause, known"}
    assert len(audit["items"]) == 3
