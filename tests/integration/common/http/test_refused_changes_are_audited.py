"""A change that was refused stands in the audit log, by whom and for what; a flood of them fills nothing and hides nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest

from common.errors import Forbidden, Unauthorized
from common.http import Principal, TokenBook
from common.http.refused_calls import RefusedCalls
from common.postgres import Database
from tests.support.servers import eventually, proxied

from .conftest import ROUTES, TOKENS, Demo, Serve

VERA = Principal(name="vera", role="viewer")
STRANGER = Unauthorized("a valid bearer token is needed")
NARROW = {"name": "narrow", "token": "t-narrow", "role": "operator", "scopes": ["tips:admin"]}


class Kept:
    """A database, and what its audit log holds of refusals."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = 1000.0
        self.calls = RefusedCalls(database, clock=lambda: self.now)

    async def records(self) -> list[tuple[str, str, str, str, dict[str, Any]]]:
        async with self.database.acquire() as connection:
            rows = await connection.fetch(
                "SELECT actor, role, target, request_id, after FROM audit_log WHERE action = 'call.refused' ORDER BY id"
            )
        return [tuple(row) for row in rows]

    async def counted(self) -> int:
        """How many refusals the records stand for."""
        return sum(1 + after["more"] + after["left_out"] for *_, after in await self.records())

    async def strangers(self, operations: int, *, times: int = 1) -> None:
        for _ in range(times):
            for number in range(operations):
                await self.calls.note(None, f"POST /{number}", STRANGER, request_id="r")


@pytest.fixture
async def kept(database_for: Callable[[str], Awaitable[str]]) -> AsyncIterator[Kept]:
    database = Database(await database_for("refunds"), application_name="test")
    await database.open()
    yield Kept(database)
    await database.close()


@pytest.fixture
async def demo(kept: Kept, serve: Serve) -> Demo:
    book = TokenBook()
    entries = [{"name": name, "token": token, "role": role} for name, token, role in TOKENS]
    book.read(orjson.dumps({"tokens": [*entries, NARROW]}))
    return await serve(ROUTES, database=kept.database, tokens=book)


async def test_who_was_refused_what_and_why_is_recorded_and_reading_is_not(demo: Demo, kept: Kept) -> None:
    for token, status, code in (("t-viewer", 403, "forbidden"), ("t-narrow", 403, "out_of_scope"), (None, 401, "")):
        for method, path in (("POST", "/orders"), ("GET", "/orders")):
            answer = await demo.call(method, path, token=token, headers={"X-Request-Id": f"by-{token}"})
            if (method, token) != ("GET", "t-viewer"):
                assert (answer.status, answer.json()["code"]) == (status, code or "unauthorized")
    assert await kept.records() == [
        ("vera", "viewer", "POST /orders", "by-t-viewer", _after("forbidden")),
        ("narrow", "operator", "POST /orders", "by-t-narrow", _after("out_of_scope", "demo:orders")),
        ("nobody", "none", "POST /orders", "by-None", _after("unauthorized")),
    ]


async def test_one_who_tries_again_is_counted_and_said_a_minute_later(kept: Kept) -> None:
    refusal = Forbidden("this token's role may not do that")

    async def tried(operation: str, times: int) -> None:
        await asyncio.gather(*(kept.calls.note(VERA, operation, refusal, request_id="r") for _ in range(times)))

    await tried("POST /orders", 50)
    await tried("DELETE /orders", 1)  # something else is said at once
    await tried("POST /orders", 7)
    assert [target for _, _, target, *_ in await kept.records()] == ["POST /orders", "DELETE /orders"]
    kept.now += 61
    await tried("POST /orders", 1)
    assert [target for _, _, target, *_ in await kept.records()] == ["POST /orders", "DELETE /orders", "POST /orders"]
    assert await kept.counted() == 50 + 1 + 7 + 1


async def test_a_flood_of_strangers_leaves_few_records_that_count_it_all_and_hides_nobody(kept: Kept) -> None:
    await kept.strangers(300, times=20)
    await kept.calls.note(VERA, "POST /orders", Forbidden("no"), request_id="r")
    records = await kept.records()
    assert [actor for actor, *_ in records] == ["nobody"] * 20 + ["vera"]
    for _ in range(24 * 60):  # a day of it, each operation every minute
        kept.now += 60
        await kept.strangers(5)
    day = await kept.records()
    assert len(day) - len(records) <= 24 * 60 / 5
    # Twelve more may be written an hour later. What is in no record yet is counted, too: nineteen more of eight operations, and 288.
    kept.now += 3600
    await kept.strangers(300)
    assert await kept.counted() == 300 * 20 + 1 + 24 * 60 * 5 + 300 - 8 * 19 - 288


async def test_a_refusal_stands_while_the_database_is_away_and_is_counted_later(
    database_for: Callable[[str], Awaitable[str]], serve: Serve
) -> None:
    async with proxied(await database_for("refunds")) as (proxy, dsn):
        database = Database(dsn, application_name="test")
        await database.open()
        kept = Kept(database)
        demo = await serve(ROUTES, database=database)
        assert await kept.records() == []
        proxy.stall()
        assert (await demo.call("POST", "/orders", token="t-viewer")).status == 403  # whatever becomes of its record
        for _ in range(3):
            await kept.calls.note(VERA, "POST /orders", Forbidden("no"), request_id="r")
        proxy.cut()
        proxy.heal()

        async def said() -> bool:
            kept.now += 61
            await kept.calls.note(VERA, "POST /orders", Forbidden("no"), request_id="r")
            return await kept.counted() >= 4

        await eventually(said, what="a record that counts those of before")
        await database.close()


async def test_a_refusal_is_recorded_although_its_caller_has_hung_up(kept: Kept) -> None:
    async with kept.database.transaction() as connection:
        await connection.execute("LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE")
        refused = asyncio.create_task(kept.calls.note(VERA, "POST /orders", Forbidden("no"), request_id="r"))
        await asyncio.sleep(0)
        refused.cancel()
        await asyncio.wait({refused})
        assert refused.cancelled()

    async def recorded() -> bool:
        return [after["more"] for *_, after in await kept.records()] == [0]

    await eventually(recorded, what="its record")


def _after(code: str, *lacking: str) -> dict[str, Any]:
    return {"code": code, "lacking": [*lacking], "more": 0, "left_out": 0}
