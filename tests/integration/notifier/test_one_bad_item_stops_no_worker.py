"""Poison among what the notifier's workers do one by one: the others are done, a person is told, and once mended it is done once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from notifier.buttons.answers import TelegramAnswers
from notifier.buttons.handle import HandleButtonAction
from notifier.duty.call_store import CallStore
from notifier.duty.place_calls import PlaceCalls
from notifier.incidents.problems import Problems
from notifier.recipes.http import HttpRecipes
from notifier.tickets.yandex import YandexTracker
from tests.integration.notifier.factories import ONE_CHAT, PICKERS, Kit, MakeKit, a_problem, created
from tests.integration.notifier.orchestrator import an_orchestrator
from tests.integration.notifier.people import (
    FAST_CHAIN,
    SECRET,
    YANDEX,
    crashed,
    issue_of,
    phoned,
    put_roster,
    settings_for,
    telegram_id,
    there,
    told_once,
)
from tests.support.poisoned import Fault, every_job_fails
from tests.support.servers import eventually

OLEG, ANNA = "+79990000001", "+79990000002"
BAD = "nobody foresaw this"
WHY = {"reason": "for a test"}
SOON = timedelta(seconds=0.2)


async def until(found: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    """Wait until that is found."""

    async def probe() -> bool:
        assert await found() == wanted
        return True

    await eventually(probe)


async def an_incident(kit: Kit, fingerprint: str) -> int:
    """The number of the incident of a problem."""
    [row] = await kit.fetch("SELECT id FROM incidents WHERE fingerprint = $1", fingerprint)
    return int(row["id"])


@pytest.mark.parametrize("step", ["claim", "call"])
async def test_a_call_that_cannot_be_made_keeps_nobody_else_from_being_phoned(
    make_kit: MakeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    fault = Fault()
    monkeypatch.setattr("notifier.duty.place_calls._MARGIN", SOON)
    if step == "call":
        whole = fault.over(PlaceCalls._call, lambda _self, claim, **_: claim.person == "oleg")
        monkeypatch.setattr(PlaceCalls, "_call", whole)
    else:
        whole = fault.over(CallStore._claim, lambda _self, _connection, row, **_: row["person"] == "oleg")
        monkeypatch.setattr(CallStore, "_claim", whole)
    kit = await make_kit(**settings_for(tmp_path, escalation=FAST_CHAIN), call_deadline=0.3)
    await put_roster(kit, "oleg", "anna")
    await kit.publish(a_problem(severity="critical"))

    async def others_phoned() -> bool:
        return ANNA in await phoned(kit)

    await eventually(others_phoned)
    [call] = await kit.fetch("SELECT id FROM calls WHERE person = 'oleg' ORDER BY created_at LIMIT 1")
    assert OLEG not in await phoned(kit)
    item = f"call {call['id']}"
    every = [f"calls:{'claim of ' * (step == 'claim')}{item}"]

    async def told() -> bool:
        rows = await kit.fetch("SELECT fingerprint FROM incidents WHERE kind = 'problem.task.failing'")
        assert {f"task:notifier:{one}" for one in every} <= {row["fingerprint"] for row in rows}
        return True

    await eventually(told)
    fault.mended = True

    async def done() -> list[str]:
        rows = await kit.fetch("SELECT state FROM calls WHERE id = $1", call["id"])
        return [row["state"] for row in rows]

    await eventually(lambda: done_or_covered(done))
    assert kit.applications[0].lifecycle.failure is None


async def done_or_covered(states: Callable[[], Awaitable[list[str]]]) -> bool:
    """Whether a call was made, by itself or by another of the same person."""
    return (await states())[0] in {"placed", "covered"}


async def test_a_recipe_that_cannot_be_carried_out_keeps_no_other_waiting(
    make_kit: MakeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault()
    monkeypatch.setattr("notifier.recipes.run._MARGIN", SOON)
    whole = fault.over(HttpRecipes.run, lambda _self, recipe, **_: recipe.target == "77")
    monkeypatch.setattr(HttpRecipes, "run", whole)
    async with an_orchestrator() as orchestrator:
        kit = await make_kit(**settings_for(tmp_path), orchestrator_url=orchestrator.url, call_deadline=0.3)
        for workflow in (77, 78, 79):
            await kit.open_in_turn(a_problem(f"before:{workflow}"))  # the numbers of incidents go by who is first
            await kit.publish(crashed(workflow))

            async def opened(workflow: int = workflow) -> Any:
                return await kit.fetch("SELECT FROM incidents WHERE fingerprint = $1", f"workflow:{workflow}")

            await eventually(opened)
            number = await an_incident(kit, f"workflow:{workflow}")
            path = f"/admin/v1/incidents/{number}/recipes/retry_workflow"
            assert (await kit.call("POST", path, body=WHY))[0] == 200
        await orchestrator.hears_of(78)
        await orchestrator.hears_of(79)
        [bad] = await kit.fetch("SELECT id FROM recipe_requests WHERE target = '77'")
        await told_once(kit, f"recipes:recipe {bad['id']}")
        assert orchestrator.asked[77] == set()
        fault.mended = True
        await orchestrator.hears_of(77)

        async def states() -> set[str]:
            return {row["state"] for row in await kit.fetch("SELECT state FROM recipe_requests")}

        await until(states, {"done"})
        assert len(orchestrator.asked[77]) == 1


async def press(kit: Kit, update: int, data: str, user: str = "oleg") -> None:
    """Press a button, as Telegram says it."""
    query = {
        "id": f"query-{update}",
        "from": {"id": telegram_id(user)},
        "message": {"chat": {"id": PICKERS}},
        "data": data,
    }
    url, headers = kit.url + "/telegram/webhook", {"X-Telegram-Bot-Api-Secret-Token": SECRET}
    body = {"update_id": update, "callback_query": query}
    async with kit.sandbox.session.post(url, json=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()


async def outcomes(kit: Kit) -> list[tuple[str | None, bool]]:
    """What came of the buttons, in their order, and whether it was answered."""
    rows = await kit.fetch("SELECT outcome, answered FROM presses ORDER BY id")
    return [(row["outcome"], row["answered"]) for row in rows]


async def test_a_button_that_fails_is_answered_so_and_the_others_are_carried_out(
    make_kit: MakeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault()
    whole = fault.over(HandleButtonAction._incident, lambda _self, _effects, _person, incident, _act: incident == 1)
    monkeypatch.setattr(HandleButtonAction, "_incident", whole)
    kit = await make_kit(routes=ONE_CHAT, **settings_for(tmp_path))
    await kit.open_in_turn(a_problem("p:1"), a_problem("p:2"))
    beyond, garbage = f"n1:a:{2**80}", "n1:\ud83d\ude00:" + "x" * 5000
    for update, data in enumerate(("n1:a:1", "n1:a:2", beyond, garbage, "n1:a:-1", "\u202e")):
        await press(kit, update, data)
    ends = [
        ("failed", True),
        ("done", True),
        ("unknown_button", True),
        ("unknown_button", True),
        ("unknown_button", True),
        ("unknown_button", True),
    ]
    await until(lambda: outcomes(kit), ends)
    fault.mended = True
    await press(kit, 99, "n1:a:1")
    await until(lambda: outcomes(kit), [*ends, ("done", True)])
    assert kit.applications[0].lifecycle.failure is None


async def test_an_answer_that_cannot_be_given_keeps_no_other_person_waiting(
    make_kit: MakeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault()
    monkeypatch.setattr("notifier.buttons.workers._ANSWER_LEASE", SOON)
    whole = fault.over(TelegramAnswers.answer, lambda _self, action: action.outside_id == "query-0")
    monkeypatch.setattr(TelegramAnswers, "answer", whole)
    kit = await make_kit(routes=ONE_CHAT, **settings_for(tmp_path))
    for update in range(3):
        await press(kit, update, "n1:a:1")
    waiting = [("unknown_button", False), ("unknown_button", True), ("unknown_button", True)]
    await until(lambda: outcomes(kit), waiting)
    [bad] = await kit.fetch("SELECT id FROM presses WHERE outside_id = 'query-0'")
    await told_once(kit, f"button-answers:button action {bad['id']}")
    fault.mended = True
    await until(lambda: outcomes(kit), [("unknown_button", True)] * 3)


async def a_ticket(kit: Kit, summary: str) -> int:
    """Open a ticket by hand; returns its number."""
    status, made = await kit.call("POST", "/admin/v1/tickets", body={"summary": summary, **WHY})
    assert status == 201, made
    return int(made["id"])


async def in_the_tracker(kit: Kit) -> list[str]:
    """The summaries of the tracker's issues that people have opened here, sorted."""
    page = await kit.sandbox.control("GET", "/sandbox/tracker/issues")
    return sorted(item["summary"].rpartition("] ")[2] for item in page["items"] if "(ticket " not in item["summary"])


async def test_a_ticket_that_cannot_be_created_outside_keeps_no_other_here(
    make_kit: MakeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault()
    monkeypatch.setattr("notifier.tickets.sync_tracker._LEASE", SOON)
    monkeypatch.setattr(
        YandexTracker, "create", fault.over(YandexTracker.create, lambda _self, **it: BAD in it["summary"])
    )
    kit = await make_kit(**settings_for(tmp_path, **YANDEX))
    numbers = [await a_ticket(kit, summary) for summary in (BAD, "good one", "good two")]
    await until(lambda: in_the_tracker(kit), ["good one", "good two"])
    await told_once(kit, f"tracker-tickets:ticket {numbers[0]}")
    fault.mended = True
    await until(lambda: in_the_tracker(kit), ["good one", "good two", BAD])


@pytest.mark.parametrize("step", ["comment", "comments", "move", "issue"])
async def test_a_ticket_that_cannot_be_followed_keeps_no_other_from_being(
    make_kit: MakeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Each way between a ticket here and there: what is said here, said there, closed here, and closed there."""
    fault = Fault()
    for module in ("sync_tracker", "follow_tracker"):
        monkeypatch.setattr(f"notifier.tickets.{module}._LEASE", SOON)
    kit = await make_kit(**settings_for(tmp_path, **YANDEX))
    bad, good = await a_ticket(kit, "bad one"), await a_ticket(kit, "good one")
    keys = {}
    for number in (bad, good):

        async def key(number: int = number) -> Any:
            return (await kit.call("GET", f"/admin/v1/tickets/{number}", role="viewer"))[1]["key"]

        keys[number] = str(await eventually(key))
    whole = getattr(YandexTracker, step)
    monkeypatch.setattr(YandexTracker, step, fault.over(whole, lambda _self, key, *_, **__: key == keys[bad]))
    worker = {"comment": "comments", "comments": "reading", "move": "states", "issue": "changes"}[step]
    for number in (bad, good):
        if step == "comment":
            path, body = f"/admin/v1/tickets/{number}/comments", {**WHY, "text": "said here"}
            assert (await kit.call("POST", path, body=body))[0] == 201
        elif step == "move":
            assert (await kit.call("POST", f"/admin/v1/tickets/{number}/close", body=WHY))[0] == 200
        elif step == "comments":
            await there(kit, keys[number], comment="said there", user="anna")
        else:
            await there(kit, keys[number], transition="close", user="anna")

    async def followed(number: int) -> bool:
        issue = await issue_of(kit, keys[number])
        ticket = (await kit.call("GET", f"/admin/v1/tickets/{number}", role="viewer"))[1]
        said_there = [comment["text"] for comment in issue["comments"]].count("said here")
        said_here = [comment["text"] for comment in ticket["comments"]].count("said there")
        assert said_there <= 1
        assert said_here <= 1
        done = {
            "comment": said_there == 1,
            "comments": said_here == 1,
            "move": issue["status"]["key"] != "open",
            "issue": ticket["state"] == "closed",
        }
        return bool(done[step])

    await eventually(lambda: followed(good))

    async def told() -> bool:
        rows = await kit.fetch("SELECT fingerprint FROM incidents WHERE kind = 'problem.task.failing'")
        return any(row["fingerprint"].startswith(f"task:notifier:tracker-{worker}:") for row in rows)

    await eventually(told)
    assert not await followed(bad)
    fault.mended = True
    await eventually(lambda: followed(bad))
    assert kit.applications[0].lifecycle.failure is None


async def test_a_silenced_problem_that_cannot_be_told_keeps_no_other_silent(
    make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault()
    whole = fault.over(Problems.unmute, lambda _self, _store, waiting: BAD in {kept.fact.summary for kept in waiting})
    monkeypatch.setattr(Problems, "unmute", whole)
    kit = await make_kit(routes=ONE_CHAT)
    ends_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    match = {"kind": ["problem.order_conflict"]}
    status, made = await kit.call("POST", "/admin/v1/silences", body={**WHY, "match": match, "ends_at": ends_at})
    assert status == 200, made
    names = ("good one", BAD, "good two")
    await kit.open_in_turn(*(a_problem(name, summary=name) for name in names))
    number = await an_incident(kit, BAD)
    status, ended = await kit.call("DELETE", f"/admin/v1/silences/{made['id']}", body=WHY)
    assert status == 200, ended

    async def told() -> list[bool]:
        texts = "\n".join(await kit.texts(PICKERS))
        return [name in texts for name in names]

    await until(told, [True, False, True])
    await told_once(kit, f"unmute:incident {number}")
    fault.mended = True
    await until(told, [True, True, True])
    assert "\n".join(await kit.texts(PICKERS)).count(f"🟠 {BAD}") <= 1


async def test_no_job_that_fails_as_a_whole_stops_notices_and_each_is_told(
    make_kit: MakeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault()
    names = every_job_fails(monkeypatch, fault)
    kit = await make_kit(routes=ONE_CHAT, **settings_for(tmp_path, **YANDEX))

    async def told(state: str) -> bool:
        rows = await kit.fetch(
            "SELECT details ->> 'task' AS task FROM incidents WHERE kind = 'problem.task.failing' AND state = $1", state
        )
        assert names - {row["task"] for row in rows} == set()
        return True

    await eventually(lambda: told("open"))
    assert {"gauges", "roster", "coverage", "storms", "unmute", "files"} <= names
    await kit.publish(created())

    async def sent() -> bool:
        return any("H123" in text for text in await kit.texts(PICKERS))

    await eventually(sent)
    async with kit.sandbox.session.get(kit.url + "/readyz") as answer:
        assert (answer.status, "failing, tried again" in await answer.text()) == (200, True)
    fault.mended = True
    await eventually(lambda: told("resolved"))
    assert kit.applications[0].lifecycle.failure is None
