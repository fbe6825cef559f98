"""People and routes change while notifiers run: by their files, and by an admin; a broken file changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import icalendar

from tests.integration.notifier.factories import ONE_CHAT, PICKERS, STORE, Kit, MakeKit, a_problem
from tests.integration.notifier.people import DIRECTORY, a_person, put_roster, settings_for
from tests.support.servers import eventually


def replaced(file: Path, content: str) -> None:
    """Put a new file in the place of one, as a deployment does."""
    new = file.with_suffix(".new")
    new.write_text(content)
    new.replace(file)


async def people_of(kit: Kit, replica: int = 0, role: str = "admin") -> dict[str, Any]:
    """What one replica answers."""
    url = f"{kit.applications[replica].url}/admin/v1/people"
    async with kit.sandbox.session.get(url, headers={"Authorization": f"Bearer {role}-token"}) as answer:
        assert answer.status == 200
        return dict(await answer.json())


async def names(kit: Kit, *expected: str) -> None:
    """Wait until both replicas know these people, and answer by them."""

    async def probe() -> bool:
        for replica in (0, 1):
            assert [person["name"] for person in (await people_of(kit, replica))["people"]] == list(expected)
        return True

    await eventually(probe)


async def broken(kit: Kit, file: str, value: int) -> None:
    """Wait until the metric says whether a file is broken."""

    async def probe() -> bool:
        async with kit.sandbox.session.get(f"{kit.url}/metrics") as answer:
            assert f'configuration_file_broken{{file="{file}"}} {value}.0' in await answer.text()
        return True

    await eventually(probe)


async def on_call_feed(kit: Kit, replica: int) -> set[tuple[int, str]]:
    """SEQUENCE and name of the calendar's events, as one replica answers them."""
    async with kit.sandbox.session.get(f"{kit.applications[replica].url}/on-call.ics") as answer:
        assert answer.status == 200
        events = icalendar.Calendar.from_ical(await answer.read()).events
    return {(int(str(event["SEQUENCE"])), str(event["SUMMARY"])) for event in events}


async def test_people_are_edited_by_file_and_by_an_admin_without_restart(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(replicas=2, **settings_for(tmp_path))
    file, known = tmp_path / "people.json", ("Oleg", "Anna", "Boris", "Vera")
    await put_roster(kit, "oleg", "anna")
    await names(kit, *known)
    # The file: a new colleague, then a broken one, which changes nothing.
    more = {**DIRECTORY, "people": [*DIRECTORY["people"], a_person("clara", phone=None)]}
    replaced(file, json.dumps(more))
    await names(kit, *known, "Clara")
    replaced(file, json.dumps({**more, "seniors": ["mallory"]}))
    await broken(kit, "people", 1)
    await names(kit, *known, "Clara")
    replaced(file, json.dumps(more))
    await broken(kit, "people", 0)

    # An admin: what is shown can be put back, changed; the tokens stay those of the file.
    shown = await people_of(kit)
    assert "token" not in json.dumps(shown).replace("has_token", "")
    assert {person["phone"] for person in (await people_of(kit, role="viewer"))["people"]} == {None}
    body = {name: shown[name] for name in ("people", "owners", "seniors")}
    body["people"] = [
        {**person, "phone": "+79990000009"} if person["id"] == "oleg" else person for person in body["people"]
    ]
    body |= {"reason": "Oleg has another phone", "expected_version": 0}
    assert (await kit.call("PUT", "/admin/v1/people", body=body))[0] == 403
    status, preview = await kit.call("PUT", "/admin/v1/people", role="admin", body={**body, "dry_run": True})
    assert (status, preview["changed"]) == (200, {"oleg": ["phone"]})
    status, answer = await kit.call("PUT", "/admin/v1/people", role="admin", body=body)
    assert (status, answer["version"], answer["changed"]) == (200, 1, {"oleg": ["phone"]}), answer
    _, view = await kit.call("GET", "/admin/v1/on-call", role="viewer")
    assert view["on_duty"]["phone"] == "+79990000009"
    assert (await kit.call("PUT", "/admin/v1/people", role="admin", body=body))[0] == 409  # it is at version 1 now
    unnamed = {**body, "expected_version": 1, "people": [each for each in body["people"] if each["id"] != "anna"]}
    status, problem = await kit.call("PUT", "/admin/v1/people", role="admin", body={**unnamed, "seniors": []})
    assert (status, problem["detail"]) == (409, "still on the roster: anna")
    status, problem = await kit.call("PUT", "/admin/v1/people", role="admin", body=unnamed)
    assert (status, problem["detail"]) == (422, "seniors names 'anna', who is not among the people")
    [record] = (await kit.call("GET", "/admin/v1/audit?action=people.change"))[1]["items"]
    assert (record["actor"], record["after"]["changed"]) == ("ada", {"oleg": ["phone"]})
    assert "+7999" not in json.dumps(record)

    async def everywhere() -> bool:
        for replica in (0, 1):
            view = await people_of(kit, replica)
            assert (view["origin"], view["version"]) == ("put", 1)
            assert view["people"][0]["phone"] == "+79990000009"
            assert [person["has_token"] for person in view["people"]] == [True] * 5
        return True

    await eventually(everywhere)
    # Calendars that follow the feed take a new name over: SEQUENCE grows with it, whichever replica is asked.
    before = await on_call_feed(kit, 0)
    assert {who for _, who in before} == {"Oleg", "Anna"}
    assert await on_call_feed(kit, 1) == before
    people = [{**each, "name": "Olga"} if each["id"] == "oleg" else each for each in body["people"]]
    renamed = {**body, "people": people, "reason": "another name", "expected_version": 1}
    assert (await kit.call("PUT", "/admin/v1/people", role="admin", body=renamed))[0] == 200
    await names(kit, "Olga", "Anna", "Boris", "Vera", "Clara")
    after = await on_call_feed(kit, 1)
    assert {who for _, who in after} == {"Olga", "Anna"}
    assert {number for number, _ in after} == {max(number for number, _ in before) + 1}
    assert await on_call_feed(kit, 0) == after
    # A changed file holds again.
    replaced(file, json.dumps(DIRECTORY))
    await names(kit, *known)
    assert (await people_of(kit))["origin"] == "file"


async def test_routes_are_read_again_and_a_broken_file_keeps_the_former_ones(make_kit: MakeKit, tmp_path: Path) -> None:
    kit = await make_kit(replicas=2, routes=ONE_CHAT)
    file = tmp_path / "routes.json"
    replaced(file, json.dumps({**ONE_CHAT, "routes": [{"name": "nowhere", "to": ["mallory"]}]}))
    await broken(kit, "routes", 1)
    await kit.publish(a_problem("p:1"))

    async def told(chat: int, count: int) -> bool:
        assert len(await kit.texts(chat)) == count
        return True

    await eventually(lambda: told(PICKERS, 1))
    other: dict[str, Any] = {
        "destinations": {"all": {"channel": "telegram", "address": str(STORE)}},
        "routes": ONE_CHAT["routes"],
    }
    replaced(file, json.dumps(other))
    await broken(kit, "routes", 0)

    async def read_by_both(text: str) -> bool:
        for application in kit.applications:
            url = f"{application.url}/admin/v1/routes/dry-run"
            body = {"kind": "problem.any", "severity": "critical"}
            headers = {"Authorization": "Bearer operator-token"}
            async with kit.sandbox.session.post(url, json=body, headers=headers) as answer:
                assert text in await answer.text()
        return True

    await eventually(lambda: read_by_both(str(STORE)))
    await kit.publish(a_problem("p:2"))
    await eventually(lambda: told(STORE, 1))
    assert await told(PICKERS, 1)

    # A fallback of the next file holds too, without a restart.
    await kit.sandbox.control("PUT", f"/sandbox/telegram/chats/{STORE}", {"state": "blocked"})
    destinations = {**other["destinations"], "pickers": {"channel": "telegram", "address": str(PICKERS)}}
    destinations["all"] = {**destinations["all"], "fallback": "pickers"}
    replaced(file, json.dumps({"destinations": destinations, "routes": [{"name": "renamed", "to": ["all"]}]}))
    await eventually(lambda: read_by_both("renamed"))
    await kit.publish(a_problem("p:3"))
    await eventually(lambda: told(PICKERS, 2))
