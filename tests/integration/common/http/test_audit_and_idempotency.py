"""Audit records and idempotency keys on a real PostgreSQL, with callers racing each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from pydantic import BaseModel

from common.errors import Conflict
from common.http import (
    OPERATOR,
    AdminChange,
    IdempotencyKeyReused,
    Principal,
    Reply,
    Request,
    Route,
    audit,
    audit_routes,
    forget_keys,
    idempotent,
    once,
)
from common.postgres import Database
from tests.support.servers import eventually

from .conftest import Answer, Demo

ANNA = Principal(name="anna", role="admin")


@pytest.fixture
async def database(database_for: Callable[[str], Awaitable[str]]) -> AsyncIterator[Database]:
    """An open pool on a fresh database with the platform's tables."""
    pool = Database(await database_for("refunds"), application_name="test", max_size=12)
    await pool.open()
    yield pool
    await pool.close()


class Stop(AdminChange):
    """Stop something."""

    name: str


class Stopped(BaseModel):
    """What was stopped; the serial shows which execution answers."""

    name: str
    serial: int


class Shop:
    """A use case with an effect that can be counted, behind audit and idempotency as services use them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.runs = 0
        self.started = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def stop(self, request: Request[Stop, None]) -> Any:
        async with self.database.transaction() as connection:

            async def work() -> Stopped | Reply:
                self.runs += 1
                serial = self.runs
                self.started.set()
                await self.gate.wait()
                if request.body.name == "finished":
                    raise Conflict("already finished")
                if not request.body.dry_run:
                    await audit.record(
                        connection, principal=request.principal, action="workflow.stop", target=f"workflow:{request.body.name}",
                        reason=request.body.reason, before={"state": 1}, after=Stopped(name=request.body.name, serial=serial),
                        request_id=request.request_id,
                    )  # fmt: skip
                answer = Stopped(name=request.body.name, serial=serial)
                return Reply(answer, status=202) if request.body.name == "slow" else answer

            return await once(connection, request, work)

    def routes(self) -> Sequence[Route]:
        return (
            Route(method="POST", path="/admin/v1/stop", handler=self.stop, summary="Stop", request=Stop, response=Stopped,
                  roles=OPERATOR, idempotent=True),
            *audit_routes(self.database),
        )  # fmt: skip


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


@pytest.fixture
async def demo(shop: Shop, serve: Callable[[Sequence[Route]], Awaitable[Demo]]) -> Demo:
    return await serve(shop.routes())


async def stop(demo: Demo, key: str | None, name: str = "w1", *, as_admin: bool = False, **more: Any) -> Answer:
    token = "t-admin" if as_admin else "t-operator"
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"name": name, "reason": "it loops", **more}
    return await demo.call("POST", "/admin/v1/stop", token=token, json=body, headers=headers)


async def test_the_same_key_and_request_gives_the_stored_answer_and_does_the_work_once(demo: Demo, shop: Shop) -> None:
    first, second = await stop(demo, "k1", "slow"), await stop(demo, "k1", "slow")
    assert (first.status, second.status, shop.runs) == (202, 202, 1)
    assert first.json() == second.json() == {"name": "slow", "serial": 1}
    assert ("Idempotency-Replayed" in first.headers, second.headers["Idempotency-Replayed"]) == (False, "true")


async def test_two_at_once_do_the_work_once_and_the_second_gets_the_first_one_s_answer(demo: Demo, shop: Shop) -> None:
    shop.gate.clear()
    racers = [asyncio.create_task(stop(demo, "k1")) for _ in range(8)]
    await asyncio.wait_for(shop.started.wait(), 60)
    async with shop.database.acquire() as connection:

        async def seven_wait() -> bool:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'"
            return bool(await connection.fetchval(waiting) >= 7)

        await eventually(seven_wait, what="seven requests waiting on the first one's row")
    shop.gate.set()
    answers = await asyncio.gather(*racers)
    assert [(answer.status, answer.json()) for answer in answers] == [(200, {"name": "w1", "serial": 1})] * 8
    assert sorted("Idempotency-Replayed" in answer.headers for answer in answers) == [False] + [True] * 7
    assert shop.runs == 1
    assert len((await demo.call("GET", "/admin/v1/audit", token="t-viewer")).json()["items"]) == 1


async def test_the_same_key_with_another_request_is_409(demo: Demo) -> None:
    await stop(demo, "k1")
    answer = await stop(demo, "k1", "w2")
    assert (answer.status, answer.json()["code"]) == (409, "idempotency_key_reused")


async def test_a_key_belongs_to_its_caller(demo: Demo, shop: Shop) -> None:
    await stop(demo, "k1")
    assert (await stop(demo, "k1", "w2", as_admin=True)).status == 200
    assert shop.runs == 2


async def test_failed_work_leaves_the_key_free(demo: Demo, shop: Shop) -> None:
    assert [(await stop(demo, "k1", "finished")).status for _ in range(2)] == [409, 409]
    assert shop.runs == 2
    assert (await stop(demo, "k1", "w1")).status == 200


async def test_without_a_key_the_work_is_done_every_time(demo: Demo, shop: Shop) -> None:
    for _ in range(2):
        assert (await stop(demo, None)).status == 200
    assert shop.runs == 2


@pytest.mark.parametrize("key", ["", "with blank", "ключ", "x" * 256])
async def test_a_malformed_key_is_400_and_nothing_is_done(demo: Demo, shop: Shop, key: str) -> None:
    answer = await stop(demo, key)
    assert (answer.status, answer.json()["code"], shop.runs) == (400, "invalid_input", 0)


async def test_work_that_keeps_no_answer_is_a_mistake_and_rolls_back(database: Database) -> None:
    claim = {"scope": "s", "key": "k", "fingerprint": b"f"}
    with pytest.raises(RuntimeError, match="without an answer"):
        async with database.transaction() as connection, idempotent(connection, **claim):  # type: ignore[arg-type]  # a mixed dict
            pass
    async with database.transaction() as connection, idempotent(connection, **claim) as attempt:  # type: ignore[arg-type]  # the same
        assert attempt.stored is None
        attempt.save(status=204, body=None)
    async with database.transaction() as connection, idempotent(connection, **claim) as attempt:  # type: ignore[arg-type]  # the same
        assert attempt.stored is not None
        assert (attempt.stored.status, attempt.stored.body) == (204, None)
    with pytest.raises(IdempotencyKeyReused):
        async with database.transaction() as connection, idempotent(connection, scope="s", key="k", fingerprint=b"g"):
            pass


async def test_old_keys_are_forgotten_in_batches_and_young_ones_stay(
    demo: Demo, database: Database, shop: Shop
) -> None:
    for number in range(4):
        await stop(demo, f"k{number}")
    async with database.acquire() as connection:
        await connection.execute("UPDATE idempotency_keys SET created_at = now() - interval '2 days' WHERE key <> 'k3'")
        assert [await forget_keys(connection, older_than=timedelta(days=1), limit=2) for _ in range(3)] == [2, 1, 0]
    assert "Idempotency-Replayed" in (await stop(demo, "k3")).headers
    assert "Idempotency-Replayed" not in (await stop(demo, "k0")).headers
    assert shop.runs == 5


async def test_outside_a_transaction_neither_keys_nor_records_are_written(database: Database) -> None:
    async with database.acquire() as connection:
        with pytest.raises(RuntimeError, match="transaction"):
            async with idempotent(connection, scope="s", key="k", fingerprint=b"f"):
                pass
        with pytest.raises(RuntimeError, match="transaction"):
            await audit.record(
                connection,
                principal=ANNA,
                action="a",
                target="t",
                reason="why",
                before=None,
                after=None,
                request_id="r",
            )


async def test_a_change_leaves_one_record_with_who_when_why_before_and_after(demo: Demo) -> None:
    done = await demo.call(
        "POST",
        "/admin/v1/stop",
        token="t-operator",
        json={"name": "w1", "reason": "  it loops  "},
        headers={"X-Request-Id": "req-9"},
    )
    assert done.status == 200
    [item] = (await demo.call("GET", "/admin/v1/audit", token="t-viewer")).json()["items"]
    assert item.pop("at").endswith("Z")
    assert item == {
        "id": 1,
        "actor": "olga",
        "role": "operator",
        "action": "workflow.stop",
        "target": "workflow:w1",
        "reason": "it loops",
        "before": {"state": 1},
        "after": {"name": "w1", "serial": 1},
        "request_id": "req-9",
    }


@pytest.mark.parametrize("reason", [None, "", "no", "     ", "x" * 1001])
async def test_a_change_without_a_reason_is_refused(demo: Demo, shop: Shop, reason: str | None) -> None:
    answer = await demo.call("POST", "/admin/v1/stop", token="t-operator", json={"name": "w1", "reason": reason})
    assert (answer.status, answer.json()["fields"][0]["field"], shop.runs) == (422, "reason", 0)


async def test_a_dry_run_leaves_no_record_and_a_rolled_back_change_none_either(demo: Demo) -> None:
    await stop(demo, None, dry_run=True)
    await stop(demo, None, "finished")
    assert (await demo.call("GET", "/admin/v1/audit", token="t-viewer")).json() == {"items": [], "next_cursor": None}


async def test_the_log_pages_newest_first_and_filters(demo: Demo) -> None:
    for number in range(5):
        await stop(demo, None, f"w{number % 2}", as_admin=number == 4)

    async def ids(query: str) -> tuple[list[int], str | None]:
        page = (await demo.call("GET", f"/admin/v1/audit?{query}", token="t-viewer")).json()
        return [item["id"] for item in page["items"]], page["next_cursor"]

    first, cursor = await ids("limit=2")
    second, after = await ids(f"limit=2&cursor={cursor}")
    third, end = await ids(f"limit=2&cursor={after}")
    assert (first, second, third, end) == ([5, 4], [3, 2], [1], None)
    assert await ids("target=workflow:w1") == ([4, 2], None)
    assert await ids("actor=anna") == ([5], None)
    assert await ids("action=workflow.stop&target=workflow:none") == ([], None)


async def test_the_log_can_be_neither_changed_nor_emptied(demo: Demo, database: Database) -> None:
    await stop(demo, None)
    async with database.acquire() as connection:
        for statement in ("UPDATE audit_log SET reason = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                await connection.execute(statement)


async def test_a_service_without_a_database_has_an_empty_log(
    serve: Callable[[Sequence[Route]], Awaitable[Demo]],
) -> None:
    demo = await serve(audit_routes(None))
    assert (await demo.call("GET", "/admin/v1/audit", token="t-viewer")).json() == {"items": [], "next_cursor": None}


async def test_a_database_that_goes_away_is_503_and_comes_back(demo: Demo, database: Database) -> None:
    assert (await stop(demo, None)).status == 200
    await database.close()
    answer = await stop(demo, None)
    assert (answer.status, answer.json()["code"], answer.headers["Retry-After"]) == (503, "unavailable", "1")
    await database.open()
    assert (await stop(demo, None)).status == 200
