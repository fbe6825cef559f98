"""Two people decide about one ticket, one instruction, one roster: the second one's look has grown old, and nothing of hers is done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.integration.notifier.factories import Kit, MakeKit
from tests.integration.notifier.people import put_roster, settings_for

WHY = {"reason": "two at once"}
INSTRUCTION = "/admin/v1/instructions/workflow.crashed"
OVERRIDES = "/admin/v1/roster/overrides"


async def read(kit: Kit, path: str) -> dict[str, Any]:
    """What an address answers."""
    status, answer = await kit.call("GET", path)
    assert status == 200, answer
    return dict(answer)


async def test_the_second_of_two_looks_at_a_ticket_changes_nothing(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(**settings_for(tmp_path))
    await put_roster(kit, "oleg", "anna")
    assert (await kit.call("POST", "/admin/v1/tickets", body={**WHY, "summary": "The customer waits"}))[0] == 201
    ticket = "/admin/v1/tickets/TRAVELSUP-1"
    looked = {**WHY, "expected_version": (await read(kit, ticket))["version"]}
    assert (await kit.call("POST", f"{ticket}/assign", body={**looked, "assignee": "anna"}))[0] == 200
    developed = {"development_ticket": "DEV-1"}
    for act, body in (("assign", {"assignee": "oleg"}), ("link", developed), ("links", developed)):
        for manner in ({}, {"dry_run": True}):
            status, problem = await kit.call("POST", f"{ticket}/{act}", body={**looked, **body, **manner})
            assert (status, problem["code"]) == (409, "changed_since")
    now = await read(kit, ticket)
    assert (now["assignee"], now["development_ticket"], now["version"]) == (
        "anna",
        None,
        looked["expected_version"] + 1,
    )
    again = {**WHY, "expected_version": now["version"], "development_ticket": "DEV-1"}
    assert (await kit.call("POST", f"{ticket}/link", body=again))[0] == 200


async def test_the_second_of_two_looks_at_an_instruction_or_the_roster_changes_nothing(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    kit = await make_kit(**settings_for(tmp_path))
    await put_roster(kit, "oleg", "anna")
    none_yet = {**WHY, "expected_version": 0}
    assert (await kit.call("PUT", INSTRUCTION, body={**none_yet, "text": "Call the shop."}))[0] == 200
    status, problem = await kit.call("PUT", INSTRUCTION, body={**none_yet, "text": None})
    assert (status, problem["code"]) == (409, "changed_since")
    [kept] = (await read(kit, "/admin/v1/instructions"))["items"]
    assert (kept["text"], kept["version"]) == ("Call the shop.", 1)

    looked = {**WHY, "expected_version": (await read(kit, "/admin/v1/roster"))["revision"]}
    now = datetime.now(UTC)
    span = {"starts_at": (now - timedelta(minutes=1)).isoformat(), "ends_at": (now + timedelta(hours=1)).isoformat()}
    assert (await kit.call("POST", OVERRIDES, body={**looked, **span, "person": "anna"}))[0] == 200
    status, problem = await kit.call("POST", OVERRIDES, body={**looked, **span, "person": "boris"})
    assert (status, problem["code"]) == (409, "changed_since")
    roster = await read(kit, "/admin/v1/roster")
    assert [each["person"] for each in roster["overrides"]] == ["anna"]
    fresh = {**looked, "expected_version": roster["revision"], **span, "person": "boris"}
    assert (await kit.call("POST", OVERRIDES, body=fresh))[0] == 200
