"""The duty roster on real servers: announced once by two replicas, confirmed or sent back, gaps notified in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.integration.notifier.factories import Kit, MakeKit
from tests.integration.notifier.people import answers, monday, phoned, press, put_roster, settings_for
from tests.support.servers import eventually

ON_CALL = -1001000000901


async def announcements(kit: Kit, count: int) -> list[str]:
    """Wait for so many messages about the duty."""

    async def probe() -> list[str]:
        texts = [text for text in await kit.texts(ON_CALL) if "📟" in text]
        assert len(texts) >= count, texts
        return texts

    return await eventually(probe)


async def test_a_shift_is_announced_once_a_swap_anew_and_what_nobody_confirms_goes_back(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    kit = await make_kit(replicas=2, **settings_for(tmp_path, handover_patience=1.0))
    # The running week is Anna's, the one before was Oleg's, the next but one is nobody's.
    this = monday().date()
    gap = (this + timedelta(weeks=2)).isoformat()
    roster = await put_roster(
        kit,
        "oleg",
        "anna",
        first_week=(this - timedelta(weeks=1)).isoformat(),
        weeks={gap: {"on_duty": None}},
    )
    assert [shift["on_duty"] for shift in roster["shifts"]][:3] == ["anna", "oleg", None]
    assert len(roster["gaps"]) == 1
    first, second = await announcements(kit, 2)
    lines = first.splitlines()
    assert lines[0] == "<b>📟 [production] Oleg (@oleg), дежурство принимает Anna (@anna)</b>"
    assert lines[1].startswith("До ")
    assert [line.partition(":")[0] for line in lines[2:-1]] == ["Запасной", "Следующий", "⚠️ Нет дежурного"]
    assert lines[-1] == "Anna (@anna), подтвердите, пожалуйста"
    # Nobody confirmed it within a second: the previous person answers again and is phoned.
    assert second == ("<b>📟 [production] Anna (@anna) не подтвердил(а) дежурство; пока отвечает Oleg (@oleg)</b>")

    async def rung() -> bool:
        return await phoned(kit) == ["+79990000001"]

    await eventually(rung)
    _, view = await kit.call("GET", "/admin/v1/on-call", role="viewer")
    assert (view["on_duty"]["id"], view["previous"]["id"], view["confirmed"]) == ("anna", "oleg", False)

    await press(kit, "🤝", user="boris")
    await press(kit, "🤝", user="anna", twice=True)

    async def confirmed() -> bool:
        _, now = await kit.call("GET", "/admin/v1/on-call", role="viewer")
        return bool(now["confirmed"]) and now["previous"] is None

    await eventually(confirmed)

    async def answered() -> list[str]:
        said = await answers(kit)
        assert len(said) == 2, said
        return said

    assert sorted(await eventually(answered)) == ["Дежурство принято, спасибо", "Подтвердить может только Anna"]
    audit = (await kit.call("GET", "/admin/v1/audit?action=handover.confirm"))[1]["items"]
    assert [(record["actor"], record["target"], record["after"]) for record in audit] == [
        ("anna", "handover:1", {"confirmed": True, "person": "anna"})
    ]

    # At the last moment Boris takes the rest of the week: another shift, announced once, by whichever replica.
    now = datetime.now(UTC)
    body: dict[str, Any] = {
        "person": "boris",
        "starts_at": now.isoformat(),
        "ends_at": (now + timedelta(hours=1)).isoformat(),
        "reason": "Anna is ill",
    }
    status, made = await kit.call("POST", "/admin/v1/roster/overrides", body={**body, "dry_run": True})
    assert (status, made["dry_run"]) == (200, True)
    status, made = await kit.call("POST", "/admin/v1/roster/overrides", body=body)
    assert (status, [item["person"] for item in made["items"]]) == (200, ["boris"])
    third = (await announcements(kit, 3))[2]
    assert third.startswith("<b>📟 [production] Anna (@anna), дежурство принимает Boris (@boris)</b>")
    rows = await kit.fetch("SELECT transition, count(*) AS n FROM notices WHERE kind = 'roster.handover' GROUP BY 1")
    assert {row["transition"] for row in rows} == {"announced", "unconfirmed"}
    handovers = await kit.fetch("SELECT person, previous FROM handovers ORDER BY id")
    assert [(row["person"], row["previous"]) for row in handovers] == [("anna", "oleg"), ("boris", "anna")]


async def test_a_confirmation_while_a_call_waits_drops_the_call_and_says_so(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(**settings_for(tmp_path, handover_patience=1.0))
    await kit.sandbox.fault("calls", mode="rate_limit", delay_s=6)
    await put_roster(kit, "oleg", "anna", first_week=(monday().date() - timedelta(weeks=1)).isoformat())

    async def waits() -> bool:
        soon = datetime.now(UTC) + timedelta(seconds=3)
        calls = [(call["person"], call["state"], call["not_before"]) for call in await kit.fetch("SELECT * FROM calls")]
        return [(person, state, again > soon) for person, state, again in calls] == [("oleg", "waiting", True)]

    await eventually(waits)
    confirm, why = "/admin/v1/roster/handovers/confirm", {"reason": "Anna said so by phone"}
    for rehearsal in ({"dry_run": True}, {}):  # by Oleg, who hands over
        status, refused = await kit.call("POST", confirm, body=why | rehearsal)
        assert (status, refused["detail"].partition(":")[0]) == (409, "who hands over does not confirm")
    _, view = await kit.call("GET", "/admin/v1/on-call", role="viewer")
    assert (view["handed_over_by"], view["confirmed"]) == ("oleg", False)
    status, plan = await kit.call("POST", confirm, role="admin", body={**why, "dry_run": True})
    assert (status, plan["person"], plan["dry_run"]) == (200, "anna", True)
    assert [line for line in plan["notices"] if line.startswith("call.dropped ")] == [
        "call.dropped of handover:1: oleg"
    ], plan
    status, done = await kit.call("POST", confirm, role="admin", body=why)
    assert (status, done["notices"]) == (200, plan["notices"])

    async def ended() -> bool:
        return [call["state"] for call in await kit.fetch("SELECT * FROM calls")] == ["needless"]

    await eventually(ended)
    await kit.sandbox.heal("calls")
    assert await phoned(kit) == []
    status, again = await kit.call("POST", confirm, role="admin", body=why)
    assert (status, again["notices"]) == (200, [])


async def test_a_gap_is_a_problem_before_it_begins_and_ends_when_somebody_is_named(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    kit = await make_kit(replicas=2, **settings_for(tmp_path, roster_preflight=8 * 86400.0))
    this = monday().date()
    following = (this + timedelta(weeks=1)).isoformat()
    await put_roster(kit, "oleg", weeks={following: {"on_duty": None}})

    async def raised() -> list[dict[str, Any]]:
        rows = await kit.fetch("SELECT kind, severity, state FROM incidents")
        assert rows
        return rows

    assert await eventually(raised) == [{"kind": "problem.roster", "severity": "critical", "state": "open"}]
    status, answer = await kit.call(
        "POST", "/admin/v1/roster/overrides", body={"swap": [this.isoformat(), this.isoformat()], "reason": "a slip"}
    )
    assert (status, answer["detail"]) == (422, "a week cannot be swapped with itself")
    await put_roster(kit, "oleg", "anna")

    async def over() -> bool:
        return [row["state"] for row in await kit.fetch("SELECT state FROM incidents")] == ["resolved"]

    await eventually(over)


async def test_the_mirror_shows_names_and_no_phones_and_strangers_change_nothing(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    kit = await make_kit(**settings_for(tmp_path))
    async with kit.sandbox.session.get(f"{kit.url}/on-call") as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
    await put_roster(kit, "oleg", "anna")
    for path, kind in (("/on-call", "text/html"), ("/on-call.ics", "text/calendar")):
        async with kit.sandbox.session.get(kit.url + path) as answer:
            text = await answer.text()
            assert (answer.status, answer.content_type) == (200, kind)
            assert "Oleg" in text
            assert "799900000" not in text
    async with kit.sandbox.session.get(f"{kit.url}/on-call", headers={"Accept": "application/json"}) as answer:
        assert (await answer.json())["items"][0]["on_duty"] == "Oleg"
    body = {"first_week": monday().date().isoformat(), "rotation": ["mallory"], "reason": "for a test"}
    assert (await kit.call("PUT", "/admin/v1/roster", role="viewer", body=body))[0] == 403
    status, problem = await kit.call("PUT", "/admin/v1/roster", body=body)
    assert (status, problem["detail"]) == (422, "not in the directory of people: mallory")
    status, problem = await kit.call(
        "PUT", "/admin/v1/roster", body={**body, "rotation": ["oleg"], "expected_version": 7}
    )
    assert (status, problem["detail"]) == (409, "the roster is at version 1")
    assert (await kit.call("POST", "/admin/v1/roster/handovers/confirm", role="viewer", body={"reason": "abc"}))[
        0
    ] == 403
    _, view = await kit.call("GET", "/admin/v1/on-call", role="viewer")
    assert (view["on_duty"], view["backup"]["id"]) == ({"id": "oleg", "name": "Oleg", "phone": "+79990000001"}, "anna")
