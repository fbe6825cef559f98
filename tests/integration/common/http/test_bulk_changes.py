"""Bulk changes on a real PostgreSQL: a plan is carried out exactly, once, by whichever replica; what has changed since is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from common.http import (
    forget_plans,
)
from common.postgres import Database
from tests.support.servers import eventually

from .conftest import Serve
from .depots import SCHEMA, Depot, World, outcomes


@pytest.fixture
async def world(database_for: Callable[[str], Awaitable[str]], serve: Serve) -> AsyncIterator[World]:
    dsn = await database_for("refunds")
    async with AsyncExitStack() as stack:
        depots = []
        for _ in range(2):
            database = Database(dsn, application_name="test", max_size=4)
            await database.open()
            stack.push_async_callback(database.close)
            depots.append(Depot(database))
        world = World(depots, [await serve(depot.routes()) for depot in depots])
        await world.sql(SCHEMA)
        await world.sql(
            "INSERT INTO parcels SELECT n, CASE WHEN n <= 5 THEN 'Omsk' ELSE 'Perm' END FROM generate_series(1, 8) n"
        )
        yield world


async def test_a_plan_names_each_item_and_is_carried_out_by_another_replica(world: World) -> None:
    preview = (await world.send(filter={"town": "Omsk"}, limit=3, dry_run=True)).json()
    assert {key: preview[key] for key in ("dry_run", "matched", "more", "already_applied")} == {
        "dry_run": True,
        "matched": 5,
        "more": True,
        "already_applied": False,
    }
    notices = [f"parcel.sent of {n}: the town" for n in (1, 2, 3)]
    assert preview["items"] == [
        {"id": n, "version": 1, "outcome": "sent", "code": None, "detail": None, "notices": [notice]}
        for n, notice in zip((1, 2, 3), notices, strict=True)
    ]
    assert (await world.sent(), await world.audited()) == ([], [])
    answer = await world.send(replica=1, plan=preview["plan"])
    assert answer.json() == {**preview, "dry_run": False}
    assert await world.sent() == [1, 2, 3]
    assert await world.audited() == ["parcel:1", "parcel:2", "parcel:3"]


async def test_plan_after_plan_goes_once_through_all_that_match(world: World) -> None:
    await world.sql("UPDATE parcels SET state = 'lost' WHERE id = 2")  # refused, and matches for ever
    asked: dict[str, Any] = {"filter": {"town": "Omsk"}, "limit": 2}  # as those do that are sent
    rounds: list[tuple[int, bool, dict[int, str]]] = []
    after: dict[str, Any] = {}
    while True:
        preview = (await world.send(**asked, **after, dry_run=True)).json()
        if not preview["items"]:
            break
        done = await world.send(replica=len(rounds) % 2, **asked, **after, plan=preview["plan"])
        rounds.append((preview["matched"], preview["more"], outcomes(done)))
        if len(rounds) == 1:
            await world.sql("UPDATE parcels SET version = version + 1, state = 'open' WHERE id IN (1, 2)")
        after = {"after": preview["plan"]}
    first = (5, True, {1: "sent", 2: "refused"})
    assert rounds == [first, (3, True, {3: "sent", 4: "sent"}), (1, False, {5: "sent"})]
    assert await world.sent() == [3, 4, 5]
    # Named alone a plan says itself what it came after; a request that says otherwise is refused.
    repeated = await world.send(plan=preview["plan"])
    assert (repeated.status, repeated.json()["items"]) == (200, [])
    assert (await world.send(**asked, plan=preview["plan"])).json()["code"] == "plan_differs"


async def test_a_chain_of_plans_that_has_lost_one_is_not_gone_on_with(world: World) -> None:
    asked: dict[str, Any] = {"filter": {"town": "Omsk"}, "limit": 1, "dry_run": True}
    first = (await world.send(**asked)).json()["plan"]
    second = (await world.send(**asked, after=first)).json()["plan"]
    assert (await world.send(**asked, after=second)).json()["items"][0]["id"] == 3
    of_others: list[dict[str, Any]] = [{"after": "f" * 64}, {"after": second, "what": "return"}]
    for unknown in of_others:
        refused = await world.send(**asked, **unknown)
        assert (refused.status, refused.json()["code"]) == (409, "plan_unknown")
    assert (await world.send(ids=[1], after=first, dry_run=True)).status == 422
    await world.sql("DELETE FROM bulk_plans WHERE plan = $1", first)
    assert (await world.send(**asked, after=second)).json()["code"] == "plan_unknown"


async def test_what_changed_since_the_plan_is_left_alone_and_newcomers_too(world: World) -> None:
    plan = (await world.send(filter={"town": "Omsk"}, dry_run=True)).json()["plan"]
    await world.sql("UPDATE parcels SET version = version + 1 WHERE id = 2")  # changed
    await world.sql("UPDATE parcels SET town = 'Perm' WHERE id = 3")  # matches no longer, and its version does not tell
    await world.sql("UPDATE parcels SET town = 'Omsk' WHERE id = 8")  # matches newly
    await world.sql("DELETE FROM parcels WHERE id = 4")
    answer = await world.send(filter={"town": "Omsk"}, plan=plan)
    changed = dict.fromkeys((2, 3, 4), "changed_since")
    assert outcomes(answer) == {1: "sent", **changed, 5: "sent"}
    assert [item["version"] for item in answer.json()["items"]] == [1, 2, 1, None, 1]
    assert (await world.sent(), await world.audited()) == ([1, 5], ["parcel:1", "parcel:5"])


async def test_a_plan_keeps_nothing_that_its_filter_said_of_a_customer(world: World) -> None:
    wanted: dict[str, Any] = {"filter": {"phone": "+79161234567"}, "limit": 4}
    plan = (await world.send(**wanted, dry_run=True)).json()
    assert plan["matched"] == 8
    other = await world.send(filter={"phone": "+79161234500"}, plan=plan["plan"])
    assert (other.status, other.json()["code"]) == (409, "plan_differs")
    await world.sql("UPDATE parcels SET version = version + 1 WHERE id = 2")
    both = (await world.send(filter={"phone": "+79161234567", "town": "Omsk"}, dry_run=True)).json()
    assert outcomes(await world.send(plan=plan["plan"])) == {1: "sent", 2: "changed_since", 3: "sent", 4: "sent"}
    await world.sql("UPDATE parcels SET town = 'Perm' WHERE id = 5")
    assert outcomes(await world.send(plan=both["plan"]))[5] == "changed_since"
    [(kept,)] = await world.sql("SELECT string_agg(bulk_plans::text, ' ') FROM bulk_plans")
    assert "9161234" not in kept


async def test_half_of_a_thousand_change_in_between_and_are_left_alone(world: World) -> None:
    await world.sql("INSERT INTO parcels SELECT n, 'Tver' FROM generate_series(1001, 2000) n")
    preview = await world.send(filter={"town": "Tver"}, limit=1000, dry_run=True)
    assert set(outcomes(preview).values()) == {"sent"}
    await world.sql("UPDATE parcels SET version = version + 1 WHERE town = 'Tver' AND id % 2 = 0")
    answer = await world.send(replica=1, plan=preview.json()["plan"])
    assert outcomes(answer) == {n: "changed_since" if n % 2 == 0 else "sent" for n in range(1001, 2001)}
    assert await world.sent() == list(range(1001, 2001, 2))


async def test_a_plan_is_carried_out_once_and_answers_the_same_again(world: World) -> None:
    plan = (await world.send(ids=[3, 1, 99], dry_run=True)).json()["plan"]
    first = await world.send(plan=plan)
    assert outcomes(first) == {3: "sent", 1: "sent", 99: "not_found"}
    again = await world.send(replica=1, plan=plan, key="another")
    assert again.json() == {**first.json(), "already_applied": True}
    assert len(await world.audited()) == 2


async def test_two_replicas_that_carry_out_one_plan_at_once_do_it_once(world: World) -> None:
    plan = (await world.send(filter={"state": "open"}, extra=7, dry_run=True)).json()["plan"]
    world.depots[0].go_on = asyncio.Event()
    first = asyncio.create_task(world.send(plan=plan, extra=7))
    await world.depots[0].reached.wait()
    second = asyncio.create_task(world.send(replica=1, plan=plan, extra=7))
    await eventually(world.somebody_waits)
    world.depots[0].go_on.set()
    answers = [(await task).json() for task in (first, second)]
    assert answers[1] == {**answers[0], "already_applied": True}
    assert await world.sql("SELECT DISTINCT weight, version FROM parcels") == [(7, 2)]
    assert len(await world.audited()) == 8


async def test_of_two_people_with_the_same_plan_the_second_is_told_who_was_first(world: World) -> None:
    await world.sql("UPDATE parcels SET state = 'lost' WHERE id = 2")
    plans = [(await world.send(ids=[1, 2, 99], dry_run=True, who=who)).json()["plan"] for who in ("operator", "admin")]
    assert plans[0] == plans[1]
    world.depots[0].go_on = asyncio.Event()
    first = asyncio.create_task(world.send(plan=plans[0], key="hers"))
    await world.depots[0].reached.wait()
    second = asyncio.create_task(world.send(replica=1, plan=plans[1], key="his", who="admin"))
    await eventually(world.somebody_waits)
    world.depots[0].go_on.set()
    mine, others = (await first).json(), (await second).json()
    assert outcomes(await first) == {1: "sent", 2: "refused", 99: "not_found"}
    assert others["already_applied"] is False
    assert others["items"][1:] == mine["items"][1:]
    left = others["items"][0]
    assert (left["version"], left["outcome"], left["notices"]) == (2, "changed_since", [])
    assert left["detail"].startswith("olga did the same at 20")
    again = [await world.send(plan=plans[0], who=who) for who in ("operator", "admin")]
    assert again[0].json() == {**mine, "already_applied": True}
    assert again[1].json() == others
    assert await world.audited() == ["parcel:1"]


async def test_a_plan_whose_first_try_failed_can_be_carried_out(world: World) -> None:
    plan = (await world.send(ids=[1, 2], dry_run=True)).json()["plan"]
    world.depots[0].away = True
    assert (await world.send(plan=plan)).status == 503
    assert await world.sent() == []
    assert outcomes(await world.send(replica=1, plan=plan)) == {1: "sent", 2: "sent"}


async def test_what_the_preview_refused_is_not_done_even_if_it_could_be_now(world: World) -> None:
    await world.sql("UPDATE parcels SET state = 'lost' WHERE id = 2")
    preview = (await world.send(ids=[1, 2], dry_run=True)).json()
    refused = {
        "id": 2,
        "version": 1,
        "outcome": "refused",
        "code": "conflict",
        "detail": "it is not open",
        "notices": [],
    }
    assert preview["items"][1] == refused
    await world.sql("UPDATE parcels SET state = 'open' WHERE id = 2")  # and no new version
    answer = await world.send(plan=preview["plan"])
    assert answer.json()["items"] == [preview["items"][0], refused]
    assert await world.sent() == [1]


async def test_a_plan_can_itself_be_previewed_and_stays_free(world: World) -> None:
    plan = (await world.send(ids=[1, 2], dry_run=True)).json()["plan"]
    await world.sql("UPDATE parcels SET version = 5 WHERE id = 2")
    preview = await world.send(plan=plan, dry_run=True)
    assert outcomes(preview) == {1: "sent", 2: "changed_since"}
    assert (preview.json()["plan"], await world.sent()) == (plan, [])
    assert outcomes(await world.send(plan=plan)) == {1: "sent", 2: "changed_since"}


async def test_the_same_preview_is_the_same_plan_until_something_changes(world: World) -> None:
    plans = [(await world.send(replica=n, ids=[1, 2], dry_run=True)).json()["plan"] for n in (0, 1)]
    assert plans[0] == plans[1]
    await world.sql("UPDATE parcels SET version = 2 WHERE id = 1")
    assert (await world.send(ids=[1, 2], dry_run=True)).json()["plan"] != plans[0]


async def test_a_plan_previewed_again_after_it_changed_nothing_is_free_again(world: World) -> None:
    await world.sql("UPDATE parcels SET state = 'lost' WHERE id = 1")
    plan = (await world.send(ids=[1], dry_run=True)).json()["plan"]
    assert outcomes(await world.send(plan=plan)) == {1: "refused"}
    assert (await world.send(ids=[1], dry_run=True)).json()["plan"] == plan
    assert (await world.send(plan=plan)).json()["already_applied"] is False


async def test_unknown_expired_and_foreign_plans_are_refused(world: World) -> None:
    plan = (await world.send(ids=[1], dry_run=True)).json()["plan"]
    answers = [await world.send(plan="0" * 64), await world.send(plan=plan, what="return")]
    await world.sql("UPDATE bulk_plans SET expires_at = now() - interval '1 s'")  # a day later
    answers.append(await world.send(plan=plan))
    assert [(answer.status, answer.json()["code"]) for answer in answers] == [(409, "plan_unknown")] * 3
    async with world.depots[0].database.transaction() as connection:
        assert (await forget_plans(connection), await forget_plans(connection)) == (1, 0)
    assert await world.sent() == []


async def test_a_request_that_differs_from_its_plan_is_refused(world: World) -> None:
    plan = (await world.send(filter={"town": "Omsk"}, extra=1, dry_run=True)).json()["plan"]
    bodies: list[dict[str, Any]] = [
        {"filter": {"town": "Perm"}, "extra": 1},
        {"ids": [1], "extra": 1},
        {"filter": {"town": "Omsk"}},
        {"extra": 2},
    ]
    answers = [await world.send(plan=plan, **body) for body in bodies]
    assert [(answer.status, answer.json()["code"]) for answer in answers] == [(409, "plan_differs")] * 4
    assert await world.sent() == []
    assert set(outcomes(await world.send(plan=plan, extra=1)).values()) == {"sent"}


async def test_without_a_plan_it_is_done_at_once_and_a_key_does_it_once(world: World) -> None:
    answers = [await world.send(filter={"town": "Omsk", "state": "open"}, limit=2, key="k") for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert outcomes(answers[0]) == {1: "sent", 2: "sent"}
    assert await world.sent() == [1, 2]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ids": []},
        {"ids": [0]},
        {"ids": [2**63]},
        {"filter": {}},
        {"filter": {"town": None}},
        {"filter": {"colour": "red"}},
        {"ids": [1], "filter": {"town": "Omsk"}},
        {"ids": [1], "limit": 1001},
        {"ids": list(range(1, 1002))},
        {"plan": "nonsense"},
    ],
)
async def test_a_request_that_says_nothing_or_too_much_is_refused(world: World, body: dict[str, Any]) -> None:
    answer = await world.send(**body)
    assert (answer.status, answer.json()["code"]) == (422, "unprocessable")


async def test_an_item_that_changes_while_a_filter_finds_it_is_left_out(world: World) -> None:
    async with world.depots[0].database.acquire() as other:
        change = other.transaction()
        await change.start()
        await other.execute("UPDATE parcels SET state = 'lost', version = 2 WHERE id = 1")
        answer = asyncio.create_task(world.send(replica=1, filter={"town": "Omsk", "state": "open"}))
        await eventually(world.somebody_waits)
        await change.commit()
        assert outcomes(await answer) == dict.fromkeys((2, 3, 4, 5), "sent")
