"""One service takes every call and answers none: pages come all the same, without its part, and say so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from common.service import running
from console.client.suite import connected
from console.web.app import build
from console.web.settings import ConsoleSettings
from tests.support.console_browser import Browser, browsing
from tests.unit.console.web.factories import INCIDENT, ORDER, Services

HANGING = "refunds"
LEDGER = {"received": 1, "confirmed": 1, "spooled": 0, "quarantined": 0, "refused": 0, "difference": 0}


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The address of a socket that is taken up and never answered."""
    over = asyncio.Event()

    async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        over.set()
        server.close()
        await server.wait_closed()


@pytest.fixture
async def left(settings: ConsoleSettings, silent: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Browser]:
    """A console before four services that answer and one that hangs; a call that is not held back takes longer than a test may."""
    monkeypatch.setattr("console.web.app._DEADLINE_S", 3600.0)
    monkeypatch.setattr("console.web.people._AT_FIRST_S", 0.2)
    monkeypatch.setattr("console.web.people._AGAIN_S", 0.2)
    monkeypatch.setattr("console.client.suite._PAGE_S", 0.5)
    monkeypatch.setattr("console.client.suite._PAGE_AGAIN_S", 0.5)
    hung = settings.model_copy(update={"refunds_url": silent})
    async with running(build, hung) as application, browsing(application.url) as browser:
        yield browser


async def test_a_page_leaves_out_the_service_that_hangs_and_shows_the_rest(left: Browser, services: Services) -> None:
    services.answers["GET /orders/v1/orders/N"] = (200, ORDER)
    services.answers["GET /admin/v1/orders/N/timeline"] = (200, {"items": [], "next_cursor": None})
    services.answers["GET /admin/v1/ledger"] = (200, LEDGER)
    services.answers["GET /admin/v1/incidents"] = (
        200,
        {"items": [{**INCIDENT, "state": "open", "summary": "the oven burns"}], "count": 1},
    )
    await left.sign_in("token-operator")
    for address, shown in (("/", "the oven burns"), ("/o/N", "/change/order/cancel"), ("/proof", "1 = 1 + 0")):
        page = await left.get(address)
        assert (address, left.status) == (address, 200)
        assert shown in page
        assert "does not answer" in page
    page = await left.get("/incidents")  # which needs nothing of it
    assert (left.status, "the oven burns" in page) == (200, True)


async def test_a_page_of_the_hanging_service_says_who_does_not_answer(left: Browser, services: Services) -> None:
    await left.sign_in("token-operator")
    for address in ("/list/payment", "/r/5"):
        page = await left.get(address)
        assert (address, left.status) == (address, 502)
        assert HANGING in page


async def test_what_a_page_reads_masked_is_held_to_the_pages_time_too(silent: str) -> None:
    async with connected({HANGING: silent}, "token-operator") as suite:
        page = suite.for_a_page(silent=(HANGING,))
        assert page.without_customers().silent == {HANGING}
        assert suite.without_customers().silent is None
