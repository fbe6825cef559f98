"""Orders that the marketplace may cancel, and orders on their way to the orchestrator: known to all replicas, through restarts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from common.contracts.envelope import Envelope
from common.contracts.orders import OrderCreatedV1, OrderSnapshot
from common.ids import order_number
from common.messaging import Broker
from common.postgres import Connection, pool
from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer, hook_body
from tests.support.servers import eventually, proxied

STRICT: dict[str, Any] = {"path": "/hooks/v1/strict", "headers": {"Client-token": "strict-token"}}
RUNNING = 'gateway_countdown_running{source="%s"}'
SHORTEST = 'gateway_countdown_shortest_seconds{source="%s"}'


def broken(order: str = "H1") -> dict[str, Any]:
    """A created order that the source "strict" is answered 422."""
    body = hook_body(order=order)
    del body["payload"]["positions"]
    return body


async def shows(gateway: Gateway, series: str, value: float) -> None:
    async def probe() -> bool:
        return await gateway.metric(series) == value

    await eventually(probe, what=f"{series} {value}")


async def countdowns(gateway: Gateway, state: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await gateway.get(f"/admin/v1/countdowns?state={state}"))["items"]
    return items


async def running(gateway: Gateway) -> dict[str, Any]:
    """Wait until the only countdown is in the database, too: the metric shows it from the first moment on."""
    [item] = await eventually(lambda: countdowns(gateway, "running"), what="a countdown in the database")
    alone = await gateway.get(f"/admin/v1/countdowns/{item['number']}")
    assert {**alone, "remaining_seconds": None} == {**item, "remaining_seconds": None}
    return item


async def test_a_countdown_runs_through_a_restart_at_every_replica_until_a_repeat_succeeds(start: Start) -> None:
    async with start() as gateway:
        before = datetime.now(UTC)
        assert (await gateway.send(broken(), **STRICT))[0] == 422
        await shows(gateway, RUNNING % "strict", 1.0)
        first = await running(gateway)
        assert (first["source"], first["external_id"], first["number"], first["status"], first["reason"]) == (
            "strict",
            "H1",
            order_number("strict", "H1"),
            422,
            "refused",
        )
        whole = sum((60, 300, 900, 1800, 3600, 7200, 14400)) + 5
        started = datetime.fromisoformat(first["started_at"])
        assert datetime.fromisoformat(first["cancels_at"]) - started == timedelta(seconds=whole)
        assert before <= started
    async with start() as again, start("gw-2") as other:
        for replica in (again, other):
            await shows(replica, RUNNING % "strict", 1.0)
            assert 0 < await replica.metric(SHORTEST % "strict") < whole
        assert (await again.send(broken(), **STRICT))[0] == 422

        async def missed_again() -> bool:
            [now] = await countdowns(again, "running")
            return bool(now["missed_at"] > first["missed_at"]) and now["started_at"] == first["started_at"]

        await eventually(missed_again, what="the second miss, with the first one's start")
        assert (await other.send(hook_body(), **STRICT))[
            0
        ] == 200  # the marketplace repeats, well this time, at the other replica
        for replica in (again, other):
            await shows(replica, RUNNING % "strict", 0.0)
            assert await replica.metric(SHORTEST % "strict") == float("inf")
        assert await countdowns(again, "running") == []
        [answered] = await countdowns(again, "answered")
        assert answered["answered_at"] > answered["missed_at"]


async def test_with_everything_dead_a_countdown_is_in_memory_and_written_later(
    start: Start, amqp_url: str, database_for: Callable[[str], Awaitable[str]]
) -> None:
    dsn = await database_for("webhook_gateway")
    async with proxied(amqp_url) as (broker, rabbit), proxied(dsn) as (database, postgres):
        changes: dict[str, Any] = {
            "amqp_url": SecretStr(rabbit),
            "postgres_dsn": SecretStr(postgres),
            "spool_limit_bytes": 1024**2,
        }
        async with start(**changes) as gateway:
            broker.refuse()
            while (await gateway.send(hook_body(order="filler", comment="x" * 200_000)))[0] == 200:
                pass
            while (await gateway.send(hook_body("order.paid", order="filler", comment="x" * 20_000)))[0] == 200:
                pass
            database.refuse()
            for order in ("H1", "H2"):
                assert (await gateway.send(hook_body(order=order, comment="x" * 20_000)))[0] == 503
            assert (await gateway.send(hook_body("order.paid", order="H3", comment="x" * 20_000)))[0] == 503
            await shows(gateway, RUNNING % "sbermarket", 3.0)  # two and the filler
            database.heal()
            await shows(gateway, "gateway_countdown_unsaved", 0.0)

            async def written() -> bool:
                async with gateway.session.get(
                    gateway.url + "/admin/v1/countdowns?state=running", headers=bearer("viewer")
                ) as answer:
                    items = (await answer.json()).get("items", [])
                    return {item["external_id"] for item in items} == {"H1", "H2", "filler"}

            await eventually(written, what="three countdowns in the database")
            broker.heal()

            async def taken() -> bool:
                answers = [await gateway.send(hook_body(order=order)) for order in ("H1", "H2", "filler")]
                return [status for status, _, _ in answers] == [200] * 3 and not await countdowns(gateway, "running")

            await eventually(taken, what="repeats that stop the countdowns")


async def test_an_answer_that_nobody_waited_for_starts_a_countdown(start: Start, amqp_url: str, tmp_path: Path) -> None:
    hasty = tmp_path / "hasty.json"
    hasty.write_text(
        json.dumps(
            {
                "sbermarket": {
                    "auth": {"kind": "client_token", "tokens": ["new-token"]},
                    "answer_within": 0.3,
                    "repeats": [1, 2, 4],
                }
            }
        )
    )
    async with (
        proxied(amqp_url) as (broker, address),
        start(amqp_url=SecretStr(address), sources_file=hasty, confirm_deadline=0.6, breaker_failures=1) as gateway,
    ):
        broker.stall()
        assert (await gateway.send(hook_body()))[0] == 200  # after the broker's deadline: too late for this source
        assert await gateway.metric('gateway_late_answers_total{reason="slow",source="sbermarket"}') == 1.0
        await shows(gateway, RUNNING % "sbermarket", 1.0)
        broker.heal()
        item = await running(gateway)
        assert (item["status"], item["reason"]) == (200, "slow")

        async def stopped() -> bool:
            await gateway.send(hook_body())
            return not await countdowns(gateway, "running") and bool(await countdowns(gateway, "answered"))

        await eventually(stopped, what="a repeat that was answered in time")


async def test_an_acknowledged_order_is_awaited_until_the_orchestrator_tells_of_it(start: Start, amqp_url: str) -> None:
    number = order_number("sbermarket", "H1")
    async with start() as gateway:
        assert [(await gateway.send(hook_body()))[0] for _ in range(2)] == [200, 200]
        await shows(gateway, "gateway_orders_unarrived", 1.0)
        assert await gateway.metric("gateway_orders_unarrived_oldest_seconds") > 0.0
        [order] = (await gateway.get("/admin/v1/unarrived-orders"))["items"]
        assert (order["number"], order["source"], order["external_id"]) == (number, "sbermarket", "H1")
        before = await gateway.get("/admin/v1/arrivals")
        await announced_by_the_orchestrator(amqp_url, number)
        await shows(gateway, "gateway_orders_unarrived", 0.0)
        assert await gateway.metric("gateway_orders_unarrived_oldest_seconds") == 0.0
        after = await gateway.get("/admin/v1/arrivals")
        sums = ("acknowledged", "arrived", "given_up", "waiting")
        assert [tuple(told[name] for name in sums) for told in (before, after)] == [(1, 0, 0, 1), (1, 1, 0, 0)]
        await gateway.send(hook_body())  # another repeat awaits nothing
        await gateway.deliveries(3)
        await shows(gateway, "gateway_orders_unarrived", 0.0)


async def test_the_orchestrator_may_be_faster_than_the_recorder(start: Start, amqp_url: str) -> None:
    async with start() as gateway:
        await announced_by_the_orchestrator(amqp_url, order_number("sbermarket", "H1"))
        await shows(gateway, 'consumer_events_total{outcome="handled",queue="webhook-gateway.orders"}', 1.0)
        await gateway.send(hook_body())
        await gateway.deliveries(1)
        assert (await gateway.get("/admin/v1/unarrived-orders"))["items"] == []


async def test_a_quarantined_created_is_awaited_until_a_person_decides(start: Start) -> None:
    async with start() as gateway:
        assert (await gateway.send(broken()))[0] == 200
        await shows(gateway, "gateway_orders_unarrived", 1.0)
        [delivery] = await gateway.deliveries(1)
        path = f"/admin/v1/deliveries/{delivery['id']}/dismiss"
        assert (await gateway.change(path, {"reason": "a test order", "dry_run": True}))[1]["dismissed"] is False
        await shows(gateway, "gateway_orders_unarrived", 1.0)
        status, answer = await gateway.change(path, {"reason": "a test order"})
        assert (status, answer["delivery_id"], answer["dismissed"]) == (200, delivery["id"], True)
        await shows(gateway, "gateway_orders_unarrived", 0.0)
        assert (await gateway.change(path, {"reason": "again"}))[0] == 409
        [entry] = (await gateway.get("/admin/v1/audit", role="admin"))["items"]
        assert (entry["action"], entry["reason"]) == ("delivery.dismiss", "a test order")
        await gateway.send(hook_body(order="H2"))
        good = (await gateway.deliveries(2))[-1]
        assert (await gateway.change(f"/admin/v1/deliveries/{good['id']}/dismiss", {"reason": "not quarantined"}))[
            0
        ] == 409


async def announced_by_the_orchestrator(amqp_url: str, number: str) -> None:
    """Publish what the orchestrator publishes about a new order."""
    now = datetime.now(UTC)
    order = OrderSnapshot(
        number=number,
        source="sbermarket",
        external_id="H1",
        version=1,
        status="created",
        closed_for_changes=False,
        shipped=False,
        updated_at=now,
    )
    event = Envelope.of(
        OrderCreatedV1(order=order, notify=True, occurred_at=now),
        event_id=f"created-{number}",
        source="/orchestrator",
        subject=number,
        time=now,
    )
    broker = Broker(amqp_url, name="orchestrator")
    task = asyncio.create_task(broker.run())
    try:

        async def published() -> bool:
            if not broker.publisher.ready:
                return False
            await broker.publisher.publish(event)
            return True

        await eventually(published, what="a published event")
    finally:
        await broker.stop()
        await task


async def test_no_days_deliveries_are_opened_while_no_countdown_runs(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, prepare = list[str](), pool.prepare_connection

    async def prepare_and_note(connection: Connection) -> None:
        await prepare(connection)
        connection.add_query_logger(lambda record: seen.append(record.query.strip()))

    monkeypatch.setattr(pool, "prepare_connection", prepare_and_note)

    def rounds() -> int:
        return sum("webhook_gateway.countdowns" in query for query in seen)

    async def three_rounds() -> bool:
        return rounds() > 3

    async def settles() -> bool:
        return any(query.startswith("UPDATE countdowns") for query in seen)

    async with start() as gateway:
        await eventually(three_rounds, within=60)
        assert [query for query in seen if query.startswith(("UPDATE countdowns", "UPDATE deliveries"))] == []
        assert (await gateway.send(broken(), **STRICT))[0] == 422
        await eventually(settles)
