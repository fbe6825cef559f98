"""What leaves the process for Sentry and for the trace collector: enough to mend a bug, nothing of a customer."""

from __future__ import annotations

import gzip
import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from common.http import HttpServer
from tests.support.servers import eventually

from .conftest import Start

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
PERSONAL = ("916 123", "123-45-67", "79161234567", "ivan", "example.ru", "Иван", "Петров", "t-secret")


class Collector:
    """Stands in for Sentry's ingest address and for an OTLP collector; keeps what it is sent."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.raw = b""
        self.url = ""
        self.spans: list[Any] = []
        self.app = web.Application()
        self.app.router.add_post("/api/1/envelope/", self._envelope)
        self.app.router.add_post("/v1/traces", self._traces)

    async def _envelope(self, request: web.Request) -> web.Response:
        body = await request.read()
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        self.raw += body
        lines = body.split(b"\n")
        for header, payload in zip(lines[1::2], lines[2::2], strict=False):
            if json.loads(header)["type"] == "event":
                self.events.append(json.loads(payload))
        return web.json_response({})

    async def _traces(self, request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest.FromString(await request.read())
        for resource in message.resource_spans:
            for scope in resource.scope_spans:
                self.spans += [(resource.resource, each) for each in scope.spans]
        return web.Response(body=b"", content_type="application/x-protobuf")


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A collector that listens."""
    collector = Collector()
    async with HttpServer(collector.app, "127.0.0.1", 0) as server:
        collector.url = server.url
        yield collector


async def post(port: int, path: str) -> int:
    headers = {"traceparent": PARENT, "X-Request-Id": "req-5", "Authorization": "Bearer t-secret"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://127.0.0.1:{port}{path}?phone=79161234567",
            data="Иван Петров;+7 916 123-45-67;ivan@example.ru",
            headers=headers,
        ) as response,
    ):
        return response.status


async def test_a_failed_request_reaches_sentry_with_stack_and_trace_but_no_personal_data(
    start: Start, collector: Collector
) -> None:
    url = collector.url
    shop = await start(
        SHOP_SENTRY_DSN=url.replace("http://", "http://public-key@") + "/1",
        SHOP_ENVIRONMENT="test",
        SHOP_REPLICA="shop-2",
    )
    port = (await shop.until("service_started"))["port"]
    assert await post(port, "/crash/7Q3M") == 500

    async def arrived() -> list[dict[str, Any]]:
        return collector.events

    [event] = await eventually(arrived, what="the event at Sentry")
    [error] = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "cannot ship to [masked], [masked]")
    assert [frame["function"] for frame in error["stacktrace"]["frames"]][-1] == "crash"
    assert all("vars" not in frame for frame in error["stacktrace"]["frames"])
    assert event["contexts"]["trace"]["trace_id"] == TRACE
    assert event["contexts"]["suite"] == {"method": "POST", "route": "/crash/{number}"}
    where = {"method": "POST", "route": "/crash/{number}"}
    assert event["tags"] == {"service": "shop", "request_id": "req-5", **where}
    assert (event["environment"], event["release"], event["server_name"]) == ("test", "shop@1.0.0", "shop-2")
    assert {"request", "user", "breadcrumbs"} & set(event) == set()
    said = collector.raw.decode()
    assert [word for word in PERSONAL if word in said] == []
    shop.process.send_signal(signal.SIGTERM)
    assert await shop.end() == (0, "")


async def test_an_error_that_a_library_logs_reaches_sentry_too(start: Start, collector: Collector) -> None:
    url = collector.url
    shop = await start(SHOP_SENTRY_DSN=url.replace("http://", "http://public-key@") + "/1")
    port = (await shop.until("service_started"))["port"]
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/stray?mail=ivan@example.ru") as response,
    ):
        assert response.status == 200
    shop.process.send_signal(signal.SIGTERM)
    assert await shop.end() == (0, "")  # closing flushes what is left
    [event] = collector.events
    assert event["logger"] == "some.library"
    assert [word for word in PERSONAL if word in collector.raw.decode()] == []


async def test_spans_are_exported_with_the_caller_s_trace_and_without_paths_or_queries(
    start: Start, collector: Collector
) -> None:
    shop = await start(SHOP_OTLP_ENDPOINT=collector.url, SHOP_REPLICA="shop-2")
    port = (await shop.until("service_started"))["port"]
    assert await post(port, "/crash/7Q3M") == 500
    shop.process.send_signal(signal.SIGTERM)
    assert await shop.end() == (0, "")
    [(resource, span)] = collector.spans
    attributes = {item.key: item.value.string_value or item.value.int_value for item in span.attributes}
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == (
        "POST /crash/{number}",
        TRACE,
        "b7ad6b7169203331",
    )
    assert attributes == {
        "http.request.method": "POST",
        "http.route": "/crash/{number}",
        "http.response.status_code": 500,
    }
    assert span.status.code == 2
    named = {item.key: item.value.string_value for item in resource.attributes}
    assert (named["service.name"], named["service.instance.id"]) == ("shop", "shop-2")


async def test_a_collector_and_a_sentry_that_are_away_delay_neither_requests_nor_the_end(start: Start) -> None:
    async with HttpServer(web.Application(), "127.0.0.1", 0) as gone:
        url = gone.url
    shop = await start(SHOP_OTLP_ENDPOINT=url, SHOP_SENTRY_DSN=url.replace("http://", "http://key@") + "/1")
    port = (await shop.until("service_started"))["port"]
    assert await post(port, "/crash/7Q3M") == 500
    shop.process.send_signal(signal.SIGTERM)
    assert (await shop.end())[0] == 0
    assert "service_stopped" in shop.events()
