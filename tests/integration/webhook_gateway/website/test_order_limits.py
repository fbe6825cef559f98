"""How often one phone, address and network may order: shared by replicas, never for managers, never at the price of an order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from common.contracts.intake import IntakeMessage
from common.ids import order_number
from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer
from tests.support.servers import proxied

Arrived = Callable[[int], Awaitable[list[IntakeMessage]]]
ORDERS = "/api/v1/orders/"


def order(**changes: Any) -> dict[str, Any]:
    """A website's order without a name of its own."""
    return {
        "positions": [{"id": "sku-1", "quantity": 1, "price": "10.00"}],
        "customer": {"name": "Анна", "phone": "+7 (999) 000-11-22"},
        "address": {"full_address": "Тверская, 1"},
        **changes,
    }


def customer(phone: str) -> dict[str, str]:
    """A customer with this phone."""
    return {"name": "Анна", "phone": phone}


async def send(gateway: Gateway, body: dict[str, Any], role: str = "website", **headers: str) -> int:
    """Place an order; return the status."""
    status, _, _ = await gateway.send(body, path=ORDERS, headers={**bearer(role), **headers})
    return status


async def test_a_phone_is_limited_over_all_replicas_and_a_manager_never(start: Start) -> None:
    limits = {"orders_per_phone": 4, "orders_per_address": 0, "orders_per_ip": 0}
    async with start("gw-1", **limits) as one, start("gw-2", **limits) as two:
        spellings = ("+7 (999) 000-11-22", "89990001122", "9990001122", "7 999 000 11 22")
        sent = [send((one, two)[n % 2], order(customer=customer(phone))) for n, phone in enumerate(spellings * 3)]
        assert sorted(await asyncio.gather(*sent)) == [201] * 4 + [429] * 8
        status, problem, headers = await two.send(order(), path=ORDERS, headers=bearer("website"))
        assert (status, problem["code"], problem["detail"]) == (
            429,
            "too_many_requests",
            "too many orders by one phone",
        )
        assert 800 <= int(headers["Retry-After"]) <= 900  # four an hour: the next in a quarter of one
        assert await send(two, order(customer=customer("+79990001123"))) == 201
        assert [await send(one, order(), "website_manager") for _ in range(6)] == [201] * 6
        assert await one.metric('gateway_orders_limited_total{by="phone"}') >= 1
        assert await one.metric('gateway_endangered_orders_total{category="manager_bypass_broken"}') == 0


async def test_addresses_and_networks_are_limited_and_only_trusted_proxies_are_believed(start: Start) -> None:
    limits = {"orders_per_phone": 0, "orders_per_address": 2, "orders_per_ip": 3}
    places = [order(address={"full_address": f"Тверская {n}"}) for n in range(20)]
    async with start("gw-1", **limits, trusted_proxies=("127.0.0.1",)) as gateway:
        for n in range(3):
            assert await send(gateway, places[n], **{"X-Forwarded-For": "192.0.2.1, 198.51.100.7"}) == 201
        assert await send(gateway, places[3], **{"X-Forwarded-For": "192.0.2.2, 198.51.100.7"}) == 429
        assert await send(gateway, places[3], **{"X-Forwarded-For": "198.51.100.8"}) == 201
        assert await send(gateway, places[3], **{"X-Forwarded-For": "198.51.100.9"}) == 201
        assert await send(gateway, places[3], **{"X-Forwarded-For": "198.51.100.10"}) == 429
    async with start("gw-2", **limits) as gateway:  # behind nobody: the peer is the caller, whatever it says
        sent = [
            await send(gateway, place, **{"X-Forwarded-For": f"203.0.113.{n}"}) for n, place in enumerate(places[10:14])
        ]
        assert sent == [201, 201, 201, 429]


async def test_repeats_of_an_order_and_refused_orders_are_not_counted(start: Start) -> None:
    limits = {"orders_per_phone": 2, "orders_per_address": 0, "orders_per_ip": 0}
    async with start("gw-1", **limits) as one, start("gw-2", **limits) as two:
        assert [await send(one, order(positions=[])) for _ in range(3)] == [422] * 3
        named = order(externalId="W-1")
        assert [await send(gateway, named) for gateway in (one, two, one)] == [201] * 3
        assert await send(one, order()) == 201
        assert await send(two, order()) == 429
        # Its answer was lost, and by now the phone is over its limit: still the same yes.
        status, answer, _ = await two.send(named, path=ORDERS, headers=bearer("website"))
        assert (status, answer) == (201, {"number": order_number("website", "W-1")})
        assert [await send(two, named) for _ in range(6)] == [201, 201, 201, 201, 429, 429]  # nobody needs more repeats


@pytest.mark.parametrize("fault", ["refuse", "stall"])
async def test_while_the_database_is_away_orders_pass_and_wait_for_the_deadline_alone(
    start: Start, arrived: Arrived, database_for: Callable[[str], Awaitable[str]], fault: str
) -> None:
    limits = {"orders_per_phone": 1, "orders_limit_deadline": 0.3, "breaker_pause": 60}
    async with (
        proxied(await database_for("webhook_gateway")) as (proxy, dsn),
        start(postgres_dsn=SecretStr(dsn), **limits) as gateway,
    ):
        passed = 'gateway_order_limits_total{outcome="failed_open"}'
        before = await gateway.metric(passed)
        getattr(proxy, fault)()
        # Neither a pool's five seconds nor a statement's thirty; after the third nobody waits at all.
        async with asyncio.timeout(60):
            assert [await send(gateway, order()) for _ in range(50)] == [201] * 50
        assert await gateway.metric(passed) - before == 50
        assert len(await arrived(50)) == 50
        proxy.heal()


async def test_no_phone_stands_in_the_table_and_what_limits_nobody_is_forgotten(
    start: Start, database_for: Callable[[str], Awaitable[str]]
) -> None:
    dsn = await database_for("webhook_gateway")
    async with start(postgres_dsn=SecretStr(dsn), orders_window=1.0) as gateway:
        assert await send(gateway, order()) == 201
        connection = await asyncpg.connect(dsn)
        try:
            rows = await connection.fetch("SELECT * FROM order_limits")
            assert [len(row["key"]) for row in rows] == [32] * 3
            assert "9990001122" not in str(rows)
            tokens = await connection.fetch(
                "SELECT digest FROM manager_tokens UNION ALL SELECT digest FROM website_tokens"
            )
            assert [len(row["digest"]) for row in tokens] == [32] * 5
        finally:
            await connection.close()
