"""Website orders and what operators do with deliveries, on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aio_pika

from common.contracts import intake
from common.contracts.alerts import ProblemRaisedV1
from common.contracts.envelope import Envelope, parse
from common.contracts.intake import IntakeMessage
from common.contracts.journal import JournalEntryV1
from common.ids import order_number
from common.messaging import topology
from tests.integration.webhook_gateway.conftest import Start, bearer, hook_body, watched
from tests.support.servers import eventually

Arrived = Callable[[int], Awaitable[list[IntakeMessage]]]
ORDERS = "/api/v1/orders/"
ORDER: dict[str, Any] = {
    "externalId": "W-1",
    "positions": [{"id": "sku-1", "quantity": 1, "price": "10.00"}],
    "customer": {"name": "Анна", "phone": "+79990001122"},
    "address": {"full_address": "Тверская 1"},
}


async def test_a_website_order_is_201_once_however_often_it_is_sent(start: Start, arrived: Arrived) -> None:
    nameless = {key: value for key, value in ORDER.items() if key != "externalId"}
    async with start() as gateway:
        first = await gateway.send(ORDER, path=ORDERS, headers=bearer("website"))
        again = await gateway.send(ORDER, path=ORDERS, headers=bearer("website_manager"))
        assert first[:2] == again[:2] == (201, {"number": order_number("website", "W-1")})
        keyed = {**bearer("website"), "Idempotency-Key": "k-1"}
        twice = await asyncio.gather(*(gateway.send(nameless, path=ORDERS, headers=keyed) for _ in range(2)))
        assert twice[0][:2] == twice[1][:2]
        hooks = await arrived(4)
        assert [(hook.source, hook.event, hook.body_form) for hook in hooks] == [
            ("website", "order.created", "payload")
        ] * 4
        assert len({hook.event_id for hook in hooks}) == 2


async def test_every_answer_but_201_is_an_endangered_order_that_alerts_and_can_be_mended(
    start: Start, arrived: Arrived, amqp_url: str
) -> None:
    broken = {**ORDER, "externalId": "W-2", "positions": [{"id": "sku-1", "quantity": "many"}]}
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        status, problem, _ = await gateway.send(broken, path=ORDERS, headers=bearer("website"))
        assert (status, problem["fields"]) == (
            422,
            [{"field": "positions.0.quantity", "code": "not_a_number", "message": "a number is needed"}],
        )
        assert (await gateway.send(ORDER, path=ORDERS, headers={}))[0] == 401
        assert (await gateway.send(ORDER, path=ORDERS, headers=bearer("viewer")))[0] == 403
        assert (await gateway.send(b"x" * (1024**2 + 1), path=ORDERS, headers=bearer("website")))[0] == 413
        assert (await gateway.send(b"{", path=ORDERS, headers=bearer("website")))[0] == 400

        async def five() -> list[dict[str, Any]]:
            items: list[dict[str, Any]] = (await gateway.get("/admin/v1/endangered-orders", role="operator"))["items"]
            return items if len(items) == 5 else []

        items = {item["status"]: item for item in await eventually(five, what="five endangered orders")}
        assert sorted(items) == [400, 401, 403, 413, 422]
        assert items[422]["customer"] == {"name": "Анна", "phone": "+79990001122"}
        assert (items[422]["address"], items[422]["basket"], items[422]["answer"]["code"]) == (
            "Тверская 1",
            [{"id": "sku-1", "quantity": "many"}],
            "unprocessable",
        )

        raised = [parse(event, ProblemRaisedV1) for event in await alerts(5)]
        assert sorted({problem.kind for problem in raised}) == ["website_order.anonymous", "website_order.endangered"]
        assert "79990001122" not in str(raised)

        path = f"/admin/v1/endangered-orders/{items[422]['id']}/resubmit"
        body = {**broken, "positions": [{"id": "sku-1", "quantity": 1}]}
        mended = {"reason": "количество словом", "body": body, "despite_duplicates": True}
        assert (await gateway.change(path, {"reason": "как есть"}))[0] == 422
        assert (await gateway.change(path, mended, role="viewer"))[0] == 403
        status, tried = await gateway.change(path, {**mended, "dry_run": True})
        assert (status, tried["dry_run"]) == (200, True)
        status, done = await gateway.change(path, mended, **{"Idempotency-Key": "r-1"})
        repeated = await gateway.change(path, mended, **{"Idempotency-Key": "r-1"})
        assert (status, done) == repeated
        assert (await gateway.change(path, mended))[0] == 409
        number = order_number("website", "W-2")
        assert done["number"] == number
        assert [hook.number for hook in await arrived(1)] == [number]
        audit = await gateway.get("/admin/v1/audit?action=endangered_order.resubmit")
        assert [(entry["action"], entry["actor"], entry["reason"]) for entry in audit["items"]] == [
            ("endangered_order.resubmit", "operator", "количество словом")
        ]


async def test_a_quarantined_hook_is_replayed_mended_and_counted_once_in_the_ledger(
    start: Start, arrived: Arrived, amqp_url: str
) -> None:
    async with start() as gateway, watched(amqp_url, topology.ORCHESTRATOR_JOURNAL) as journal:
        assert (await gateway.send(hook_body(positions="none")))[0] == 200
        [kept] = await gateway.deliveries(1)
        assert (kept["outcome"], kept["reason"]) == ("quarantined", "not_a_list:payload.positions")
        whole = await gateway.get(f"/admin/v1/deliveries/{kept['id']}")
        assert [(fault["field"], fault["code"]) for fault in whole["faults"]] == [("payload.positions", "not_a_list")]
        path = f"/admin/v1/deliveries/{kept['id']}/replay"
        assert (await gateway.change(path, {"reason": "как есть"}))[0] == 422
        status, done = await gateway.change(path, {"reason": "позиции восстановлены", "body": hook_body()})
        assert (status, done["number"]) == (200, kept["number"])
        assert [hook.reason for hook in await arrived(1)] == [f"replay:{kept['id']}"]
        [_, replayed] = await gateway.deliveries(2)
        assert (replayed["outcome"], replayed["replay_of"]) == ("replayed", kept["id"])
        ledger = await gateway.get("/admin/v1/ledger?from=2026-01-01T00:00:00Z&to=2036-01-01T00:00:00Z")
        assert (ledger["received"], ledger["quarantined"]) == (1, 1)
        lately = await gateway.get("/admin/v1/ledger")  # the last day, unless a period is named
        assert (lately["received"], lately["quarantined"]) == (1, 1)
        entries = [parse(event, JournalEntryV1) for event in await journal(2)]
        assert [(entry.kind, entry.order_number, entry.actor) for entry in entries] == [
            ("hook.received", kept["number"], "sbermarket"),
            ("hook.replayed", kept["number"], "operator"),
        ]


async def test_deliveries_are_found_by_order_time_and_outcome_page_by_page(start: Start) -> None:
    async with start() as gateway:
        for number in range(7):
            await gateway.send(hook_body(order=f"H{number}"))
        await gateway.send(b"nonsense")
        everything = await gateway.deliveries(8)
        found = await gateway.get("/admin/v1/deliveries?order=H3")
        assert [item["external_id"] for item in found["items"]] == ["H3"]
        by_number = await gateway.get(f"/admin/v1/deliveries?order={order_number('sbermarket', 'H3')}")
        assert by_number["items"] == found["items"]
        assert len((await gateway.get("/admin/v1/deliveries?outcome=quarantined"))["items"]) == 1
        assert (await gateway.get("/admin/v1/deliveries?to=2026-01-01T00:00:00Z"))["items"] == []
        pages: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await gateway.get(f"/admin/v1/deliveries?limit=3{cursor}")
            pages += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert pages == everything[::-1]


async def test_mistakes_of_an_operator_are_answered_as_problems(start: Start) -> None:
    absent = "01a1fcc2-ffa5-76f2-8271-2bb638b97e43"
    async with start() as gateway:
        for path, headers, status in (
            ("/admin/v1/deliveries", {}, 401),
            ("/admin/v1/deliveries", bearer("website"), 403),
            ("/admin/v1/deliveries?cursor=x", bearer("viewer"), 400),
            ("/admin/v1/deliveries?from=yesterday", bearer("viewer"), 400),
            (f"/admin/v1/deliveries/{absent}", bearer("viewer"), 404),
            ("/admin/v1/deliveries/x", bearer("viewer"), 404),
            ("/admin/v1/ledger?to=0001-01-01T00:00:00Z", bearer("viewer"), 400),
            ("/admin/v1/ledger?from=2036-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", bearer("viewer"), 400),
            ("/admin/v1/endangered-orders?id=x", bearer("viewer"), 400),
        ):
            async with gateway.session.get(gateway.url + path, headers=headers) as answer:
                assert (path, answer.status, answer.content_type) == (path, status, "application/problem+json")
        for path in (
            f"deliveries/{absent}/replay",
            f"deliveries/{absent}/dismiss",
            f"endangered-orders/{absent}/close",
        ):
            status, problem = await gateway.change(f"/admin/v1/{path}", {"reason": "none"})
            assert (path, status, problem["code"]) == (path, 404, "not_found")
        assert (await gateway.change(f"/admin/v1/deliveries/{absent}/replay", {}))[0] == 422


async def test_what_the_recorder_cannot_take_in_becomes_a_dead_letter_and_holds_up_nobody(
    start: Start, amqp_url: str
) -> None:
    strange = Envelope(id="strange", source="/nobody", type=intake.HOOK_IGNORED, time=datetime.now(UTC))
    async with start() as gateway:
        connection = await aio_pika.connect(amqp_url)
        async with connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange("intake")
            await exchange.publish(aio_pika.Message(strange.encode()), routing_key=intake.HOOK_IGNORED)
        await gateway.send(hook_body())

        async def dead_letters() -> list[dict[str, Any]]:
            letters: list[dict[str, Any]] = (await gateway.get("/admin/v1/dead-letters"))["items"]
            return letters

        [letter] = await eventually(dead_letters, what="a dead letter")
        assert (letter["event_id"], letter["reason"]) == ("strange", "poison")
        assert len(await gateway.deliveries(1)) == 1
