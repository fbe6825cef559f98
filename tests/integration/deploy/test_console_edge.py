"""TLS in front of the console, as it is shipped: nginx, a real certificate, and a browser that keeps cookies as browsers do."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from common.http import HttpServer
from common.service import running
from console.web.app import build
from console.web.settings import ConsoleSettings
from suite_local.ports import LOOPBACK
from tests.support.certificates import certificate_in
from tests.support.console_browser import browsing
from tests.support.servers import eventually

PHONE = "+79161234567"
INCIDENTS = "/admin/v1/incidents"


@dataclass
class Behind:
    """The console behind its edge, and one server that answers for all services."""

    url: str
    trusted: ssl.SSLContext
    certificates: Path
    log: Path
    incidents: list[dict[str, Any]]
    stop_console: Callable[[], Awaitable[None]]


@pytest.fixture
async def behind(
    console_edge: Callable[..., Any], free_port: Callable[[], int], tmp_path: Path
) -> AsyncIterator[Behind]:
    """Everything, running."""
    incidents: list[dict[str, Any]] = []

    async def service(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer token-of-anna":
            return web.json_response({"code": "unauthorized"}, status=401)
        if request.path == "/admin/v1/whoami":
            return web.json_response({"name": "anna", "role": "admin", "permissions": [f"GET {INCIDENTS}"]})
        return web.json_response({"items": incidents if request.path == INCIDENTS else [], "next_cursor": None})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(HttpServer(app, LOOPBACK, 0))
        port = free_port()
        url = f"https://{LOOPBACK}:{port}"
        names = ("webhook_gateway_url", "orchestrator_url", "tips_url", "refunds_url", "notifier_url")
        urls: dict[str, Any] = dict.fromkeys(names, server.url)
        settings = ConsoleSettings(
            port=0, public_url=url, session_key=SecretStr("k" * 40), language="en", poll_seconds=0.1, **urls
        )
        of_console = await stack.enter_async_context(AsyncExitStack())
        console = await of_console.enter_async_context(running(build, settings))
        trusted = certificate_in(tmp_path / "tls")
        address = console.url.removeprefix("http://")
        edge = console_edge(port=port, console=address, certificates=tmp_path / "tls")
        prefix = await stack.enter_async_context(edge)
        yield Behind(url, trusted, tmp_path / "tls", prefix, incidents, of_console.aclose)


async def test_one_signs_in_over_tls_with_a_cookie_that_no_plain_page_ever_gets(behind: Behind) -> None:
    async with browsing(behind.url, trusted=behind.trusted) as browser:
        page = await browser.get("/find?q=%2B79161234567")
        assert (browser.path, browser.status) == ("/sign-in", 200), page
        assert "max-age=" in browser.headers["Strict-Transport-Security"]
        await browser.post("/sign-in", token="token-of-anna", to="/incidents")
        assert (browser.path, browser.status) == ("/incidents", 200)
        [cookie] = [each for each in browser.session.cookie_jar if each.key.endswith("session")]
        assert (cookie.key, cookie["secure"], cookie["httponly"], cookie["path"], cookie["domain"]) == (
            *("__Host-session", True, True, "/"),
            LOOPBACK,  # the jar's own word for: this host only
        )
        await browser.post("/sign-out", origin="http://" + behind.url.removeprefix("https://"))
        assert browser.status == 403  # the same host without TLS is another site
        for inner in ("/metrics", "/readyz", "/docs", "/openapi.json", "/admin/v1/whoami"):
            await browser.get(inner)
            assert browser.status == 404, inner
        await browser.get("/static/console.css", **{"Accept-Encoding": "gzip"})
        assert (browser.status, browser.headers.get("Content-Encoding")) == (200, "gzip")
        page = await browser.get("/incidents", **{"Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in browser.headers


async def test_news_comes_through_at_once_and_no_log_holds_what_was_looked_for(behind: Behind) -> None:
    async with browsing(behind.url, trusted=behind.trusted) as browser:
        await browser.sign_in("token-of-anna")
        await browser.get("/find?q=%2B79161234567")
        async with browser.session.get(f"{behind.url}/live/incident?seen=") as stream:
            assert stream.content_type == "text/event-stream"
            behind.incidents.append({"id": 2, "kind": "problem.alert", "state": "open", "summary": "tips"})
            async with asyncio.timeout(60):
                assert b"data:" in await stream.content.readuntil(b"\n")
        await behind.stop_console()
        await browser.get("/find?q=%2B79161234567")
        assert browser.status == 502

    async def logged() -> str:
        log = (behind.log / "out").read_text() + (behind.log / "err").read_text()
        assert '"status":"502"' in log  # nginx writes a line after it has answered
        return log

    log = await eventually(logged)
    assert PHONE.removeprefix("+") not in log


async def test_a_certificate_that_is_renewed_or_gone_needs_no_restart(behind: Behind) -> None:
    async def served(trusted: ssl.SSLContext) -> bool:
        connector = aiohttp.TCPConnector(ssl=trusted, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            try:
                async with session.get(f"{behind.url}/livez") as answer:
                    return answer.status == 200
            except aiohttp.ClientConnectionError:
                return False

    assert await served(behind.trusted)
    renewed = certificate_in(behind.certificates)
    assert await served(renewed)
    assert not await served(behind.trusted)
    (behind.certificates / "tls.crt").unlink()
    assert not await served(renewed)
    assert "tls.crt" in (behind.log / "err").read_text()
    again = certificate_in(behind.certificates)
    await eventually(lambda: served(again), what="the certificate that is back is used")
