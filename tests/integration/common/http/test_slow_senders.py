"""Heads and bodies that do not come to an end: the connection does, whatever the route, and nobody else waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from common.health import Health
from common.http import HttpServer, Request, Route, TokenBook, build_app
from common.telemetry.metrics import new_registry
from tests.support.slow_senders import SLOW, Slow, answered_until_the_end

from .conftest import ROUTES, TOKENS

SECONDS = 0.3


async def _ticking(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(8):
        await response.write(b"tick\n")
        await asyncio.sleep(SECONDS / 4)
    await response.write(b"end\n")
    return response


async def _refusing(_request: Request[None, None]) -> None:
    return None


async def _raw(request: web.Request) -> web.StreamResponse:
    return web.Response(body=await request.read())


MORE = (
    Route(method="POST", path="/ticking", handler=_ticking, summary="Ticking", raw=True, hidden=True),
    Route(method="POST", path="/reading", handler=_raw, summary="Reading", raw=True, hidden=True),
    Route(method="POST", path="/unread", handler=_refusing, summary="Unread", status=204),
)


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    """The small service; heads and bodies have a fraction of a second."""
    app = build_app(
        service="demo",
        routes=(*ROUTES, *MORE),
        health=Health(),
        registry=new_registry(),
        tokens=TokenBook(TOKENS),
        body_seconds=SECONDS,
    )
    async with HttpServer(app, "127.0.0.1", 0, head_seconds=SECONDS) as server:
        yield server


@pytest.mark.parametrize("path", ["/orders", "/reading", "/unread", "/nowhere", "/livez"])
async def test_what_does_not_come_to_an_end_ends_with_its_connection(server: HttpServer, path: str) -> None:
    waiting = await asyncio.open_connection(URL(server.url).host, server.port)
    assert await _ask(*waiting) == b"HTTP/1.1 200 OK"

    answers = await asyncio.gather(
        *(answered_until_the_end(server.url, path, slow, every=SECONDS / 10, token="t-admin") for slow in SLOW)
    )

    for slow, answer in zip(SLOW, answers, strict=True):
        if slow.head:
            assert answer == b"", slow
        elif path in {"/orders", "/reading"}:
            assert answer.startswith(b"HTTP/1.1 408"), slow
            assert b'"code":"request_timeout"' in answer, slow
        else:
            assert answer.startswith(b"HTTP/1.1 "), slow
    assert await _ask(*waiting) == b"HTTP/1.1 200 OK", "a connection that waits for its next request is not cut"
    waiting[1].close()


async def test_a_stream_that_the_service_sends_is_not_cut(
    server: HttpServer, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    slow = Slow("body never ended", b"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", head=False)
    answer = await answered_until_the_end(server.url, "/ticking", slow, every=SECONDS / 10, token="t-admin")
    assert answer.count(b"tick\n") == 8
    assert b"end\n" in answer
    assert not [line for line in log_lines() if line["level"] == "error"]


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    await reader.readexactly(int(length.split(b":")[1]))
    return head.split(b"\r\n")[0]
