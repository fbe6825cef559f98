"""One trace and one request id, from the caller through our log lines to whoever we call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from common.http import HttpServer, Request, Route, new_session
from common.telemetry import get_logger

from .conftest import Demo

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Downstream:
    """Somebody else's server; remembers the headers it was called with."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.app = web.Application()
        self.app.router.add_get("/", self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response(text="ok")


async def test_the_caller_s_trace_reaches_our_answer_our_log_and_the_next_service(
    serve: Callable[[Sequence[Route]], Awaitable[Demo]], log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    downstream = Downstream()
    async with HttpServer(downstream.app, "127.0.0.1", 0) as other, new_session() as session:

        async def relay(_request: Request[None, None]) -> None:
            get_logger().info("calling_downstream")
            async with session.get(other.url) as response:
                assert response.status == 200

        demo = await serve([Route(method="POST", path="/relay", handler=relay, summary="Relay", status=204)])
        answer = await demo.call(
            "POST", "/relay?phone=79161234567", headers={"traceparent": PARENT, "X-Request-Id": "order-77"}
        )

    assert answer.headers["X-Request-Id"] == "order-77"
    version, trace, span, flags = answer.headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    [seen] = downstream.headers
    assert seen["x-request-id"] == "order-77"
    assert seen["traceparent"].split("-")[1] == TRACE
    assert seen["traceparent"].split("-")[2] not in {span, "b7ad6b7169203331"}
    lines = [line for line in log_lines() if line.get("route") != "unmatched"]
    assert [(line["event"], line["trace_id"], line["span_id"], line["request_id"]) for line in lines] == [
        ("calling_downstream", TRACE, span, "order-77"),
        ("http_request", TRACE, span, "order-77"),
    ]
    assert lines[1] | {"timestamp": "", "duration_ms": 0} == {
        "timestamp": "",
        "duration_ms": 0,
        "level": "info",
        "event": "http_request",
        "method": "POST",
        "route": "/relay",
        "status": 204,
        "service": "demo",
        "replica": "r1",
        "environment": "test",
        "release": "1.2.3",
        "trace_id": TRACE,
        "span_id": span,
        "request_id": "order-77",
    }


async def test_requests_on_one_connection_do_not_share_a_trace_or_an_id(demo: Demo) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        answers = []
        for _ in range(3):
            async with session.post(f"{demo.server.url}/raw", data=b"x") as response:
                answers.append((response.headers["X-Request-Id"], (await response.json())["trace_id"]))
    assert len({request_id for request_id, _ in answers}) == 3
    assert len({trace for _, trace in answers}) == 3


@pytest.mark.parametrize("given", ["", "x" * 129, "with blank", "new\tline", "<script>", "ключ"])
async def test_a_request_id_that_is_not_sane_is_replaced(demo: Demo, given: str) -> None:
    answer = await demo.call("GET", "/livez", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] != given
    assert len(answer.headers["X-Request-Id"]) == 32


async def test_a_malformed_traceparent_starts_a_new_trace(demo: Demo) -> None:
    answer = await demo.call("GET", "/livez", headers={"traceparent": f"00-{TRACE}-nonsense-01"})
    assert answer.headers["traceparent"].split("-")[1] != TRACE
