"""Every spelling of an address and of a body's encoding: taken, or refused, kept and told; each counted once."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import Any

import pytest

from common.contracts.alerts import ProblemRaisedV1
from common.contracts.envelope import parse
from common.ids import order_number
from common.messaging import topology
from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer, hook_body, watched
from tests.support.raw_http import request
from tests.support.servers import eventually

ORDER = {"positions": [{"id": "milk", "quantity": 1, "price": "85.00"}], "customer": {"phone": "+79001234567"}}
TOKEN = "Client-token: new-token"
WEBSITE = "Authorization: Bearer website-token"
GOOD = json.dumps(hook_body()).encode()
SPELLINGS = [
    "/hooks/v1/sbermarket",
    "/hooks/v1/sbermarket/",
    "//hooks/v1/sbermarket",
    "/hooks//v1///sbermarket//",
    "/hooks/v1/sbermarket?from=cabinet",
    "/sbermarket/orders/hook/",
    "/sbermarket/orders/hook",
    "//sbermarket//orders/hook",
]


async def ledger(gateway: Gateway) -> dict[str, Any]:
    """The whole ledger."""
    found: dict[str, Any] = await gateway.get("/admin/v1/ledger")
    return found


async def adds_up(gateway: Gateway, received: int) -> dict[str, Any]:
    """Wait until the ledger has so many, received and answered alike; return it."""

    async def probe() -> dict[str, Any]:
        found = await ledger(gateway)
        return found if (found["received"], found["difference"]) == (received, 0) else {}

    return await eventually(probe, every=0.2, what=f"{received} in the ledger")


@pytest.mark.parametrize("path", SPELLINGS)
async def test_a_hook_is_taken_at_every_spelling_of_its_address(start: Start, path: str) -> None:
    async with start() as gateway:
        status, answer, headers = await request(gateway.url, "POST", path, GOOD, TOKEN)
        assert (status, answer) == (200, {"status": "created", "number": order_number("sbermarket", "H1")})
        assert "Location" not in headers
        assert (await adds_up(gateway, 1))["confirmed"] == 1


async def test_a_website_orders_address_may_lack_its_last_slash_or_double_one(start: Start) -> None:
    async with start() as gateway:
        body = json.dumps({**ORDER, "externalId": "W1"}).encode()
        answers = [
            (await request(gateway.url, "POST", path, body, WEBSITE))[:2]
            for path in ("/api/v1/orders/", "/api/v1/orders", "//api/v1/orders//", "/api//v1/orders")
        ]
        assert answers == [(201, {"number": order_number("website", "W1")})] * 4
        assert (await adds_up(gateway, 4))["confirmed"] == 4


async def test_requests_at_wrong_addresses_are_counted_and_orders_among_them_endangered(start: Start) -> None:
    order = json.dumps(ORDER).encode()
    async with start() as gateway:
        refused = [
            ("POST", "/api/v1/order", order, WEBSITE, 404),
            ("POST", "/api/orders", order, "X: none", 404),
            ("POST", "/API/v1/orders/", order, WEBSITE, 404),
            ("PUT", "/api/v1/orders/", order, WEBSITE, 405),
            ("GET", "/api/v1/orders/", b"", WEBSITE, 405),
            ("GET", "/api/v1/products", b"", "X: none", 404),
            ("POST", "/api/login", b"user=x", "X: none", 404),
            ("DELETE", "/hooks/v1/sbermarket", b"", TOKEN, 405),
            ("POST", "/hooks/v2/sbermarket", b"{}", "X: none", 404),
        ]
        for method, path, body, header, status in refused:
            answered, answer, headers = await request(gateway.url, method, path, body, header)
            assert (path, answered, answer["status"]) == (path, status, status)
            assert (headers.get("Allow") == "POST") == (status == 405)
        assert (await adds_up(gateway, len(refused)))["refused"] == len(refused)

        async def endangered() -> bool:
            items = (await gateway.get("/admin/v1/endangered-orders"))["items"]
            return sorted(item["status"] for item in items) == [404, 404, 404, 405]

        await eventually(endangered, what="four endangered orders")


async def test_a_genuine_hook_at_a_wrong_address_is_kept_told_and_counts_down(start: Start, amqp_url: str) -> None:
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        for path, method in (
            ("/hooks/v1/sbermarkt", "POST"),
            ("/hooks/v1/sbermarket/x", "POST"),
            ("/hooks/v1/sbermarket", "PUT"),
        ):
            status, _, _ = await request(gateway.url, method, path, GOOD, TOKEN)
            assert status == (405 if method == "PUT" else 404)
        kept = await gateway.deliveries(3, "&outcome=quarantined")
        assert {(item["reason"], item["external_id"], item["source"]) for item in kept} == {
            ("wrong_address", "H1", "sbermarket")
        }
        problem = parse((await alerts(1))[0], ProblemRaisedV1)
        assert (problem.kind, problem.source) == ("hook.quarantined", "sbermarket")

        async def counts_down() -> bool:
            return bool((await gateway.get("/admin/v1/countdowns?state=running"))["items"])

        await eventually(counts_down, what="the countdown of H1")
        assert (await adds_up(gateway, 3))["quarantined"] == 3


def bare(body: bytes) -> bytes:
    """Deflate without zlib's head."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(body) + compressor.flush()


READ = [
    ("", GOOD),
    ("identity", GOOD),
    ("none", GOOD),
    ("UTF-8", GOOD),
    ("utf8", GOOD),
    ("iso-8859-1", GOOD),
    ("gzip", gzip.compress(GOOD[:50]) + gzip.compress(GOOD[50:])),
    ("gzip", gzip.compress(GOOD) + bytes(512)),
    ("gzip, identity", gzip.compress(GOOD)),
    ("deflate", zlib.compress(GOOD)),
    ("deflate", bare(GOOD)),
]


async def test_plain_and_compressed_bodies_are_read_whatever_the_header_calls_them(start: Start) -> None:
    async with start() as gateway:
        for encoding, body in READ:
            status, answer, _ = await request(
                gateway.url, "POST", "/hooks/v1/sbermarket", body, TOKEN, f"Content-Encoding: {encoding}"
            )
            assert (encoding, status, answer) == (
                encoding,
                200,
                {"status": "created", "number": order_number("sbermarket", "H1")},
            )
        found = await adds_up(gateway, len(READ))
        assert found["confirmed"] + found["spooled"] == len(READ)  # a slow broker's hook goes by the spool


async def test_what_nobody_here_unfolds_is_415_and_its_bytes_are_kept_and_told(start: Start, amqp_url: str) -> None:
    raw = bytes(range(256)) * 8
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        for encoding in ("br", "zstd", "gzip, br"):
            status, answer, headers = await request(
                gateway.url, "POST", "/hooks/v1/sbermarket", raw, TOKEN, f"Content-Encoding: {encoding}"
            )
            assert (status, answer["code"], headers["Accept-Encoding"]) == (
                415,
                "unsupported_encoding",
                "gzip, deflate",
            )
        kept = await gateway.deliveries(3, "&outcome=quarantined")
        found = await gateway.get(f"/admin/v1/deliveries/{kept[0]['id']}", role="operator")
        assert (base64.b64decode(found["body_base64"]), found["reason"], found["headers"]["content-encoding"]) == (
            raw,
            "unsupported_encoding",
            "br",
        )
        assert {parse(event, ProblemRaisedV1).kind for event in await alerts(3)} == {"hook.quarantined"}
        assert (await adds_up(gateway, 3))["quarantined"] == 3


async def test_a_website_order_in_an_unread_encoding_is_endangered_with_its_bytes(start: Start) -> None:
    async with start() as gateway:
        status, _, headers = await request(
            gateway.url, "POST", "/api/v1/orders/", b"\x01\x02", WEBSITE, "Content-Encoding: zstd"
        )
        assert (status, headers["Accept-Encoding"]) == (415, "gzip, deflate")

        async def kept() -> list[Any]:
            return list((await gateway.get("/admin/v1/endangered-orders"))["items"])

        (item,) = await eventually(kept, what="the endangered order")
        assert item["status"] == 415


async def test_a_body_that_breaks_off_is_kept_as_far_as_it_came_and_told(start: Start, amqp_url: str) -> None:
    async with start(body_deadline=0.5) as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        status, _, _ = await request(gateway.url, "POST", "/hooks/v1/sbermarket", GOOD[:-10], TOKEN, length=len(GOOD))
        assert status == 408
        cut = gzip.compress(GOOD)[:-12]
        assert (await request(gateway.url, "POST", "/hooks/v1/sbermarket", cut, TOKEN, "Content-Encoding: gzip"))[
            0
        ] == 400
        kept = await gateway.deliveries(2, "&outcome=quarantined")
        assert [(item["reason"], item["external_id"]) for item in kept] == [
            ("request_timeout", "H1"),
            ("broken_body", "H1"),
        ]
        found = await gateway.get(f"/admin/v1/deliveries/{kept[0]['id']}", role="operator")
        assert found["body"] == GOOD[:-10].decode()
        assert len(await alerts(2)) == 2


async def test_text_in_its_declared_charset_is_read(start: Start) -> None:
    text = json.dumps(hook_body(comment="Позвонить за час"), ensure_ascii=False).encode("windows-1251")
    headers = (TOKEN, "Content-Type: application/json; charset=windows-1251")
    async with start() as gateway:
        assert (await request(gateway.url, "POST", "/hooks/v1/sbermarket", text, *headers))[0] == 200
        assert (await request(gateway.url, "POST", "/hooks/v1/sbermarket", text, TOKEN))[0] == 200
        read, lenient = await gateway.deliveries(2)
        assert (read["outcome"], lenient["outcome"]) == ("confirmed", "quarantined")
        assert "Позвонить за час" in (await gateway.get(f"/admin/v1/deliveries/{read['id']}", role="operator"))["body"]
        named = ("Content-Type: application/json; charset=cp-1251", "Content-Encoding: windows1251")
        for label in named:
            assert (await request(gateway.url, "POST", "/hooks/v1/sbermarket", text, TOKEN, label))[0] == 200
        marked = ("\ufeff" + text.decode("windows-1251")).encode("utf-16-le")
        assert (await request(gateway.url, "POST", "/hooks/v1/sbermarket", marked, TOKEN))[0] == 200
        assert [item["outcome"] for item in await gateway.deliveries(5)].count("quarantined") == 1
        order = json.dumps({**ORDER, "comment": "ёлка"}, ensure_ascii=False)
        for sent in (order.encode("windows-1251"), ("\ufeff" + order).encode("utf-16-be")):
            status, _, _ = await request(
                gateway.url, "POST", "/api/v1/orders/", sent, WEBSITE, "Content-Encoding: windows-1251"
            )
            assert status == 201


async def test_the_ledger_tells_what_came_in_apart_from_what_became_of_it(start: Start) -> None:
    async with start() as gateway:
        await gateway.send(hook_body())
        await gateway.send(b"no json")
        await gateway.send(hook_body(), headers={"Client-token": "wrong"})
        await gateway.send(hook_body(), path="/hooks/v1/nobody", headers={})
        await gateway.send({}, path="/api/v1/orders/", headers=bearer("website"))
        found = await adds_up(gateway, 5)
        assert {name: found[name] for name in ("confirmed", "spooled", "quarantined", "refused", "outcomes")} == {
            "confirmed": 1,
            "spooled": 0,
            "quarantined": 1,
            "refused": 3,
            "outcomes": 5,
        }

        async def shown() -> bool:
            return await gateway.metric('gateway_received_total{source="sbermarket"}') == 3.0

        await eventually(shown, what="the counter")
        assert [line["difference"] for line in found["by_source"]] == [0, 0, 0]
