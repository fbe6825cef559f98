"""What people repeat for one reason is counted, and proposed for automation by a ticket, once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from common.clock import SystemClock
from common.postgres import Database
from common.service import ProposeAutomation
from notifier.api import ATTENTION, NAME
from tests.integration.notifier.factories import MakeKit
from tests.integration.notifier.people import settings_for
from tests.support.servers import eventually


async def test_an_act_repeated_ten_times_becomes_one_ticket_for_the_developers(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    kit = await make_kit(**settings_for(tmp_path), language="en", development_queue="TRAVELDEV")
    body: dict[str, Any] = {"text": "Позвоните магазину.", "call": False}
    for number in range(10):
        status, _ = await kit.call(
            "PUT", f"/admin/v1/instructions/problem.k{number}", body={**body, "reason": f"Store  {number} asked for it"}
        )
        assert status == 200
    for number in range(12):  # an act that only a person can do
        ticket = {"summary": f"Request {number}", "reason": "a customer called"}
        assert (await kit.call("POST", "/admin/v1/tickets", body=ticket))[0] == 201
    _, counted = await kit.call("GET", "/admin/v1/repeated-acts", role="viewer")
    [act] = counted["items"]
    assert (act["action"], act["reason"], act["times"], act["people"]) == (
        "instruction.change",
        "store # asked for it",
        10,
        ["oleg"],
    )
    assert act["latest"][0] == "instruction:problem.k9"
    assert (await kit.call("GET", "/admin/v1/repeated-acts?at_least=11"))[1]["items"] == []

    # Whatever replica looks, and however often.
    database = Database(kit.dsn, application_name="test")
    await database.open()
    try:
        jobs = [
            ProposeAutomation(database=database, service=NAME, clock=SystemClock(), apart=ATTENTION) for _ in range(2)
        ]
        assert [await job() for job in (*jobs, *jobs)] == [1, 1, 0, 0]
    finally:
        await database.close()

    async def proposed() -> dict[str, Any]:
        page = (await kit.call("GET", "/admin/v1/tickets?queue=TRAVELDEV"))[1]["items"]
        assert len(page) == 1
        return dict(page[0])

    found = await eventually(proposed)
    assert (found["key"], found["kind"]) == ("TRAVELDEV-1", "problem.acts.repeated")
    assert "instruction.change" in found["description"]
    assert "automate" in found["description"]
    assert re.search("[а-яё]", found["description"], re.IGNORECASE) is None
    assert "store # asked for it" in found["description"]
    rows = await kit.fetch("SELECT occurrences, severity FROM incidents WHERE kind = 'problem.acts.repeated'")
    assert rows == [{"occurrences": 1, "severity": "info"}]
