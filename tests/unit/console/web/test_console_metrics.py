"""What the console had from the services is counted by service and outcome."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from common.http import HttpServer, new_session
from console.web.metrics import ConsoleMetrics


async def test_calls_are_counted_by_service_and_outcome() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=int(request.path.rpartition("/")[2]))

    app = web.Application()
    app.router.add_get("/{status}", answer)
    registry = CollectorRegistry()
    async with HttpServer(app, "127.0.0.1", 0) as server:
        urls = {"tips": f"{server.url}/", "refunds": "http://127.0.0.1:1"}
        metrics = ConsoleMetrics(registry, urls, public_url="https://console.example.com")
        metrics.count_lists(lambda: 3)
        async with new_session(watched_by=[metrics.of_calls()]) as session:
            statuses = (200, 304, 401, 404, 500, 503)
            await asyncio.gather(*(session.get(f"{server.url}/{status}?q=+79161234567") for status in statuses))
            await session.get(f"http://localhost:{server.port}/200")  # some other server
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get("http://127.0.0.1:1/200")
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name.endswith(("_total", "_count", "_watched", "_info"))
    }
    assert found == {
        ("console_service_calls_total", "tips", "answered"): 4,
        ("console_service_calls_total", "tips", "failed"): 2,
        ("console_service_calls_total", "tips", "unreachable"): 0,
        ("console_service_calls_total", "refunds", "answered"): 0,
        ("console_service_calls_total", "refunds", "failed"): 0,
        ("console_service_calls_total", "refunds", "unreachable"): 1,
        ("console_service_call_seconds_count", "tips"): 6,
        ("console_service_call_seconds_count", "refunds"): 1,
        ("console_lists_watched",): 3,
        ("console_info", "https://console.example.com"): 1,
    }
