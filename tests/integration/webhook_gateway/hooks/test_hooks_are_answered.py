"""What each hook is answered, on real servers; and what is kept of everything that came in."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook
from yarl import URL

from common.contracts.intake import IntakeMessage
from common.ids import order_number
from tests.integration.webhook_gateway.conftest import TOKEN, Start, hook_body
from tests.support.servers import eventually

Arrived = Callable[[int], Awaitable[list[IntakeMessage]]]
NUMBER = order_number("sbermarket", "H1")


async def test_every_row_of_the_answer_table(start: Start) -> None:
    unreadable = [b"", b"nonsense", b'{"event_type": "order.created", "payload": {}}', b"[]"]
    async with start() as gateway:
        first = await gateway.send(hook_body(), path="/sbermarket/orders/hook/")
        assert first[:2] == (200, {"status": "created", "number": NUMBER})
        repeated = await gateway.send(hook_body(), headers={"Client-token": "old-token"})
        assert repeated[:2] == first[:2]
        for event in ("changed", "updated", "paid", "received", "delivered", "cancelled", "canceled"):
            assert (await gateway.send(hook_body(f"order.{event}")))[:2] == (200, {"status": "ok", "number": NUMBER})
        assert (await gateway.send(hook_body("courier.assigned")))[:2] == (200, {"status": "ignored"})
        assert (await gateway.send({"event_type": "order.delivering"}))[:2] == (200, {"status": "ignored"})
        broken = hook_body(positions="none")
        assert (await gateway.send(broken))[:2] == (200, {"status": "created", "number": NUMBER})
        assert (await gateway.send(broken, path="/hooks/v1/strict", headers={"Client-token": "strict-token"}))[0] == 422
        for raw in unreadable:
            assert (await gateway.send(raw))[0] == 400
        for headers in ({}, {"Client-token": "wrong"}, {"Client-token": ""}, {"Client-token": "é"}):
            status, problem, _ = await gateway.send(hook_body(), headers=headers)
            assert (status, problem["code"]) == (403, "forbidden")
        status, _, answered = await gateway.send(hook_body(), path="/hooks/v1/shop")
        assert (status, answered["WWW-Authenticate"]) == (401, 'Basic realm="hooks", charset="UTF-8"')
        basic = base64.b64encode(b"shop:secret").decode()
        assert (await gateway.send(hook_body(), path="/hooks/v1/shop", headers={"Authorization": f"Basic {basic}"}))[
            0
        ] == 200
        assert (await gateway.send(b"x" * (1024**2 + 1)))[0] == 413
        assert (await gateway.send(hook_body(), path="/hooks/v1/nobody"))[0] == 404  # a genuine hook, so it is kept
        assert (await gateway.send(hook_body(), path="/hooks/v1/nobody", headers={}))[0] == 404

        kept = await gateway.deliveries(2 + 7 + 2 + 2 + len(unreadable) + 1 + 1 + 1)
        assert [item["outcome"] for item in kept].count("quarantined") == 2 + len(unreadable) + 1 + 1

        async def ledger() -> dict[str, Any]:
            sums = await gateway.get("/admin/v1/ledger?from=2026-01-01T00:00:00Z&to=2036-01-01T00:00:00Z")
            assert sums["refused"] == 4 + 1 + 1
            assert {
                (line["source"], line["count"]) for line in sums["refused_for"] if line["reason"] == "forbidden"
            } == {("sbermarket", 4)}
            taken = sums["confirmed"] + sums["spooled"]  # by either path: the broker may be slow on a busy machine
            return {"taken": taken, **{name: sums[name] for name in ("received", "quarantined", "refused")}}

        assert await eventually(ledger) == {"received": 26, "taken": 12, "quarantined": 8, "refused": 6}


async def test_standard_webhooks_are_verified_and_malformed_signatures_are_403(start: Start) -> None:
    body = json.dumps(hook_body())
    now = datetime.now(UTC)
    signature = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").sign("msg_1", now, body)
    good = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    async with start() as gateway:
        assert (await gateway.send(body.encode(), path="/hooks/v1/kuper", headers=good))[0] == 200
        for change in ("garbage", "v1,abc", "v1,é", "v1,a,b", ""):
            bad = {**good, "webhook-signature": change}
            assert (await gateway.send(body.encode(), path="/hooks/v1/kuper", headers=bad))[0] == 403
        assert (await gateway.send(b"\xff\xfe", path="/hooks/v1/kuper", headers=good))[0] == 403
        assert (await gateway.send(body.encode() + b" ", path="/hooks/v1/kuper", headers=good))[0] == 403
        assert (await gateway.send(b"x" * (1024**2 + 1), path="/hooks/v1/kuper", headers=good))[0] == 413
        assert len(await gateway.deliveries(1)) == 1


async def test_a_chunked_body_is_counted_in_bytes_and_its_first_part_is_kept(start: Start) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 64 * 1024

    async with start() as gateway:
        async with gateway.session.post(gateway.url + "/hooks/v1/sbermarket", data=chunks(), headers=TOKEN) as answer:
            assert answer.status == 413
        [kept] = await gateway.deliveries(1)
        assert (kept["outcome"], kept["reason"], kept["size"], kept["status"]) == (
            "quarantined",
            "too_large",
            64 * 1024,
            413,
        )


async def test_a_hook_of_exactly_the_largest_size_is_taken(start: Start) -> None:
    body = json.dumps(hook_body(comment="")).encode()
    filled = body.replace(b'"comment": ""', b'"comment": "' + b"x" * (1024**2 - len(body)) + b'"')
    async with start() as gateway:
        assert len(filled) == 1024**2
        assert (await gateway.send(filled))[0] == 200


async def test_a_body_that_does_not_arrive_is_answered_408_and_nothing_hangs(start: Start) -> None:
    async with start(body_deadline=0.2) as gateway:
        host = URL(gateway.url)
        reader, writer = await asyncio.open_connection(host.host, host.port)
        writer.write(
            b"POST /hooks/v1/sbermarket HTTP/1.1\r\nHost: x\r\nClient-token: new-token\r\nContent-Length: 100\r\n\r\n{"
        )
        assert b" 408 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_the_raw_bytes_are_kept_and_secrets_are_not(start: Start) -> None:
    raw = b'{ "event_type":"order.paid",\n "payload": {"originalOrderId": 7, "odd": "\\u0000"} }'
    async with start() as gateway:
        assert (await gateway.send(raw))[:2] == (200, {"status": "ok", "number": order_number("sbermarket", "7")})
        [item] = await gateway.deliveries(1, "&order=7")
        shown = await gateway.get(f"/admin/v1/deliveries/{item['id']}", role="operator")
        assert (base64.b64decode(shown["body_base64"]), shown["headers"]["client-token"]) == (raw, "***")


async def test_a_hundred_equal_hooks_at_two_replicas_get_one_number_and_are_one_event(
    start: Start, arrived: Arrived
) -> None:
    async with start("gw-1") as one, start("gw-2") as two:
        answers = await asyncio.gather(*(gateway.send(hook_body()) for _ in range(50) for gateway in (one, two)))
        assert [answer[:2] for answer in answers] == [(200, {"status": "created", "number": NUMBER})] * 100
        hooks = await arrived(100)
        assert len({hook.event_id for hook in hooks}) == 1
        assert len({hook.delivery_id for hook in hooks}) == 100
        assert {item["replica"] for item in await one.deliveries(100)} == {"gw-1", "gw-2"}


async def test_changes_that_differ_are_different_events_and_reserialised_repeats_are_not(
    start: Start, arrived: Arrived
) -> None:
    same = hook_body("order.changed")
    respelled = json.dumps(hook_body("order.updated"), indent=3, sort_keys=True).replace('"85.00"', "85").encode()
    later = {**same, "timestamp": "2026-11-21T10:05:00+03:00"}
    other = hook_body("order.changed", positions=[{"id": "sku-1", "quantity": 3, "price": "85.00"}])
    timeless = {"event_type": "order.paid", "payload": {"originalOrderId": "H1"}}
    async with start() as gateway:
        for body in (same, respelled, later, other, timeless, timeless):
            assert (await gateway.send(body))[0] == 200
        ids = [hook.event_id for hook in await arrived(6)]
        assert ids[0] == ids[1]
        assert len(set(ids)) == 5


async def test_the_trace_of_the_hook_goes_into_the_answer_the_event_and_the_record(
    start: Start, arrived: Arrived
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with start() as gateway:
        headers = {**TOKEN, "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        _, _, answered = await gateway.send(hook_body(), headers=headers)
        [hook] = await arrived(1)
        [kept] = await gateway.deliveries(1)
        assert [
            value.split("-")[1] for value in (answered["traceparent"], hook.traceparent or "", kept["traceparent"])
        ] == [trace] * 3


@pytest.mark.parametrize(
    "raw", [b"[" * 100_000, b'{"a":' * 50_000, b'{"payload":{"originalOrderId":"\\ud800"}}', b"\x00" * 1000]
)
async def test_hostile_bodies_get_a_400(start: Start, raw: bytes) -> None:
    async with start() as gateway:
        assert (await gateway.send(raw))[0] == 400


async def test_a_gzip_bomb_is_cut_at_the_limit(start: Start) -> None:
    import gzip

    bomb = gzip.compress(b"x" * 50 * 1024**2)
    async with start() as gateway:
        status, _, _ = await gateway.send(bomb, headers={**TOKEN, "Content-Encoding": "gzip"})
        assert status == 413
