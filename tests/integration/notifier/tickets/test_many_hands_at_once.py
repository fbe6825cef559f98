"""Several people act on one ticket and its incident at once, at two replicas: each act is done or refused, and all agree."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from common.contracts.alerts import ProblemResolvedV1
from tests.integration.notifier.factories import NOW, Kit, MakeKit
from tests.integration.notifier.people import crashed, monday, settings_for
from tests.support.servers import eventually

ROUNDS = 8


async def send(
    kit: Kit, replica: int, path: str, who: str = "oleg", *, method: str = "POST", **body: Any
) -> tuple[int, Any]:
    """Act at a replica, as somebody."""
    url = kit.applications[replica].url + path
    headers = {"Authorization": f"Bearer {who}-token"}
    reason = {} if "text" in body else {"reason": "in a hurry"}
    async with kit.sandbox.session.request(method, url, json=reason | body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_whatever_many_people_do_at_once_is_done_or_refused_and_all_agree(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    tokens = tmp_path / "people-tokens.json"
    people = [{"name": name, "token": f"{name}-token", "role": "operator"} for name in ("oleg", "anna")]
    tokens.write_text(json.dumps({"tokens": people}))
    settings = settings_for(tmp_path, tokens_file=tokens)
    kit = await make_kit(replicas=2, telegram_token=None, slack_token=None, **settings)
    await send(
        kit, 0, "/admin/v1/roster", method="PUT", first_week=monday().date().isoformat(), rotation=["oleg", "anna"]
    )
    await kit.publish(*(crashed(n, order_number=f"ORDER{n}") for n in range(ROUNDS)))

    async def opened() -> list[dict[str, Any]]:
        page = (await kit.call("GET", "/admin/v1/tickets?limit=50", role="oleg"))[1]["items"]
        assert len(page) == ROUNDS
        return list(page)

    for found in await eventually(opened):
        ticket, incident = f"/admin/v1/tickets/{found['key']}", f"/admin/v1/incidents/{found['incident_id']}"
        over = ProblemResolvedV1(
            fingerprint=f"workflow:{found['order_number'][5:]}",
            summary="retried",
            service="orchestrator",
            occurred_at=NOW + timedelta(minutes=9),
        )
        answers = await asyncio.gather(
            send(kit, 0, f"{ticket}/close"),
            send(kit, 1, f"{ticket}/close"),
            send(kit, 0, f"{ticket}/comments", "anna", text="Звонить не нужно"),
            send(kit, 1, f"{ticket}/comments", text="Разбираюсь с проблемой. Звонить не нужно."),
            send(kit, 0, f"{ticket}/summon"),
            send(kit, 1, f"{ticket}/summon"),
            send(kit, 1, f"{ticket}/assign", assignee="anna"),
            send(kit, 0, f"{ticket}/development-ticket"),
            send(kit, 1, f"{ticket}/development-ticket"),
            send(kit, 0, f"{incident}/ack", "anna"),
            send(kit, 1, f"{incident}/ack"),
            send(kit, 0, f"{incident}/resolve", "anna"),
            kit.publish(over),
        )
        told = [answer for answer in answers if answer is not None]
        assert {status for status, _ in told} <= {200, 201, 409}, told
        assert sum(status == 200 for status, _ in told[:2]) <= 1
        assert sum(status == 200 for status, _ in told[7:9]) == 1

    async def agree() -> bool:
        rows = await kit.fetch(
            "SELECT t.state, t.queue, i.state AS incident, s.state AS summons FROM tickets AS t"
            " LEFT JOIN incidents AS i ON i.id = t.incident_id LEFT JOIN incidents AS s ON s.id = t.summons_id"
        )
        mine = [row for row in rows if row["queue"] == "TRAVELORDERSUP"]
        assert [(row["state"], row["incident"]) for row in mine] == [("closed", "resolved")] * ROUNDS
        # A ticket that is closed summons nobody.
        assert {row["summons"] for row in mine} <= {None, "resolved"}
        return True

    await eventually(agree)

    # A problem that ends by itself takes its ticket with it, and the summons to that: nobody is phoned for it any more.
    await kit.publish(crashed(99, order_number="ORDER99"))

    async def last() -> str:
        found = (await kit.call("GET", "/admin/v1/tickets?order=ORDER99", role="oleg"))[1]["items"]
        assert len(found) == 1
        return str(found[0]["key"])

    key = await eventually(last)
    assert (await send(kit, 0, f"/admin/v1/tickets/{key}/summon"))[0] == 200
    await kit.publish(
        ProblemResolvedV1(
            fingerprint="workflow:99", summary="retried", service="orchestrator", occurred_at=NOW + timedelta(minutes=9)
        )
    )

    async def nobody_is_summoned() -> bool:
        [row] = await kit.fetch(
            "SELECT t.state, s.state AS summons FROM tickets AS t JOIN incidents AS s ON s.id = t.summons_id WHERE t.key = $1",
            key,
        )
        assert (row["state"], row["summons"]) == ("closed", "resolved")
        return True

    await eventually(nobody_is_summoned)
