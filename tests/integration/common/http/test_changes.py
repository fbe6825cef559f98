"""Changes on a real PostgreSQL: previews leave nothing, keys hold, deadlock victims begin anew, wake-ups follow commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from common.contracts.notices import NOBODY, notice
from common.errors import Conflict, NotFound, Unavailable
from common.http import OPERATOR, AdminChange, Answer, Change, ChangeAnswer, Changes, Done, Reply, Request, Route
from common.postgres import Database

from .conftest import Answer as Answered
from .conftest import Demo, Serve


class Take(AdminChange):
    """Take goods from shelves."""

    shelves: list[str]


class Taken(ChangeAnswer):
    """What became of each shelf."""

    dry_run: bool
    outcomes: list[str]


def told(shelf: str) -> str:
    return notice("shelf.taken", of=shelf, to=NOBODY)


class Shop:
    """Shelves with ten goods each; a change takes one from every shelf that it names."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.changes = Changes(database, committed=lambda: self.announced.append("committed"))
        self.announced: list[str] = []
        self.runs = 0
        self.meet: asyncio.Barrier | None = None

    async def take_all(self, request: Request[Take, None]) -> Answer:
        """All or nothing."""

        async def work(change: Change) -> Taken | Reply:
            self.runs += 1
            meet, first_try = self.meet, self.runs <= 2
            change.after_commit(lambda: self.announced.append("counted"))
            for shelf in request.body.shelves:
                await self._take(change, shelf)
                if meet is not None and first_try and shelf == request.body.shelves[0]:
                    await meet.wait()
            answer = Taken(dry_run=change.dry_run, outcomes=["taken"] * len(request.body.shelves))
            return Reply(answer, status=202) if "late" in request.body.shelves else answer

        return await self.changes.carry_out(request, work)

    async def take_each(self, request: Request[Take, None]) -> Answer:
        """Item by item."""

        async def work(change: Change) -> Taken:
            async def take(shelf: str) -> int:
                change.after_commit(lambda: self.announced.append(f"counted {shelf}"))
                return await self._take(change, shelf)

            items = await change.each(request.body.shelves, take)
            outcomes = [f"{i.key} {i.answer if isinstance(i, Done) else i.code}" for i in items]
            return Taken(dry_run=change.dry_run, outcomes=outcomes)

        return await self.changes.carry_out(request, work)

    async def _take(self, change: Change, shelf: str) -> int:
        if shelf == "orphan":
            await change.connection.execute("INSERT INTO taken VALUES ('nowhere')")
        left = await change.connection.fetchval(
            "UPDATE shelves SET goods = goods - 1 WHERE name = $1 RETURNING goods", shelf
        )
        if left is None:
            raise NotFound(f"there is no shelf {shelf}")
        await change.record("shelf.take", f"shelf:{shelf}", before={"goods": left + 1}, after={"goods": left})
        change.tells(told(shelf))
        if shelf == "closed":
            raise Conflict("it is closed")
        if shelf == "away":
            raise Unavailable("the store is away")
        return int(left)

    def routes(self) -> Sequence[Route]:
        return tuple(
            Route(
                method="POST",
                path=f"/admin/v1/{name}",
                handler=handler,
                summary=name,
                request=Take,
                response=Taken,
                roles=OPERATOR,
                idempotent=True,
            )
            for name, handler in (("take-all", self.take_all), ("take-each", self.take_each))
        )

    async def left(self) -> dict[str, Any]:
        """What the database holds."""
        async with self.database.acquire() as connection:
            goods = await connection.fetch("SELECT name, goods FROM shelves WHERE goods < 10 ORDER BY name")
            records = await connection.fetch("SELECT target, actor, reason FROM audit_log ORDER BY id")
            keys = await connection.fetchval("SELECT count(*) FROM idempotency_keys")
        return {
            "taken": {row["name"]: 10 - row["goods"] for row in goods},
            "audit": [tuple(r) for r in records],
            "keys": keys,
        }


@pytest.fixture
async def shop(database_for: Callable[[str], Awaitable[str]]) -> AsyncIterator[Shop]:
    pool = Database(await database_for("refunds"), application_name="test", max_size=8)
    await pool.open()
    async with pool.acquire() as connection:
        await connection.execute(
            "CREATE TABLE shelves (name text PRIMARY KEY, goods int);"
            "CREATE TABLE taken (shelf text REFERENCES shelves DEFERRABLE INITIALLY DEFERRED);"
        )
        names = ["a", "b", "closed", "away", "late", "orphan"]
        await connection.execute("INSERT INTO shelves SELECT name, 10 FROM unnest($1::text[]) name", names)
    yield Shop(pool)
    await pool.close()


@pytest.fixture
async def demo(shop: Shop, serve: Serve) -> Demo:
    return await serve(shop.routes())


async def take(
    demo: Demo, *shelves: str, key: str | None = None, each: bool = False, dry_run: bool = False
) -> Answered:
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"shelves": list(shelves), "reason": "sold", "dry_run": dry_run}
    return await demo.call(
        "POST", f"/admin/v1/take-{'each' if each else 'all'}", token="t-operator", json=body, headers=headers
    )


async def test_a_change_is_committed_with_its_record_and_key_and_then_notified(demo: Demo, shop: Shop) -> None:
    answer = await take(demo, "a", "b", key="k")
    named = [told("a"), told("b")]
    assert (answer.status, answer.json()) == (200, {"dry_run": False, "outcomes": ["taken", "taken"], "notices": named})
    audit = [("shelf:a", "olga", "sold"), ("shelf:b", "olga", "sold")]
    assert await shop.left() == {"taken": {"a": 1, "b": 1}, "audit": audit, "keys": 1}
    assert shop.announced == ["counted", "committed"]


async def test_a_dry_run_is_carried_out_and_leaves_nothing(demo: Demo, shop: Shop) -> None:
    answer = await take(demo, "a", "late", key="k", dry_run=True)
    named = [told("a"), told("late")]
    assert (answer.status, answer.json()) == (202, {"dry_run": True, "outcomes": ["taken", "taken"], "notices": named})
    assert await shop.left() == {"taken": {}, "audit": [], "keys": 0}
    assert (shop.runs, shop.announced) == (1, [])
    # The key is free for the deed.
    assert (await take(demo, "a", key="k")).json()["outcomes"] == ["taken"]


async def test_a_repeated_key_gets_the_stored_reply_and_changes_nothing_again(demo: Demo, shop: Shop) -> None:
    answers = [await take(demo, "late", key="k") for _ in range(2)]
    assert [(answer.status, answer.json()["outcomes"]) for answer in answers] == [(202, ["taken"])] * 2
    assert [answer.json()["notices"] for answer in answers] == [[told("late")]] * 2
    assert ["Idempotency-Replayed" in answer.headers for answer in answers] == [False, True]
    assert (shop.runs, shop.announced.count("counted")) == (1, 1)
    assert (await shop.left())["taken"] == {"late": 1}


async def test_a_change_that_fails_leaves_nothing_wakes_nobody_and_frees_its_key(demo: Demo, shop: Shop) -> None:
    answers = [await take(demo, "a", name, key="k") for name in ("closed", "away", "nowhere")]
    assert [answer.status for answer in answers] == [409, 503, 404]
    assert await shop.left() == {"taken": {}, "audit": [], "keys": 0}
    assert shop.announced == []


async def test_the_victim_of_a_deadlock_begins_anew(demo: Demo, shop: Shop) -> None:
    shop.meet = asyncio.Barrier(2)  # each has locked its first shelf before either asks for its second
    answers = await asyncio.gather(take(demo, "a", "b", key="1"), take(demo, "b", "a", key="2"))
    assert [answer.status for answer in answers] == [200, 200]
    left = await shop.left()
    assert (left["taken"], len(left["audit"]), left["keys"]) == ({"a": 2, "b": 2}, 4, 2)
    assert shop.runs >= 3  # a victim on a full machine may begin anew more than once
    assert sorted(shop.announced) == ["committed", "committed", "counted", "counted"]


async def test_refused_items_are_undone_alone_and_the_others_hold(demo: Demo, shop: Shop) -> None:
    preview, answer = [await take(demo, "a", "closed", "x", "b", each=True, dry_run=dry) for dry in (True, False)]
    assert answer.json()["outcomes"] == ["a 9", "closed conflict", "x not_found", "b 9"]
    assert answer.json()["notices"] == [told("a"), told("b")]
    assert preview.json() == {**answer.json(), "dry_run": True}
    audit = [("shelf:a", "olga", "sold"), ("shelf:b", "olga", "sold")]
    assert await shop.left() == {"taken": {"a": 1, "b": 1}, "audit": audit, "keys": 0}
    assert shop.announced == ["counted a", "counted b", "committed"]


async def test_an_item_that_finds_something_away_undoes_all(demo: Demo, shop: Shop) -> None:
    assert (await take(demo, "a", "away", each=True)).status == 503
    assert (await shop.left())["taken"] == {}
    assert shop.announced == []


async def test_a_preview_finds_what_only_the_commit_would_have_found(demo: Demo, shop: Shop) -> None:
    answers = [await take(demo, "a", "orphan", key="k", dry_run=dry_run) for dry_run in (True, False)]
    assert [answer.status for answer in answers] == [500, 500]
    assert await shop.left() == {"taken": {}, "audit": [], "keys": 0}
    assert shop.announced == []
