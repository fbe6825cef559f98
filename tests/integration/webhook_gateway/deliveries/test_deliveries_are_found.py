"""Deliveries are found by what a customer says, and the customer in them is masked, and erased."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr

from common.ids import new_id, order_number
from common.postgres import Database
from tests.integration.webhook_gateway.conftest import TOKEN, Gateway, Start, bearer, hook_body
from tests.support.plans import WatchedDatabase
from webhook_gateway.deliveries.digest_old import DigestOld
from webhook_gateway.deliveries.digests import PeopleDigests
from webhook_gateway.deliveries.search import DeliverySearch
from webhook_gateway.deliveries.views import DeliveryFilter

ANNA: dict[str, Any] = {
    "customer": {"name": "Анна Семёнова", "phone": "8 (916) 123-45-67", "email": "anna@example.ru"},
    "address": {"full_address": "Тверская 1"},
}
IVAN: dict[str, Any] = {"customer": {"name": "Иван Петров", "phone": "+79160000000"}}
DELIVERIES = "/admin/v1/deliveries"


async def found(gateway: Gateway, **query: str) -> list[str]:
    """The external ids of the deliveries that a query finds, the newest first."""
    async with gateway.session.get(gateway.url + DELIVERIES, params=query, headers=bearer("viewer")) as answer:
        assert answer.status == 200, await answer.text()
        return [item["external_id"] for item in (await answer.json())["items"]]


async def test_a_delivery_is_found_by_every_thing_that_a_person_knows(start: Start) -> None:
    async with start() as gateway:
        await gateway.send(hook_body(order="H1", **ANNA))
        await gateway.send(hook_body(order="H2", **IVAN))
        await gateway.send(hook_body("order.paid", order="H1"))
        [first, *_] = await gateway.deliveries(3)
        for asked, orders in {
            "89161234567": ["H1"],
            "+7 916 123-45-67": ["H1"],
            "ANNA@example.ru": ["H1"],
            "семенова": ["H1"],
            "Анна 9161234567": ["H1"],
            "Анна 9160000000": [],
            "петров": ["H2"],
            "H1": ["H1", "H1"],
            order_number("sbermarket", "H1").lower(): ["H1", "H1"],
            str(first["id"]): ["H1"],
            first["received_at"][:10]: ["H1", "H2", "H1"],
            f"анна {first['received_at'][:13]}": ["H1"],
            "анна 2020-01-01": [],
            "Мария": [],
        }.items():
            assert (asked, await found(gateway, q=asked)) == (asked, orders)
        assert await found(gateway, q="Анна", event="order.paid") == []
        assert await found(gateway, external_id="H1", event="order.paid") == ["H1"]
        async with gateway.session.get(gateway.url + DELIVERIES, params={"q": " "}, headers=bearer("viewer")) as answer:
            assert (answer.status, (await answer.json())["fields"][0]["field"]) == (400, "q")


async def test_a_delivery_is_found_by_its_trace_however_old_it_is(start: Start) -> None:
    trace = new_id().replace("-", "")
    async with start() as gateway:
        headers = {**TOKEN, "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        await gateway.send(hook_body(order="H1"), headers=headers)
        for number in range(3):
            await gateway.send(hook_body(order=f"L{number}"))
        await gateway.deliveries(4)
        assert (await found(gateway, trace=trace), await found(gateway, trace="f" * 32)) == (["H1"], [])
        async with gateway.session.get(
            gateway.url + DELIVERIES, params={"trace": trace[:8]}, headers=bearer("viewer")
        ) as answer:
            assert (answer.status, (await answer.json())["fields"][0]["field"]) == (400, "trace")


_TRACED = """
INSERT INTO deliveries (delivery_id, received_at, type, event_id, source, event, outcome, lane, replica, body_form, body, headers,
                        traceparent)
SELECT gen_random_uuid(), now() - interval '1 minute' * n, 'intake.hook.received.v1', 'e', 'sbermarket', 'order.created', 'confirmed',
       'broker', 'gw-0', 'envelope', '', '{}', '00-' || lpad(to_hex(n), 32, '0') || '-00f067aa0ba902b7-01'
FROM generate_series(1, $1) AS n
"""


async def test_a_trace_is_looked_up_in_an_index(database_for: Callable[[str], Awaitable[str]]) -> None:
    database = WatchedDatabase(await database_for("webhook_gateway"))
    await database.open()
    search = DeliverySearch(database, PeopleDigests([b"key"]))
    async with database.acquire() as connection:
        await connection.execute(_TRACED, 5000)
        await connection.execute("ANALYZE deliveries")
    database.plans.clear()
    for trace, rows in ((f"{7:032x}", 1), ("f" * 32, 0)):
        statement, values = search.select(DeliveryFilter(trace=trace), after=None, limit=51)
        for _ in range(7):  # past five executions there may be one plan for all values
            async with database.acquire() as connection:
                assert len(await connection.fetch(statement, *values)) == rows
    conditions = database.index_conditions()
    assert conditions
    assert all("substr(traceparent, 4, 32)" in condition for condition in conditions), conditions
    await database.close()


async def test_deliveries_of_an_old_key_are_found_while_it_stands_behind_the_new_one(start: Start) -> None:
    async with start(search_keys=(SecretStr("old"),)) as gateway:
        await gateway.send(hook_body(order="H1", **ANNA))
        await gateway.deliveries(1)
    async with start(search_keys=(SecretStr("new"), SecretStr("old"))) as gateway:
        await gateway.send(hook_body("order.changed", order="H2", **ANNA))
        await gateway.deliveries(2)
        assert await found(gateway, q="9161234567") == ["H2", "H1"]
    async with start(search_keys=(SecretStr("new"),)) as gateway:
        assert await found(gateway, q="9161234567") == ["H2"]


async def test_viewers_see_no_customer_and_every_whole_reading_is_recorded(start: Start) -> None:
    async with start() as gateway:
        await gateway.send(hook_body(order="H1", **ANNA))
        await gateway.send(b'{"customer": "' + "Анна".encode())
        whole, broken = await gateway.deliveries(2)
        for one in (whole, broken):
            shown = json.dumps(await gateway.get(f"{DELIVERIES}/{one['id']}"), ensure_ascii=False)
            for secret in ("Анн", "(916)", "123-45", "765", "example.ru", "Тверская"):
                assert secret not in shown
        assert "sku-1" in (await gateway.get(f"{DELIVERIES}/{whole['id']}"))["body"]
        assert (await gateway.get("/admin/v1/audit"))["items"] == []
        read = await gateway.get(f"{DELIVERIES}/{whole['id']}", role="operator")
        assert json.loads(read["body"])["payload"]["customer"] == ANNA["customer"]
        [record] = (await gateway.get("/admin/v1/audit"))["items"]
        assert (record["action"], record["actor"], record["target"]) == (
            "customer_data.read",
            "operator",
            f"{DELIVERIES}/{whole['id']}",
        )


@pytest.mark.parametrize(
    "whom",
    [
        {"phone": "+7 (916) 123 45 67"},
        {"phone": "8 916 765-43-21"},
        {"email": "anna@EXAMPLE.ru"},
        {"order_number": "H1"},
    ],
)
async def test_a_customer_is_erased_in_every_delivery_of_the_order(start: Start, whom: dict[str, str]) -> None:
    if "order_number" in whom:
        whom = {"order_number": order_number("sbermarket", "H1")}
    async with start() as gateway:
        await gateway.send(hook_body(order="H1", **ANNA, replacementPolicy="спросить Анну, +7(916)765-4321"))
        await gateway.send(hook_body("order.changed", order="H1", address=ANNA["address"]))
        await gateway.send(hook_body(order="H2", **IVAN))
        created, changed, other = await gateway.deliveries(3)
        tried = await gateway.change(
            "/admin/v1/erasures", {"reason": "asked for it", "dry_run": True, **whom}, role="admin"
        )
        done = await gateway.change("/admin/v1/erasures", {"reason": "asked for it", **whom}, role="admin")
        again = await gateway.change("/admin/v1/erasures", {"reason": "asked again", **whom}, role="admin")
        assert [answer["by_kind"]["deliveries"] for _, answer in (tried, done, again)] == [2, 2, 0]
        assert "spool" in done[1]["kept"]
        for one in (created, changed):
            left = await gateway.get(f"{DELIVERIES}/{one['id']}", role="operator")
            assert (left["headers"], "sku-1" in left["body"], left["number"]) == ({}, True, one["number"])
            kept = json.dumps(json.loads(left["body"]), ensure_ascii=False)
            for secret in ("Анна", "(916)", "123-45", "example.ru", "Тверская"):
                assert secret not in kept
        untouched = await gateway.get(f"{DELIVERIES}/{other['id']}", role="operator")
        assert json.loads(untouched["body"])["payload"]["customer"] == IVAN["customer"]
        assert await found(gateway, q="Анна") == []
        assert await found(gateway, q="Иван") == ["H2"]
        status, problem = await gateway.change(f"{DELIVERIES}/{created['id']}/replay", {"reason": "as it is"})
        assert (status, problem["code"]) == (409, "erased")
        bulk = {"ids": [created["id"]], "reason": "as it is", "dry_run": True}
        _, many = await gateway.change(f"{DELIVERIES}/replay", bulk)
        assert [item["code"] for item in many["items"]] == ["erased"]
        mended = {"reason": "she called", "body": hook_body(order="H1", **ANNA)}
        assert (await gateway.change(f"{DELIVERIES}/{created['id']}/replay", mended))[0] == 200


_AS_THE_RELEASE_BEFORE = """
INSERT INTO deliveries (delivery_id, received_at, type, event_id, source, event, number, external_id, outcome, lane, replica, body_form,
                        body, headers)
VALUES ($1, now(), 'intake.hook.received.v1', 'e', 'sbermarket', 'order.created', $2, $2, 'confirmed', 'broker', 'gw-0', 'envelope',
        $3, '{}')
"""


async def test_deliveries_recorded_by_the_release_before_are_found_soon(
    database_for: Callable[[str], Awaitable[str]],
) -> None:
    database = Database(await database_for("webhook_gateway"), application_name="test")
    await database.open()
    digests = PeopleDigests([b"key"])
    async with database.acquire() as connection:
        for number in range(1100):
            body = json.dumps(hook_body(**(ANNA if number % 2 else IVAN))).encode()
            await connection.execute(_AS_THE_RELEASE_BEFORE, new_id(), f"N{number}", body)
    done: list[int] = []
    while sum(done) < 1100:  # two replicas at once
        done += await asyncio.gather(*(DigestOld(database, digests)() for _ in range(2)))
    search = DeliverySearch(database, digests)
    statement, values = search.select(DeliveryFilter(q="Семенова Анна"), after=None, limit=2000)
    async with database.acquire() as connection:
        rows = await connection.fetch(statement, *values)
    await database.close()
    assert {row["number"] for row in rows} == {f"N{number}" for number in range(1, 1100, 2)}
    assert sum(done) == 1100
