"""Whatever brings an old event again, or late, never puts an order back, and notifies nobody.

Created with 1 piece, changed to 2, changed to 3, none with a time of its own; then "changed to 2" comes once more.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aio_pika
from pydantic import SecretStr

from common.contracts.envelope import Envelope
from common.ids import order_number
from common.messaging import topology
from tests.integration.orchestrator.conftest import Api
from tests.integration.webhook_gateway.conftest import Gateway, Start, hook_body, watched
from tests.support.servers import eventually, proxied
from webhook_gateway.hooks.accept import understand
from webhook_gateway.hooks.authentication import ClientToken
from webhook_gateway.hooks.model import Source

NUMBER = order_number("sbermarket", "H1")
WHY = {"reason": "перепроверяем заказ"}


def hook(event: str, pieces: int) -> dict[str, Any]:
    """A hook without a time."""
    body = hook_body(event, positions=[{"id": "sku-1", "quantity": pieces, "price": "85.00"}])
    del body["timestamp"]
    return body


async def has(orders: Api, pieces: int) -> Any:
    """The order once it has so many pieces."""

    async def there() -> Any:
        status, order = await orders.call("GET", f"/orders/v1/orders/{NUMBER}")
        return order if status == 200 and order["positions"][0]["quantity"] == str(pieces) else None

    return await eventually(there, what=f"{pieces} pieces")


async def acted(orders: Api, kind: str, count: int = 1) -> list[Any]:
    """The lines of one kind in the order's timeline, once there are so many."""

    async def there() -> Any:
        story = await orders.all(f"/admin/v1/orders/{NUMBER}/timeline")
        found = [line for line in story if line["kind"] == kind]
        return found if len(found) >= count else None

    lines: list[Any] = await eventually(there, what=f"{count} × {kind}")
    return lines


async def carried_out(orders: Api, events: int) -> None:
    """Wait until the order's life has carried out so many events."""

    async def there() -> bool:
        [life] = await orders.all(f"/admin/v1/workflows?order_number={NUMBER}&kind=order_life")
        return bool(life["done_seq"] == life["last_seq"] == events)

    await eventually(there, what=f"{events} events are carried out")


@asynccontextmanager
async def lived(
    orders: Api, gateway: Gateway, amqp_url: str
) -> AsyncIterator[Callable[[int], Awaitable[list[Envelope]]]]:
    """An order that was created with one piece and has three by now; a look at what the notifier is sent."""
    async with watched(amqp_url, topology.NOTIFIER_ORDERS) as notifier:
        for event, pieces in (("order.created", 1), ("order.changed", 2), ("order.changed", 3)):
            assert (await gateway.send(hook(event, pieces)))[0] == 200
            await has(orders, pieces)
        await notifier(3)
        yield notifier


async def still_three(orders: Api, notifier: Callable[[int], Awaitable[list[Envelope]]]) -> None:
    """Nothing changed, nobody was notified, and the order lives on."""
    order = await orders.order(NUMBER)
    assert (order["positions"][0]["quantity"], order["incidents"]) == ("3", [])
    assert [event.type.split(".")[2] for event in await notifier(3)] == ["created", "changed", "changed"]


async def replayed(gateway: Gateway, **more: Any) -> Any:
    """Replay the hook that said two pieces."""
    kept = await gateway.deliveries(3)
    status, answer = await gateway.change(f"/admin/v1/deliveries/{kept[1]['id']}/replay", WHY | more)
    assert status == 200, answer
    return answer


async def test_a_replay_of_an_older_change_changes_nothing(orders: Api, start_gateway: Start, amqp_url: str) -> None:
    async with start_gateway() as gateway, lived(orders, gateway, amqp_url) as notifier:
        await replayed(gateway)
        await carried_out(orders, 4)
        await still_three(orders, notifier)
        [line] = await acted(orders, "hook.replayed")
        assert (line["actor"], line["details"]["reason"]) == ("operator", WHY["reason"])
        [_, original, _, replay] = await gateway.deliveries(4)
        assert (replay["occurred_at"], replay["actor"], replay["why"]) == (
            original["received_at"],
            "operator",
            WHY["reason"],
        )
        status, _ = await gateway.change(f"/admin/v1/deliveries/{replay['id']}/replay", WHY)  # a replay of the replay
        assert status == 200
        await carried_out(orders, 5)
        await still_three(orders, notifier)


async def test_a_mended_replay_keeps_the_time_as_well(orders: Api, start_gateway: Start, amqp_url: str) -> None:
    async with start_gateway() as gateway, lived(orders, gateway, amqp_url) as notifier:
        await replayed(gateway, body=hook("order.changed", 7))
        await carried_out(orders, 4)
        order = await orders.order(NUMBER)
        assert (order["positions"][0]["quantity"], order["incidents"]) == ("3", [])
        told = [event for event in await notifier(3) if (event.data or {})["notify"]]
        assert len(told) == 3


async def test_an_event_that_is_reprocessed_changes_nothing(orders: Api, start_gateway: Start, amqp_url: str) -> None:
    async with start_gateway() as gateway, lived(orders, gateway, amqp_url) as notifier:
        [life] = await orders.all(f"/admin/v1/workflows?order_number={NUMBER}&kind=order_life")
        path = f"/admin/v1/workflow-events/{life['id']}-2/reprocess"
        assert (await orders.call("POST", path, WHY))[0] == 200
        await carried_out(orders, 4)
        await still_three(orders, notifier)


async def test_a_dead_letter_that_is_replayed_late_changes_nothing(
    orders: Api, start_gateway: Start, amqp_url: str
) -> None:
    async with start_gateway() as gateway, watched(amqp_url, topology.NOTIFIER_ORDERS) as notifier:
        assert (await gateway.send(hook("order.created", 1)))[0] == 200
        await has(orders, 1)
        source = Source(name="sbermarket", authenticator=ClientToken(tokens=("t",)))
        given_up, _ = understand(
            source,
            json.dumps(hook("order.changed", 2)).encode(),
            headers="{}",
            received_at=datetime.now(UTC),
            replica="gw-1",
            traceparent=None,
        )
        assert (await gateway.send(hook("order.changed", 3)))[0] == 200
        await has(orders, 3)
        # As the broker does when consumers died with it in hand too often.
        connection = await aio_pika.connect(amqp_url)
        async with connection:
            exchange = await (await connection.channel()).get_exchange(topology.DEAD_LETTERS)
            await exchange.publish(aio_pika.Message(given_up.encode()), topology.ORCHESTRATOR_INTAKE.name)

        async def kept() -> Any:
            return (await orders.get("/admin/v1/dead-letters"))["items"]

        [letter] = await eventually(kept, what="a dead letter")
        assert (await orders.call("POST", f"/admin/v1/dead-letters/{letter['id']}/replay", WHY))[0] == 200
        await late_and_quiet(orders, notifier)


async def test_a_change_that_waited_in_a_spool_changes_nothing_that_is_newer(
    orders: Api, start_gateway: Start, amqp_url: str
) -> None:
    async with (
        start_gateway() as gateway,
        proxied(amqp_url) as (proxy, address),
        start_gateway("gw-2", amqp_url=SecretStr(address)) as cut_off,
        watched(amqp_url, topology.NOTIFIER_ORDERS) as notifier,
    ):
        assert (await gateway.send(hook("order.created", 1)))[0] == 200
        await has(orders, 1)
        proxy.refuse()
        assert (await cut_off.send(hook("order.changed", 2)))[0] == 200  # it is in the spool
        assert (await gateway.send(hook("order.changed", 3)))[0] == 200
        await has(orders, 3)
        proxy.heal()
        await late_and_quiet(orders, notifier)


async def late_and_quiet(orders: Api, notifier: Callable[[int], Awaitable[list[Envelope]]]) -> None:
    """The change to two pieces came after that to three: it is known, the order is as it was, nobody is notified of it."""
    await carried_out(orders, 3)
    order = await orders.order(NUMBER)
    assert (order["positions"][0]["quantity"], order["incidents"]) == ("3", [])
    assert [(event.data or {})["notify"] for event in await notifier(3)] == [True, True, False]
