"""Requests that nobody should send: the documented answer, no 5xx, memory bounded, and everybody else is served meanwhile."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from common.ids import order_number
from tests.integration.webhook_gateway.conftest import TOKEN, Gateway, Start, hook_body
from tests.support.hook_fuzz import bodies
from tests.support.processes import HEADERS as PROCESS_TOKEN
from tests.support.processes import read, send, stand
from tests.support.servers import eventually

HEAD = b"POST /hooks/v1/sbermarket HTTP/1.1\r\nHost: gateway\r\nClient-token: new-token\r\n"
MIB = 1024**2


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare connection."""
    where = URL(url)
    return await asyncio.open_connection(where.host, where.port)


async def status_of(reader: asyncio.StreamReader) -> int:
    """Read one answer to its end and return its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1])


async def answer_to(url: str, *pieces: bytes) -> int:
    """Write pieces and return the status of the first answer."""
    reader, writer = await connect(url)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await asyncio.wait_for(status_of(reader), 60)
    finally:
        writer.close()


def with_length(body: bytes, *headers: bytes) -> bytes:
    """A whole request."""
    lines = b"".join(line + b"\r\n" for line in headers)
    return HEAD + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


def deflate(body: bytes, *, raw: bool = False) -> bytes:
    """The two things that are called deflate."""
    compressor = zlib.compressobj(wbits=-15 if raw else 15)
    return compressor.compress(body) + compressor.flush()


GOOD = json.dumps(hook_body()).encode()


COMPRESSED = [
    ("H0", b"identity", GOOD, 200),
    ("H1", b"gzip", gzip.compress(GOOD), 200),
    ("H2", b"deflate", deflate(GOOD), 200),
    ("H3", b"deflate", deflate(GOOD, raw=True), 200),
    ("H4", b"gzip", gzip.compress(GOOD + b" " * (MIB - len(GOOD))), 200),
    ("no gzip at all", b"gzip", b"no gzip at all", 400),
    ("cut off", b"gzip", gzip.compress(GOOD)[:-20], 400),
    ("folded twice", b"gzip", gzip.compress(gzip.compress(GOOD)), 400),
    ("no deflate at all", b"deflate", b"\xff" * 100, 400),
    ("what nobody here unfolds", b"br", b"\x00" * 100, 415),
    ("one byte too many", b"gzip", gzip.compress(b"x" * (MIB + 1)), 413),
    ("a bomb", b"deflate", deflate(b"x" * 20 * MIB), 413),
]


async def test_a_compressed_body_is_counted_as_it_unfolds(start: Start) -> None:
    async with start() as gateway:
        for name, encoding, body, status in COMPRESSED:
            request = with_length(body, b"Content-Encoding: " + encoding)
            assert (name, await answer_to(gateway.url, request)) == (name, status)
        whole = await gateway.get("/admin/v1/deliveries?outcome=confirmed&limit=200")
        assert {item["number"] for item in whole["items"]} <= {order_number("sbermarket", "H1")}

        async def recorded() -> bool:
            found = await gateway.get("/admin/v1/ledger?from=2026-01-01T00:00:00Z&to=2036-01-01T00:00:00Z")
            # A body that cannot be unfolded is kept as it came.
            return (found["confirmed"] + found["spooled"], found["quarantined"], found["difference"]) == (5, 7, 0)

        await eventually(recorded, what="the ledger")


def in_pieces(body: bytes, *headers: bytes) -> bytes:
    """A chunked request, with an extension of a chunk and trailers."""
    half = len(body) // 2
    chunks = b"%x;name=value\r\n%b\r\n%x\r\n%b\r\n" % (half, body[:half], len(body) - half, body[half:])
    lines = b"".join(line + b"\r\n" for line in (*headers, b"Trailer: X-Sum", b"Transfer-Encoding: chunked"))
    return HEAD + lines + b"\r\n" + chunks + b"0\r\nX-Sum: 1\r\n\r\n"


async def test_a_hook_is_taken_in_pieces_with_trailers_and_after_a_leave_to_go_on(start: Start) -> None:
    async with start() as gateway:
        assert await answer_to(gateway.url, in_pieces(GOOD)) == 200
        assert await answer_to(gateway.url, in_pieces(gzip.compress(GOOD), b"Content-Encoding: gzip")) == 200
        reader, writer = await connect(gateway.url)
        head, _, body = with_length(GOOD, b"Expect: 100-continue").partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(body)
        assert await status_of(reader) == 200
        writer.close()
        assert {item["outcome"] for item in await gateway.deliveries(3)} <= {"confirmed", "spooled"}


async def test_malformed_http_is_a_4xx_and_only_what_is_genuine_is_kept(start: Start) -> None:
    many = b"".join(b"X-%d: 1\r\n" % number for number in range(10_000))
    requests = {
        "a length that is no number": HEAD + b"Content-Length: x\r\n\r\n",
        "a negative length": HEAD + b"Content-Length: -1\r\n\r\n",
        "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        "a length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "a chunk of no size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "ten thousand headers": HEAD + many + b"Content-Length: 2\r\n\r\n{}",
        "a header of 64 KiB": HEAD + b"X: " + b"y" * 65536 + b"\r\nContent-Length: 2\r\n\r\n{}",
        "a path of 64 KiB": b"POST /" + b"y" * 65536 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        "a NUL in a header": HEAD + b"X: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
        "a line break in a name": HEAD + b"X\r: a\r\nContent-Length: 2\r\n\r\n{}",
        "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        "another method": b"DELETE" + HEAD[4:] + b"\r\n",
        "an unknown address": HEAD.replace(b"sbermarket", b"nobody") + b"Content-Length: 2\r\n\r\n{}",
        "an address with a NUL": HEAD.replace(b"sbermarket", b"sber%00market") + b"Content-Length: 2\r\n\r\n{}",
        "an address that is no UTF-8": HEAD.replace(b"sbermarket", b"%ff%fe") + b"Content-Length: 2\r\n\r\n{}",
    }
    async with start() as gateway:
        answers = {name: await answer_to(gateway.url, request) for name, request in requests.items()}
        assert {name: status for name, status in answers.items() if not 400 <= status < 500} == {}
        assert (await gateway.send(hook_body()))[0] == 200
        # The token came with the chunk of no size and with the three wrong addresses: of these there is a body.
        kept = await gateway.deliveries(4)
        assert sorted(item["reason"] or "" for item in kept) == ["", *["wrong_address"] * 3]

        async def counted() -> bool:
            found = await gateway.get("/admin/v1/ledger")
            return (found["received"], found["difference"]) == (len(requests) + 1, 0)

        await eventually(counted, what="each of them in the ledger, once")


@pytest.mark.parametrize("expected", [b"100-Continue", b"200-ok", b"x, 100-continue", b""])
async def test_whatever_else_a_sender_expects_its_hook_is_taken(start: Start, expected: bytes) -> None:
    async with start() as gateway:
        reader, writer = await connect(gateway.url)
        writer.write(with_length(GOOD, b"Expect: " + expected))
        continued = b"100-continue" in expected.lower()
        if continued:
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 200 OK\r\n"
        writer.close()
        assert len(await gateway.deliveries(1)) == 1


async def test_pipelined_hooks_are_answered_in_order(start: Start) -> None:
    async with start() as gateway:
        reader, writer = await connect(gateway.url)
        for number in range(50):
            writer.write(with_length(json.dumps(hook_body(order=f"P{number}")).encode()))
        answers = []
        for _ in range(50):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")
            )
            answers.append((head.split(b" ", 2)[1], json.loads(await reader.readexactly(length))))
        writer.close()
        assert answers == [
            (b"200", {"status": "created", "number": order_number("sbermarket", f"P{number}")}) for number in range(50)
        ]
        assert len(await gateway.deliveries(50)) == 50


async def test_slow_senders_hold_up_nobody_and_are_answered_408(start: Start) -> None:
    async with start(body_deadline=1.0) as gateway:
        slow = [await connect(gateway.url) for _ in range(200)]
        for number, (_, writer) in enumerate(slow):
            # Half of them never end their head; the others trickle their body.
            writer.write(HEAD if number % 2 else HEAD + b"Content-Length: 1000\r\n\r\n")

        async def trickle(writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    writer.write(b"{")
                    await writer.drain()
                    await asyncio.sleep(0.1)
            except OSError:
                return

        trickling = [asyncio.create_task(trickle(writer)) for _, writer in slow[::2]]
        answers = await asyncio.gather(*(gateway.send(hook_body(order=f"S{number}")) for number in range(50)))
        assert [status for status, _, _ in answers] == [200] * 50
        assert {await asyncio.wait_for(status_of(reader), 60) for reader, _ in slow[::2]} == {408}
        for task in trickling:
            task.cancel()
        for _, writer in slow:
            writer.close()


async def test_senders_that_hang_up_leave_only_what_came_of_their_hooks(start: Start) -> None:
    async with start() as gateway:
        for cut in range(0, len(GOOD), 20):
            _, writer = await connect(gateway.url)
            writer.write(with_length(GOOD)[: len(HEAD) + cut])
            await writer.drain()
            writer.transport.abort()
        assert (await gateway.send(hook_body()))[0] == 200

        async def taken() -> list[str]:
            items = (await gateway.get("/admin/v1/deliveries?limit=200"))["items"]
            return [item["reason"] for item in items if item["outcome"] != "quarantined"]

        assert await eventually(taken, what="the whole hook") == [None]
        broken = (await gateway.get("/admin/v1/deliveries?limit=200&outcome=quarantined"))["items"]
        assert {item["reason"] for item in broken} <= {"broken_body"}


async def fuzz(gateway_url: str, raws: Sequence[bytes], headers: dict[str, str], *, at_once: int) -> Counter[int]:
    """Send bodies as they are, several at a time, and count the statuses."""
    answers: Counter[int] = Counter()
    waiting = iter(raws)
    async with aiohttp.ClientSession() as session:

        async def work() -> None:
            for raw in waiting:
                async with session.post(gateway_url + "/hooks/v1/sbermarket", data=raw, headers=headers) as answer:
                    await answer.read()
                    answers[answer.status] += 1

        await asyncio.gather(*(work() for _ in range(at_once)))
    return answers


async def test_mutated_hooks_get_no_5xx_and_the_ledger_adds_up(start: Start) -> None:
    raws = list(bodies(800, seed=5))
    async with start() as gateway:
        answers = await fuzz(gateway.url, raws, TOKEN, at_once=16)
        assert (set(answers), answers.total()) == ({200, 400}, 800)
        await ledger_holds(gateway, 800)


async def ledger_holds(gateway: Gateway, count: int) -> None:
    """Wait until the ledger has so many, and nothing was too much for the recorder."""

    async def recorded() -> bool:
        sums = await gateway.get("/admin/v1/ledger?from=2026-01-01T00:00:00Z&to=2036-01-01T00:00:00Z")
        return bool(sums["received"] == count == sums["confirmed"] + sums["spooled"] + sums["quarantined"])

    await eventually(recorded, every=0.3, what=f"{count} in the ledger")
    assert (await gateway.get("/admin/v1/dead-letters"))["items"] == []


@pytest.mark.chaos
@pytest.mark.timeout(1800)
async def test_a_hundred_thousand_mutated_hooks_through_http_to_the_orchestrator(
    tmp_path: Path, database_for: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    async with stand(tmp_path) as made, aiohttp.ClientSession() as session:
        gateway = made.gateway("gw-1", dsn=await database_for("webhook_gateway"), amqp_url=amqp_url)
        orchestrator = made.orchestrator(dsn=await database_for("orchestrator"), amqp_url=amqp_url)
        await orchestrator.start()
        await gateway.start()
        await fuzz(gateway.url, list(bodies(2_000, seed=99)), PROCESS_TOKEN, at_once=16)
        before = gateway.resident()
        answers: Counter[int] = Counter()
        for seed in range(100, 110):
            answers += await fuzz(gateway.url, list(bodies(10_000, seed=seed)), PROCESS_TOKEN, at_once=16)
        assert (set(answers), answers.total()) == ({200, 400}, 100_000)
        assert gateway.resident() - before < 128 * MIB

        async def recorded() -> bool:
            query = {"from": "2026-01-01T00:00:00Z", "to": "2036-01-01T00:00:00Z"}
            _, sums = await read(session, gateway, "/admin/v1/ledger", **query)
            return bool(sums["received"] == 102_000 == sums["confirmed"] + sums["spooled"] + sums["quarantined"])

        await eventually(recorded, within=300, every=2, what="the whole ledger")
        for program in (gateway, orchestrator):
            status, dead = await read(session, program, "/admin/v1/dead-letters")
            assert (status, dead["items"]) == (200, [])
        assert await send(session, gateway, hook_body(order="afterwards")) == (
            200,
            {"status": "created", "number": order_number("sbermarket", "afterwards")},
        )

        async def there() -> bool:
            query = {"source": "sbermarket", "external_id": "afterwards"}
            status, _ = await read(session, orchestrator, "/orders/v1/orders", **query)
            return status == 200

        await eventually(there, every=0.5, what="the order after the flood")


async def test_memory_stays_bounded_whatever_is_sent(
    tmp_path: Path, database_for: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    bomb = gzip.compress(b"\x00" * 200 * MIB)
    deep = (
        b'{"event_type":"order.created","payload":{"originalOrderId":"D","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    )
    wide = b'{"event_type":"order.created","payload":{"originalOrderId":"W","x":[' + b"[]," * 330_000 + b"[]]}}"

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"x" * MIB

    async with stand(tmp_path) as made, aiohttp.ClientSession() as session:
        gateway = made.gateway("gw-1", dsn=await database_for("webhook_gateway"), amqp_url=amqp_url)
        await gateway.start()
        url = gateway.url + "/hooks/v1/sbermarket"

        async def post(data: bytes, **headers: str) -> int | None:
            try:
                async with session.post(url, data=data, headers={**PROCESS_TOKEN, **headers}) as answer:
                    return answer.status
            except (aiohttp.ClientError, OSError):
                return None  # it answered, closed, and we were still sending

        async def stream(headers: dict[str, str]) -> int | None:
            try:
                async with session.post(url, data=endless(), headers=headers) as answer:
                    return answer.status
            except (aiohttp.ClientError, OSError):
                return None

        assert await send(session, gateway, wide) == (
            200,
            {"status": "created", "number": order_number("sbermarket", "W")},
        )
        before, busy = gateway.resident(), gateway.busy()
        assert await asyncio.gather(*(post(bomb, **{"Content-Encoding": "gzip"}) for _ in range(4))) == [413] * 4
        assert (
            await asyncio.gather(
                *(post(bomb, **{"Content-Encoding": "gzip", "Client-token": "wrong"}) for _ in range(4))
            )
            == [403] * 4
        )
        # Nobody unfolds what was refused: 1.6 GB would cost the one thread that answers everybody else seconds.
        assert gateway.busy() - busy < 2.0
        assert {status for status in [await stream(PROCESS_TOKEN)] if status is not None} <= {413}
        assert {status for status in [await stream({})] if status is not None} <= {403}
        assert [status for status, _ in [await send(session, gateway, deep) for _ in range(5)]] == [400] * 5
        assert [status for status, _ in [await send(session, gateway, wide) for _ in range(3)]] == [200] * 3
        assert gateway.resident() - before < 100 * MIB
