"""The console as it runs, before a small server that answers for the five services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from common.http import HttpServer
from common.service import running
from console.web.app import build
from console.web.settings import ConsoleSettings
from tests.support.console_browser import Browser, browsing
from tests.unit.console.web.factories import Services


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    """The five services, all at one address."""
    known = Services()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", known.answer)
    async with HttpServer(app, "127.0.0.1", 0) as server:
        known.url = server.url
        yield known


@pytest.fixture
def settings(services: Services) -> ConsoleSettings:
    """Settings of a console on this machine."""
    urls: dict[str, Any] = dict.fromkeys(
        ("webhook_gateway_url", "orchestrator_url", "tips_url", "refunds_url", "notifier_url"), services.url
    )
    return ConsoleSettings(port=0, session_key=SecretStr("k" * 40), language="en", poll_seconds=0.05, **urls)


@pytest.fixture
async def url(settings: ConsoleSettings) -> AsyncIterator[str]:
    """A running console's address."""
    async with running(build, settings) as application:
        yield application.url


@pytest.fixture
async def browser(url: str) -> AsyncIterator[Browser]:
    """Somebody's browser."""
    async with browsing(url) as opened:
        yield opened
