"""PostgreSQL's and RabbitMQ's connections are cut, stalled and refused while orders flow: everything ends right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from yarl import URL

from tests.support.servers import CuttingProxy, cutting_proxy, eventually


def through(address: str, proxy: CuttingProxy) -> SecretStr:
    """The same address, by way of the proxy."""
    return SecretStr(str(URL(address).with_host("127.0.0.1").with_port(proxy.port)))


@pytest.fixture
async def database_proxy(dsn: str) -> AsyncIterator[CuttingProxy]:
    """A proxy in front of PostgreSQL."""
    url = URL(dsn)
    async with cutting_proxy(str(url.host), int(url.port or 5432)) as proxy:
        yield proxy


@pytest.fixture
async def broker_proxy(amqp_url: str) -> AsyncIterator[CuttingProxy]:
    """A proxy in front of RabbitMQ."""
    url = URL(amqp_url)
    async with cutting_proxy(str(url.host), int(url.port or 5672)) as proxy:
        yield proxy


def lives(gateway: Any, count: int) -> list[Any]:
    """All hooks of some orders, order by order."""
    hooks = []
    for index in range(count):
        name = f"F{index}"
        hooks += [
            gateway.hook(name, "order.created", minute=1, positions=[gateway.position("a")]),
            gateway.hook(name, "order.changed", minute=2, positions=[gateway.position("a", 3)]),
            gateway.hook(name, "order.received", minute=3),
            gateway.hook(name, "order.delivered", minute=4),
        ]
    return hooks


async def everything_delivered(database: Any, count: int) -> None:
    """Wait for the end, then check that nothing happened twice."""

    async def done() -> bool:
        row = await database.fetchrow(
            "SELECT (SELECT count(*) FROM orders WHERE status = 'delivered') AS delivered,"
            " (SELECT sum(quantity)::int FROM stock_movements) AS stock, (SELECT count(*) FROM outbox) AS promised,"
            " (SELECT count(*) FROM workflow WHERE state <> 3) AS open,"
            " (SELECT count(*) FROM workflow_ready WHERE ready_at <= clock_timestamp()) AS ready"
        )
        assert dict(row) == {"delivered": count, "stock": -3 * count, "promised": 0, "open": 0, "ready": 0}
        return True

    await eventually(done, what="every order is delivered")


async def test_the_database_cut_again_and_again_loses_and_doubles_nothing(
    start: Any, gateway: Any, database: Any, dsn: str, database_proxy: CuttingProxy
) -> None:
    await start(postgres_dsn=through(dsn, database_proxy), lease=2.0, max_attempts=20)
    hooks = lives(gateway, 60)
    for start_at in range(0, len(hooks), 24):
        await gateway.send(*hooks[start_at : start_at + 24])
        database_proxy.cut()
    await everything_delivered(database, 60)


async def test_a_commit_whose_answer_is_lost_is_not_done_twice(
    start: Any, gateway: Any, database: Any, dsn: str, database_proxy: CuttingProxy
) -> None:
    await start(postgres_dsn=through(dsn, database_proxy), lease=2.0, max_attempts=20)
    hooks = lives(gateway, 20)
    for start_at in range(0, len(hooks), 20):
        sending = asyncio.create_task(gateway.send(*hooks[start_at : start_at + 20]))
        database_proxy.lose_answers()
        await sending
        database_proxy.cut()
        database_proxy.heal()
    await everything_delivered(database, 20)


async def test_the_broker_cut_and_refusing_loses_and_doubles_nothing(
    start: Any, gateway: Any, database: Any, amqp_url: str, broker_proxy: CuttingProxy, listener: Any
) -> None:
    await start(amqp_url=through(amqp_url, broker_proxy))
    hooks = lives(gateway, 40)
    for start_at in range(0, len(hooks), 40):
        broker_proxy.refuse()
        await gateway.send(*hooks[start_at : start_at + 40])
        broker_proxy.heal()
        broker_proxy.cut()
    await everything_delivered(database, 40)
    announced = {event.id for event in await listener.take("notifier.orders")}
    assert len(announced) == 4 * 40


async def test_readiness_says_what_is_missing_and_work_goes_on_when_it_is_back(
    start: Any, gateway: Any, database: Any, dsn: str, database_proxy: CuttingProxy
) -> None:
    api = await start(postgres_dsn=through(dsn, database_proxy), lease=2.0, max_attempts=20)
    database_proxy.refuse()

    async def unready() -> bool:
        async with api.session.get(api.url + "/readyz") as answer:
            body = await answer.json()
        assert (answer.status, "does not answer" in body["checks"]["postgres"]) == (503, True)
        return True

    await eventually(unready)
    async with api.session.get(api.url + "/livez") as answer:
        assert answer.status == 200
    await gateway.send(*lives(gateway, 3))
    database_proxy.heal()
    await everything_delivered(database, 3)
