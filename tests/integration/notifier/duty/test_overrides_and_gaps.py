"""Overrides, swaps and gaps through the admin addresses: who answers, what is told, and how a mistake is taken back."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import icalendar
import pytest

from tests.integration.notifier.factories import Kit, MakeKit
from tests.integration.notifier.people import OVERRIDES, monday, override, phoned, put_roster, settings_for
from tests.support.servers import eventually

PREFLIGHT = timedelta(days=8)


@pytest.fixture
async def kit(make_kit: MakeKit, tmp_path: Path) -> Kit:
    """Two notifiers that look eight days ahead for gaps."""
    return await make_kit(replicas=2, **settings_for(tmp_path, roster_preflight=PREFLIGHT.total_seconds()))


async def on_call(kit: Kit) -> list[str | None]:
    """Who is on duty now, and who is the backup."""
    status, view = await kit.call("GET", "/admin/v1/on-call", role="viewer")
    assert status == 200, view
    return [None if view[place] is None else view[place]["id"] for place in ("on_duty", "backup")]


async def problems(kit: Kit, *expected: tuple[str, str]) -> None:
    """Wait until the roster's problems are these: (state, a word of the summary), oldest first."""

    async def probe() -> bool:
        rows = await kit.fetch("SELECT state, summary FROM incidents WHERE kind = 'problem.roster' ORDER BY id")
        assert [row["state"] for row in rows] == [state for state, _ in expected], rows
        assert all(word in row["summary"] for row, (_, word) in zip(rows, expected, strict=True)), rows
        return True

    await eventually(probe)


async def sequence(kit: Kit) -> tuple[int, list[str]]:
    """The SEQUENCE of the calendar's events, and what each shows."""
    async with kit.sandbox.session.get(f"{kit.url}/on-call.ics") as answer:
        assert answer.status == 200
        events = icalendar.Calendar.from_ical(await answer.read()).events
    assert {str(event["TRANSP"]) for event in events} == {"TRANSPARENT"}
    [number] = {int(str(event["SEQUENCE"])) for event in events}
    return number, [str(event["SUMMARY"]) for event in events]


async def test_time_before_the_plan_is_a_gap_that_is_told_and_overrides_hold_there(kit: Kit) -> None:
    first, shown = await sequence(kit)
    assert shown
    assert set(shown) == {"Нет дежурного"}
    # An override stands, without any plan; then a plan is made that begins in five weeks.
    status, _ = await override(kit, "oleg", timedelta(hours=-1), timedelta(days=1))
    assert (status, await on_call(kit)) == (200, ["oleg", None])
    begins = monday().date() + timedelta(weeks=5)
    roster = await put_roster(kit, "anna", "boris", first_week=begins.isoformat())
    assert await on_call(kit) == ["oleg", None]
    assert [shift["on_duty"] for shift in roster["shifts"] if shift["on_duty"] is not None][:3] in (
        ["oleg", "anna", "boris"],
        ["oleg", "oleg", "anna"],  # today a week ends
    )
    gaps = [datetime.fromisoformat(gap["starts_at"]) for gap in roster["gaps"]]
    assert abs(gaps[0] - datetime.now(UTC) - timedelta(days=1)) < timedelta(minutes=5)
    assert datetime.fromisoformat(roster["gaps"][-1]["ends_at"]).date() == begins
    near = [gap for gap in gaps if gap < datetime.now(UTC) + PREFLIGHT]
    assert near
    await problems(kit, *(("open", "Нет дежурного") for _ in near))
    # A plan from this week on mends all of it.
    await put_roster(kit, "anna", "boris")
    await problems(kit, *(("resolved", "Нет дежурного") for _ in near))
    last, _ = await sequence(kit)
    assert last > first


async def test_overrides_last_whole_seconds_and_a_take_over_to_their_end_leaves_no_sliver(kit: Kit) -> None:
    await put_roster(kit, "anna", "boris")
    ends = datetime.now(UTC).replace(microsecond=272552) + timedelta(hours=1)
    body = {"person": "oleg", "starts_at": datetime.now(UTC).isoformat(), "ends_at": ends.isoformat()}
    status, made = await kit.call("POST", OVERRIDES, body={**body, "reason": "for a test"})
    assert status == 200, made
    [item] = made["items"]
    assert [datetime.fromisoformat(item[at]).microsecond for at in ("starts_at", "ends_at")] == [0, 0]
    assert datetime.fromisoformat(item["ends_at"]) == ends.replace(microsecond=0) + timedelta(seconds=1)
    _, now = await kit.call("GET", "/admin/v1/on-call", role="viewer")
    until = datetime.fromisoformat(now["until"]).replace(microsecond=0)  # as a page's field has it
    body = {"person": "vera", "starts_at": datetime.now(UTC).isoformat(), "ends_at": until.isoformat()}
    assert (await kit.call("POST", OVERRIDES, body={**body, "reason": "for a test"}))[0] == 200
    _, now = await kit.call("GET", "/admin/v1/on-call", role="viewer")
    assert (now["on_duty"]["id"], datetime.fromisoformat(now["until"])) == ("vera", until)
    _, roster = await kit.call("GET", "/admin/v1/roster", role="viewer")
    people = [shift["on_duty"] for shift in roster["shifts"]]
    assert people[people.index("vera") + 1] in ("anna", "boris")


async def test_a_problem_of_a_shift_that_no_longer_exists_ends(kit: Kit) -> None:
    # The week changes hands at an hour that the override does not reach, or it would be two shifts without a phone.
    handover = datetime.now(UTC) + timedelta(hours=12)
    first_week = (monday().date() - timedelta(weeks=1)).isoformat()
    await put_roster(kit, "oleg", "anna", first_week=first_week, zone="UTC", starts=f"{handover:%H:%M}")
    status, _ = await override(kit, "vera", timedelta(hours=1), timedelta(hours=9))  # who has no phone
    assert status == 200
    await problems(kit, ("open", "Vera"))
    # Mended by overrides that cut the time elsewhere.
    status, _ = await override(kit, "anna", timedelta(minutes=30), timedelta(hours=5))
    assert status == 200
    status, _ = await override(kit, "boris", timedelta(hours=4), timedelta(hours=12))
    assert status == 200
    await problems(kit, ("resolved", "Vera"))


async def test_a_problem_of_an_override_ends_with_it_where_there_is_no_plan(kit: Kit) -> None:
    status, made = await override(kit, "vera", timedelta(hours=1), timedelta(hours=9))  # who has no phone
    assert status == 200

    async def told() -> set[str]:
        rows = await kit.fetch("SELECT state FROM incidents WHERE kind = 'problem.roster' AND summary LIKE '%Vera%'")
        return {row["state"] for row in rows}  # two where the week changes hands within it

    async def opened() -> bool:
        return await told() == {"open"}

    await eventually(opened)
    path = f"{OVERRIDES}/{made['items'][0]['id']}"
    assert (await kit.call("DELETE", path, body={"reason": "named the wrong person"}))[0] == 200

    async def over() -> bool:
        rows = await kit.fetch("SELECT state FROM incidents WHERE kind = 'problem.roster'")
        return {row["state"] for row in rows} == {"resolved"}  # the gaps around it too

    await eventually(over)


async def test_a_mistaken_override_is_taken_back_and_nobody_is_phoned_for_it(kit: Kit) -> None:
    await put_roster(kit, "oleg", "anna", first_week=(monday().date() - timedelta(weeks=2)).isoformat())
    assert await on_call(kit) == ["oleg", "anna"]
    status, made = await override(kit, "boris", timedelta(hours=-1), timedelta(hours=3))
    assert (status, await on_call(kit)) == (200, ["boris", "anna"])
    running = f"{OVERRIDES}/{made['items'][0]['id']}"
    status, made = await override(kit, "boris", timedelta(hours=5), timedelta(hours=6))
    ahead = f"{OVERRIDES}/{made['items'][0]['id']}"
    before, _ = await sequence(kit)
    mistake = {"reason": "named the wrong person"}
    assert (await kit.call("DELETE", running, role="viewer", body=mistake))[0] == 403
    assert (await kit.call("DELETE", running, body={}))[0] == 422
    assert (await kit.call("DELETE", f"{OVERRIDES}/999999", body=mistake))[0] == 404
    status, preview = await kit.call("DELETE", running, body={**mistake, "dry_run": True})
    assert (status, preview["dry_run"], await on_call(kit)) == (200, True, ["boris", "anna"])
    for path in (running, ahead):
        status, answer = await kit.call("DELETE", path, body=mistake)
        assert (status, [item["person"] for item in answer["items"]]) == (200, ["boris"]), answer
    assert await on_call(kit) == ["oleg", "anna"]
    status, roster = await kit.call("GET", "/admin/v1/roster")
    assert roster["overrides"] == []
    assert {shift["on_duty"] for shift in roster["shifts"]} == {"oleg", "anna"}
    assert (await sequence(kit))[0] > before
    # Twice: the running one is history now, the other was never in force.
    assert [(await kit.call("DELETE", path, body=mistake))[0] for path in (running, ahead)] == [409, 404]
    _, audit = await kit.call("GET", "/admin/v1/audit?action=roster.override.delete")
    assert [(record["actor"], record["reason"], record["before"]["person"]) for record in audit["items"]] == [
        ("oleg", "named the wrong person", "boris")
    ] * 2
    assert [record["after"] is None for record in audit["items"]] == [True, False]  # newest first: ahead, running

    # Boris was announced; he is not waited for, and the person before him is not phoned.
    async def ended() -> bool:
        rows = await kit.fetch("SELECT person, ended_at IS NOT NULL AS ended, escalated_at FROM handovers ORDER BY id")
        assert [(row["person"], row["ended"], row["escalated_at"]) for row in rows if row["person"] == "boris"] in (
            [("boris", True, None)],
            [],  # it was taken back before he was announced
        ), rows
        return True

    await eventually(ended)
    assert "+79990000003" not in await phoned(kit)


async def test_nobody_is_on_duty_and_backup_at_once_after_swaps_and_overrides(kit: Kit) -> None:
    this = monday().date()
    weeks = [(this + timedelta(weeks=ahead)).isoformat() for ahead in range(3)]
    await put_roster(kit, "oleg", "anna")
    status, made = await kit.call("POST", OVERRIDES, body={"swap": weeks[:2], "reason": "a wedding"})
    assert (status, [item["person"] for item in made["items"]]) == (200, ["anna", "oleg"])
    assert await on_call(kit) == ["anna", "oleg"]
    status, _ = await override(kit, "oleg", timedelta(minutes=-5), timedelta(hours=2))  # the backup himself
    assert (status, await on_call(kit)) == (200, ["oleg", "anna"])
    status, problem = await override(kit, "oleg", timedelta(hours=1), timedelta(hours=4), place="backup")
    assert (status, problem["detail"].startswith("oleg is on duty then (from ")) == (422, True)
    status, _ = await override(kit, "boris", timedelta(minutes=-5), timedelta(hours=1), place="backup")
    assert (status, await on_call(kit)) == (200, ["oleg", "boris"])
    status, _ = await override(kit, "boris", timedelta(minutes=-4), timedelta(hours=1))
    assert (status, await on_call(kit)) == (200, ["boris", "oleg"])
    _, roster = await kit.call("GET", "/admin/v1/roster")
    assert all(shift["on_duty"] != shift["backup"] for shift in roster["shifts"])
    both = {weeks[1]: {"on_duty": "anna", "backup": "anna"}}
    body = {"first_week": weeks[0], "rotation": ["oleg"], "weeks": both, "reason": "a slip"}
    status, problem = await kit.call("PUT", "/admin/v1/roster", body=body)
    assert (status, problem["detail"]) == (
        422,
        f"anna cannot be on duty and the backup at once (week of {weeks[1]})",
    )
    status, roster = await kit.call(
        "PUT", "/admin/v1/roster", body={**body, "weeks": {}, "rotation": ["oleg", "oleg"], "backups": ["oleg"]}
    )
    assert status == 200
    assert all(shift["on_duty"] != shift["backup"] for shift in roster["shifts"])


async def test_time_that_is_over_is_given_to_nobody(kit: Kit) -> None:
    await put_roster(kit, "oleg", "anna", first_week=(monday().date() - timedelta(weeks=4)).isoformat())
    over = [(monday().date() - timedelta(weeks=ago)).isoformat() for ago in (3, 2)]
    refused = [
        await override(kit, "anna", timedelta(days=-8), timedelta(minutes=-1)),
        await override(kit, None, timedelta(hours=-3), timedelta(hours=-2), place="backup"),
        await kit.call("POST", OVERRIDES, body={"swap": over, "reason": "a slip"}),
    ]
    assert [status for status, _ in refused] == [422] * 3
    assert all(problem["detail"].startswith("that time was over at ") for _, problem in refused)
    assert (await kit.call("GET", OVERRIDES, role="viewer"))[1]["items"] == []
    with_this_week = [over[0], monday().date().isoformat()]  # whose duty has to be given back still
    assert (await kit.call("POST", OVERRIDES, body={"swap": with_this_week, "reason": "owed"}))[0] == 200


@pytest.mark.parametrize("dry_run", [True, False])
async def test_who_is_on_duty_already_takes_nothing_over_and_is_told_until_when(kit: Kit, dry_run: bool) -> None:
    roster = await put_roster(
        kit, "oleg", "anna", weeks={monday().date().isoformat(): {"on_duty": "anna", "backup": "boris"}}
    )
    until = min(datetime.fromisoformat(each["ends_at"]) for each in roster["shifts"])
    ends = timedelta(seconds=min(60.0, (until - datetime.now(UTC)).total_seconds()))
    backup = (await on_call(kit))[1]
    for place, person, is_what in (("on_duty", "anna", "on duty"), ("backup", backup, "the backup")):
        status, refused = await override(kit, person, timedelta(), ends, place=place, dry_run=dry_run)
        assert status == 409, (place, person, refused)
        assert (status, refused["detail"].partition(", until ")[0]) == (409, f"{person} is {is_what} already")
        assert datetime.fromisoformat(refused["detail"].partition(", until ")[2]) >= until
    assert (await kit.call("GET", OVERRIDES, role="viewer"))[1]["items"] == []
    # Later, to a later end, or somebody else: each changes something, or may by then.
    status, _ = await override(kit, "anna", timedelta(hours=1), timedelta(hours=2), dry_run=dry_run)
    assert status == 200
    status, _ = await override(kit, "anna", timedelta(), timedelta(weeks=3), dry_run=dry_run)
    assert status == 200
    status, _ = await override(kit, "oleg", timedelta(), timedelta(hours=1), dry_run=dry_run)
    assert status == 200


async def test_of_two_who_put_one_person_on_duty_at_once_one_changes_the_roster(kit: Kit) -> None:
    await put_roster(kit, "oleg")
    now = datetime.now(UTC)
    body = {"person": "anna", "starts_at": now.isoformat(), "ends_at": (now + timedelta(minutes=50)).isoformat()}
    bodies = [{**body, "reason": reason} for reason in ("Oleg is ill", "Oleg has fallen ill")]
    answers = await asyncio.gather(*(kit.call("POST", OVERRIDES, body=each) for each in bodies))
    assert sorted(status for status, _ in answers) == [200, 409]
    assert len((await kit.call("GET", OVERRIDES, role="viewer"))[1]["items"]) == 1


async def test_of_two_who_swap_the_same_weeks_at_once_the_second_undoes_nothing(kit: Kit) -> None:
    await put_roster(kit, "oleg", "anna")
    one, other = ((monday().date() + timedelta(weeks=ahead)).isoformat() for ahead in (1, 2))

    async def swap(*weeks: str, replica: int = 0, **more: Any) -> tuple[int, Any]:
        """Swap weeks, at a replica."""
        body = {"swap": weeks, "reason": f"a wedding, {uuid.uuid4()}", **more}
        return await kit.call("POST", OVERRIDES, body=body, replica=replica)

    async def names() -> list[str]:
        """Who has these two weeks."""
        shifts = (await kit.call("GET", "/admin/v1/roster"))[1]["shifts"]
        return [shift["on_duty"] for shift in shifts][1:3]

    assert await names() == ["anna", "oleg"]
    answers = await asyncio.gather(swap(one, other), swap(other, one, replica=1), swap(one, other))
    assert sorted(status for status, _ in answers) == [200, 409, 409]
    assert await names() == ["oleg", "anna"]
    revision = (await kit.call("GET", "/admin/v1/roster"))[1]["revision"]
    for status, refused in answers:
        assert status == 200 or (refused["code"], f"version {revision}:" in refused["detail"]) == (
            "changed_since",
            True,
        )
    assert (await swap(one, other, dry_run=True))[0] == 409, "a plan says so too"
    # Both have looked at the same roster: one of them looks again. Who swaps back and says so may.
    back = await asyncio.gather(*(swap(one, other, expected_version=revision, replica=at) for at in (0, 1)))
    assert sorted(status for status, _ in back) == [200, 409]
    assert await names() == ["anna", "oleg"]
    # Weeks that somebody was put over are no swapped ones.
    third = (monday().date() + timedelta(weeks=3)).isoformat()
    assert (await swap(one, third))[0] == 200


async def test_what_has_begun_is_named_alike_in_the_plan_and_when_it_is_done(kit: Kit) -> None:
    await put_roster(kit, "oleg")
    now = datetime.now(UTC)
    body = {"person": "anna", "starts_at": (now - timedelta(minutes=6)).isoformat(), "reason": "for a test"}
    body["ends_at"] = (now + timedelta(hours=1)).isoformat()
    status, plan = await kit.call("POST", OVERRIDES, body={**body, "dry_run": True})
    assert status == 200
    status, done = await kit.call("POST", OVERRIDES, body=body)
    assert (status, done["replaced"]) == (200, plan["replaced"])
    starts = {datetime.fromisoformat(each["starts_at"]) for each in done["replaced"]}
    assert (now - timedelta(minutes=6)).replace(microsecond=0) in starts
