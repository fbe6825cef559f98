"""In a roll-out a newer release writes states that this one does not know: shown as they are written, and people can act."""

from __future__ import annotations

from pathlib import Path

from tests.integration.notifier.factories import MakeKit
from tests.integration.notifier.people import crashed, settings_for
from tests.support.servers import eventually


async def test_an_incident_in_a_state_of_a_newer_release_is_shown_and_resolved(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    kit = await make_kit(**settings_for(tmp_path))
    await kit.publish(crashed())

    async def opened() -> bool:
        return (await kit.call("GET", "/admin/v1/incidents/1", role="viewer"))[0] == 200

    await eventually(opened)
    await kit.fetch("ALTER TABLE incidents DROP CONSTRAINT incidents_state_check")
    await kit.fetch("UPDATE incidents SET state = 'handed_over' WHERE id = 1")
    for path in ("incidents", "incidents/1", "incident-groups?by=state"):
        status, said = await kit.call("GET", f"/admin/v1/{path}", role="viewer")
        assert (status, "handed_over" in str(said)) == (200, True), (path, said)
    body = {"ids": [1], "reason": "it is mended", "dry_run": False}
    status, said = await kit.call("POST", "/admin/v1/incidents/resolve", body=body)
    assert (status, said["items"][0]["detail"]) == (200, "was handed_over")
