"""Broker, spool and database away, in turn and together: no acknowledged hook is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from common.contracts.intake import IntakeMessage
from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer, hook_body
from tests.support.alert_thresholds import alert_after
from tests.support.servers import CuttingProxy, eventually, proxied

Arrived = Callable[[int], Awaitable[list[IntakeMessage]]]
SPOOLED = 'gateway_requests_total{event="order.created",outcome="spooled",source="sbermarket"}'


@asynccontextmanager
async def behind(address: str) -> AsyncIterator[tuple[CuttingProxy, SecretStr]]:
    """A proxy in front of a server, and the address that leads through it."""
    async with proxied(address) as (proxy, url):
        yield proxy, SecretStr(url)


async def spooled_all_gone(gateway: Gateway) -> None:
    async def empty() -> bool:
        return await gateway.metric("gateway_spool_records") == 0.0

    await eventually(empty, what="an empty spool")


async def orders(gateway: Gateway, numbers: range) -> list[int]:
    answers = await asyncio.gather(*(gateway.send(hook_body(order=f"H{n}")) for n in numbers))
    return [status for status, _, _ in answers]


async def test_a_cut_broker_sends_hooks_to_the_spool_and_they_follow_in_order(
    start: Start, amqp_url: str, arrived: Arrived
) -> None:
    async with behind(amqp_url) as (proxy, url), start(amqp_url=url) as gateway:
        assert await orders(gateway, range(5)) == [200] * 5
        confirmed_late = int(await gateway.metric(SPOOLED))  # none, unless the machine is very busy
        proxy.refuse()
        for number in range(5, 25):
            assert (await gateway.send(hook_body(order=f"H{number}")))[0] == 200
        async with gateway.session.get(gateway.url + "/readyz") as answer:
            assert answer.status == 200
        assert await gateway.metric(SPOOLED) == 20.0 + confirmed_late
        proxy.heal()
        hooks = await arrived(25)
        assert sorted(hook.external_id or "" for hook in hooks) == sorted(f"H{n}" for n in range(25))
        relayed = [hook for hook in hooks if hook.lane == "spool"]
        assert [hook.external_id for hook in relayed][-20:] == [f"H{n}" for n in range(5, 25)]
        await spooled_all_gone(gateway)
        kept = await gateway.deliveries(25)
        assert [item["outcome"] for item in kept].count("spooled") == 20 + confirmed_late


async def test_what_waits_in_a_spool_is_told_by_every_replica(start: Start, amqp_url: str) -> None:
    async with start("gw-2") as other:
        async with behind(amqp_url) as (proxy, url), start("gw-1", ready=False, amqp_url=url) as gateway:
            proxy.refuse()
            assert await orders(gateway, range(3)) == [200] * 3
            own = await spool_of(gateway, "gw-1", 3)
            assert (own["as_of"], own["late_after_seconds"]) == (
                None,
                alert_after("webhook-gateway", "gateway_spool_oldest_seconds"),
            )
            noted = await spool_of(other, "gw-1", 3)
            assert noted["as_of"] is not None
            assert noted["oldest_seconds"] > 0
            # What the broker holds cannot be told by the replica that has none.
            said = {each["name"]: each["state"] for each in await queues_of(gateway)}
            assert (said["messages.webhook-gateway.recorder"], said["outbox"]) == ("unknown", "empty")
        gone = await spool_of(other, "gw-1", 3)  # its volume still holds them
        assert gone["state"] == "waiting"
        late = {each["name"]: each["late_after_seconds"] for each in await queues_of(other)}
        assert late == {
            "spool": late["spool"],
            "unarrived_orders": alert_after("webhook-gateway", "gateway_orders_unarrived_oldest_seconds"),
            "endangered_orders": alert_after("webhook-gateway", "gateway_endangered_oldest_seconds"),
            "endangered_reports": alert_after("webhook-gateway", "gateway_endangered_reports_oldest_seconds"),
            "messages.webhook-gateway.recorder": None,
            "messages.webhook-gateway.orders": None,
            "outbox": alert_after("webhook-gateway", "outbox_oldest_seconds"),
            "dead_letters": 0.0,
        }


async def queues_of(gateway: Gateway) -> list[dict[str, Any]]:
    """What waits, as a replica says it."""
    found: list[dict[str, Any]] = (await gateway.get("/admin/v1/queues"))["items"]
    return found


async def spool_of(gateway: Gateway, replica: str, records: int) -> dict[str, Any]:
    """Wait until a replica says that the spool of another, or its own, holds so many."""

    async def told() -> dict[str, Any]:
        spools = {each["replica"]: each for each in await queues_of(gateway) if each["name"] == "spool"}
        assert spools[replica]["waiting"] == records
        return spools[replica]

    return await eventually(told)


@pytest.mark.parametrize("batch_hooks", [False, True], ids=["alone", "together"])
async def test_a_broker_that_hangs_costs_nobody_an_answer(
    batch_hooks: bool, start: Start, amqp_url: str, arrived: Arrived
) -> None:
    async with (
        behind(amqp_url) as (proxy, url),
        start(amqp_url=url, confirm_deadline=0.1, batch_hooks=batch_hooks) as gateway,
    ):
        proxy.stall()
        assert await orders(gateway, range(30)) == [200] * 30
        assert await gateway.metric('gateway_breaker_state{state="closed"}') == 0.0
        proxy.heal()
        hooks = await arrived(30)
        assert {hook.external_id for hook in hooks} == {f"H{n}" for n in range(30)}
        await spooled_all_gone(gateway)

        async def closed() -> bool:
            return await gateway.metric('gateway_breaker_state{state="closed"}') == 1.0

        await eventually(closed, what="a closed circuit")

        async def all_spooled() -> bool:
            # What the broker took although its confirmation came late is one delivery, and it was answered as spooled.
            return {item["outcome"] for item in await gateway.deliveries(30)} == {"spooled"}

        await eventually(all_spooled, what="thirty spooled deliveries")


async def test_hooks_that_arrive_together_travel_together_and_each_is_answered_and_kept(
    start: Start, amqp_url: str, arrived: Arrived
) -> None:
    async with behind(amqp_url) as (proxy, url), start(amqp_url=url, batch_hooks=True) as gateway:
        assert await orders(gateway, range(1)) == [200]
        assert await gateway.metric("gateway_message_hooks_count") == 1.0
        proxy.delay(0.05)
        # Two of each order, and a large one: repeats are deliveries of their own.
        numbers = [*range(1, 50), *range(1, 50)]
        large = gateway.send(hook_body(order="H50", comment="x" * 200_000))
        answers = await asyncio.gather(*(gateway.send(hook_body(order=f"H{n}")) for n in numbers), large)
        assert [status for status, _, _ in answers] == [200] * 99
        hooks = await arrived(100)
        assert {hook.external_id for hook in hooks} == {f"H{n}" for n in range(51)}
        assert await gateway.metric("gateway_message_hooks_sum") >= 100.0
        assert await gateway.metric("gateway_message_hooks_count") < 50.0
        proxy.heal()
        await spooled_all_gone(gateway)
        kept = await gateway.deliveries(100)
        assert {item["external_id"] for item in kept} == {f"H{n}" for n in range(51)}


async def test_what_is_spooled_outlives_the_process(start: Start, amqp_url: str, arrived: Arrived) -> None:
    async with behind(amqp_url) as (proxy, url):
        proxy.refuse()
        async with start(ready=False, amqp_url=url) as gateway:
            assert await orders(gateway, range(10)) == [200] * 10
            assert await gateway.metric("gateway_spool_records") == 10.0
    async with start():
        assert len(await arrived(10)) == 10


async def test_with_no_path_left_the_answer_is_503_and_the_gateway_is_not_ready(start: Start, amqp_url: str) -> None:
    async with behind(amqp_url) as (proxy, url):
        proxy.refuse()
        async with start(ready=False, amqp_url=url, spool_limit_bytes=1024**2) as gateway:
            large = hook_body(comment="x" * 600_000)
            assert (await gateway.send(large))[0] == 200
            status, problem, headers = await gateway.send({**large, "event_type": "order.paid"})
            assert (status, problem["code"], headers["Retry-After"]) == (503, "no_lane", "1")
            assert (await gateway.send(hook_body(order="small")))[0] == 200  # there is still room for that
            while (await gateway.send(hook_body(comment="x" * 20_000)))[0] == 200:
                pass

            async with gateway.session.get(gateway.url + "/readyz") as answer:
                assert (answer.status, (await answer.json())["checks"]) == (
                    503,
                    {"lanes": "no storage path can take an order: RabbitMQ is away, and the spool is full"},
                )
            website = await gateway.send(
                {
                    "positions": [{"id": "1", "quantity": 1}],
                    "customer": {"phone": "+79990001122", "name": "x" * 30_000},
                },
                path="/api/v1/orders/",
                headers=bearer("website"),
            )
            assert website[0] == 503

            async def endangered() -> list[dict[str, Any]]:
                return list((await gateway.get("/admin/v1/endangered-orders"))["items"])

            kept = await eventually(endangered, what="the endangered order")
            assert [(item["status"], item["category"]) for item in kept] == [(503, "back_end")]


async def test_without_postgresql_hooks_are_taken_and_recorded_later(
    start: Start, database_for: Callable[[str], Awaitable[str]]
) -> None:
    dsn = await database_for("webhook_gateway")
    async with behind(dsn) as (proxy, address):
        proxy.refuse()
        async with start(postgres_dsn=address) as gateway:
            async with gateway.session.get(gateway.url + "/readyz") as answer:
                assert answer.status == 200
            assert await orders(gateway, range(10)) == [200] * 10
            async with gateway.session.get(gateway.url + "/admin/v1/deliveries", headers=bearer("viewer")) as answer:
                assert answer.status == 503
            proxy.heal()

            async def desk_answers() -> bool:
                async with gateway.session.get(
                    gateway.url + "/admin/v1/ledger",
                    headers=bearer("viewer"),
                    params={"from": "2026-01-01T00:00:00Z", "to": "2036-01-01T00:00:00Z"},
                ) as answer:
                    return answer.status == 200

            await eventually(desk_answers, what="a database that answers")
            assert len(await gateway.deliveries(10)) == 10
            proxy.cut()
            assert await orders(gateway, range(10, 20)) == [200] * 10
            assert len(await gateway.deliveries(20)) == 20


async def test_a_hook_confirmed_after_its_503_is_refused_in_the_ledger_and_counted_once(
    start: Start, amqp_url: str
) -> None:
    async with (
        behind(amqp_url) as (proxy, url),
        start(amqp_url=url, spool_limit_bytes=1024**2, confirm_deadline=0.4) as gateway,
    ):
        proxy.delay(0.7)  # the broker takes what it gets, and every confirmation comes too late
        answers = [(await gateway.send(hook_body(order=f"H{n}", comment="x" * 150_000)))[0] for n in range(9)]
        assert set(answers) == {200, 503}
        assert answers == sorted(answers)
        spooled, refused = answers.count(200), answers.count(503)
        proxy.heal()

        async def settled() -> bool:
            sums = await gateway.get("/admin/v1/ledger?from=2026-01-01T00:00:00Z&to=2036-01-01T00:00:00Z")
            counts = {name: sums[name] for name in ("received", "confirmed", "spooled", "quarantined", "refused")}
            return (
                counts
                == {
                    "received": 9,
                    "confirmed": 0,
                    "spooled": spooled,
                    "quarantined": 0,
                    "refused": refused,
                }
                and len((await gateway.get("/admin/v1/deliveries?outcome=refused"))["items"]) > 0
            )

        await eventually(settled, what="a ledger that counts each request once")
