"""What else endangers an order, and what does not: managers, floods, front ends, clients that hung up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aio_pika
import pytest
from yarl import URL

from common.contracts import intake
from common.contracts.envelope import Envelope
from common.contracts.intake import IntakeMessage
from common.ids import order_number
from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer
from tests.support.servers import eventually

Arrived = Callable[[int], Awaitable[list[IntakeMessage]]]
ORDERS = "/api/v1/orders/"
PATH = "/admin/v1/endangered-orders"


def order(status: int, **changes: Any) -> dict[str, Any]:
    """An order that is going to be refused like that."""
    return {
        "externalId": f"W-{status}",
        "positions": [{"id": "sku-1", "quantity": 1, "price": "10.00"}],
        "customer": {"name": "Анна", "phone": "+79990001122"},
        **changes,
    }


async def endangered(gateway: Gateway, count: int) -> list[dict[str, Any]]:
    """Wait for so many endangered orders; return them, the newest first."""

    async def enough() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await gateway.get(PATH, role="operator"))["items"]
        return items if len(items) == count else []

    return await eventually(enough, what=f"{count} endangered orders")


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Authorization": "Bearer viewer-token"}, 403), ({"Authorization": "Bearer wrong"}, 401), ({}, 401)],
)
async def test_a_manager_who_is_refused_says_that_the_bypass_is_broken(
    start: Start, headers: dict[str, str], status: int
) -> None:
    async with start() as gateway:
        answer = await gateway.send(order(422), path=ORDERS, headers={**headers, "X-Manager-Id": "olga"})
        assert answer[0] == status
        assert [item["category"] for item in await endangered(gateway, 1)] == ["manager_bypass_broken"]


async def test_an_order_sent_with_a_token_for_something_else_is_refused_and_kept(start: Start, tmp_path: Any) -> None:
    tokens = tmp_path / "scoped.json"
    entries = [
        {"name": "operator", "token": "operator-token", "role": "operator"},
        {"name": "site", "token": "narrow-token", "role": "website", "scopes": ["webhook-gateway:website:read"]},
        {"name": "shop", "token": "website-token", "role": "website", "scopes": ["webhook-gateway:website"]},
    ]
    tokens.write_text(json.dumps({"tokens": entries}))
    async with start(tokens_file=tokens) as gateway:
        status, answer = (await gateway.send(order(403), path=ORDERS, headers=bearer("narrow")))[:2]
        assert (status, answer["code"]) == (403, "out_of_scope")
        assert "webhook-gateway:website" in answer["detail"]
        [kept] = await endangered(gateway, 1)
        assert (kept["status"], kept["answer"]["code"], kept["anonymous"]) == (403, "out_of_scope", False)
        assert (await gateway.send(order(201), path=ORDERS, headers=bearer("website")))[0] == 201


async def test_a_rotated_managers_token_is_recognised_when_it_is_refused(start: Start, tmp_path: Any) -> None:
    async with start("gw-1"):
        pass  # it remembers the tokens of its time
    tokens = tmp_path / "rotated.json"
    names = ("viewer", "operator", "website")
    entries = [{"name": name, "token": f"{name}-token", "role": name} for name in names]
    tokens.write_text(
        json.dumps({"tokens": [*entries, {"name": "m", "token": "fresh-token", "role": "website_manager"}]})
    )
    async with start("gw-2", tokens_file=tokens) as gateway:

        async def recognised() -> bool:
            assert (await gateway.send(order(401), path=ORDERS, headers=bearer("website_manager")))[0] == 401
            broken = 'gateway_endangered_orders_total{category="manager_bypass_broken"}'
            return await gateway.metric(broken) >= 1

        await eventually(recognised, what="a known token")
        assert (await gateway.send(order(401), path=ORDERS, headers=bearer("fresh")))[0] == 201


async def test_a_client_that_hung_up_after_its_order_was_stored_is_not_endangered(
    start: Start, arrived: Arrived
) -> None:
    async with start() as gateway:
        url = URL(gateway.url)
        body = json.dumps(order(422)).encode()
        head = f"POST {ORDERS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer website-token\r\nContent-Length: {len(body)}\r\n\r\n"
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(head.encode() + body)
        await writer.drain()
        writer.transport.abort()
        [hook] = await arrived(1)
        assert hook.external_id == "W-422"
        await gateway.deliveries(1)
        assert (await gateway.get(PATH))["items"] == []


async def test_a_flood_of_strangers_does_not_fill_the_database(start: Start) -> None:
    async with start(unproven_bytes_per_hour=1024**2) as gateway:
        large = json.dumps(order(401, comment="x" * 100_000)).encode()
        for _ in range(12):
            assert (await gateway.send(large, path=ORDERS, headers={}))[0] == 401
        refused = await gateway.metric('gateway_endangered_not_kept_total{reason="anonymous_flood"}')
        assert refused == 10  # a quarter of the hour's megabyte is one address's
        assert (await gateway.send(order(422, positions=[]), path=ORDERS, headers=bearer("website")))[0] == 422
        assert 422 in [item["status"] for item in await endangered(gateway, 3)]
        assert (
            await gateway.metric('gateway_requests_total{event="order.created",outcome="refused",source="website"}')
            == 13
        )


async def test_a_flood_of_strangers_to_a_wrong_address_leaves_customers_their_room(start: Start) -> None:
    async with start(refused_bytes_per_hour=1024**2, unproven_bytes_per_hour=1024**2) as gateway:
        large = json.dumps(order(404, comment="x" * 100_000)).encode()
        for _ in range(12):
            assert (await gateway.send(large, path="/api/v1/orders2/", headers={}))[0] == 404
        assert await gateway.metric('gateway_endangered_not_kept_total{reason="anonymous_flood"}') == 10
        assert (await gateway.send(order(422, positions=[]), path=ORDERS, headers=bearer("website")))[0] == 422
        assert 422 in [item["status"] for item in await endangered(gateway, 3)]


async def test_a_basket_that_the_front_end_lost_can_be_saved_too(start: Start, arrived: Arrived, amqp_url: str) -> None:
    body = order(422)
    reported = IntakeMessage(
        type=intake.FRONTEND_ERROR_REPORTED,
        event_id="0e1e9d1c-7d0a-5f0e-8a3c-3f6d1f6f0001",
        delivery_id="0e1e9d1c-7d0a-5f0e-8a3c-3f6d1f6f0001",
        source="website",
        event="order.created",
        body_form="payload",
        body=json.dumps(body).encode(),
        received_at=datetime.now(UTC),
        replica="notifier",
        external_id="W-422",
        reason="front_end",
        status=0,
        headers='{"link": "https://sentry.example/17"}',
        answer=json.dumps({"text": "a\x00b", "deep": json.loads("[" * 300 + "]" * 300)}),
    )
    async with start() as gateway:
        await publish(amqp_url, reported.to_envelope())
        [item] = await endangered(gateway, 1)
        assert (item["origin"], item["link"], item["status"], item["customer"]) == (
            "front_end",
            "https://sentry.example/17",
            0,
            body["customer"],
        )
        assert (await gateway.get("/admin/v1/deliveries"))["items"] == []
        status, done = await gateway.change(f"{PATH}/{item['id']}/resubmit", {"reason": "спасаем"})
        assert (status, done["number"]) == (200, order_number("website", "W-422"))
        assert [hook.external_id for hook in await arrived(1)] == ["W-422"]


async def publish(amqp_url: str, envelope: Envelope) -> None:
    """Publish an event as the notifier's outbox does."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        exchange = await (await connection.channel()).get_exchange("intake")
        await exchange.publish(aio_pika.Message(envelope.encode()), routing_key=envelope.type)
