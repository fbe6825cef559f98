"""A service that fails, or hangs, while a change is made: what happened is not known, and the same page does it once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from common.http import HttpServer
from console.client.operations import SERVICES, operation
from console.client.suite import Suite, UnreachableError
from console.web.people import NotSignedInError, People
from tests.support.console_browser import Browser
from tests.support.console_plans import RETRY, hidden, planned
from tests.unit.console.web.factories import Services

RETRIED = planned({"id": "7", "version": 3, "outcome": "retried"})
KINDS: tuple[tuple[str, dict[str, str], str, dict[str, Any]], ...] = (
    ("/change/workflow/retry", {"ids": "7"}, RETRY, RETRIED),
    (
        "/change/order/refund",
        {"ids": "N", "field.amount": "85"},
        "POST /admin/v1/orders/N/refund",
        {"number": "N", "amount": 8500, "currency": "RUB", "positions": [], "tips": 0, "outcome": "asked"},
    ),
    ("/change/silence/end", {"ids": "2"}, "DELETE /admin/v1/silences/2", {"outcome": "ended"}),
    ("/change/message/test", {"field.destination": "pickers"}, "POST /admin/v1/test-message", {"notice_id": "n"}),
)
"""Of each kind of change its form, what is filled in, what it asks, and the answer."""


async def test_a_failed_answer_is_not_known_and_the_same_page_does_it_once(
    browser: Browser, services: Services
) -> None:
    services.answers["GET /orders/v1/orders/N"] = (200, {"number": "N", "version": 4, "totals": {"currency": "RUB"}})
    await browser.sign_in("token-admin")

    def failing_once(status: int, said: dict[str, Any], made: list[str | None]) -> Callable[[Any], tuple[int, Any]]:
        def answer(body: Any) -> tuple[int, Any]:
            key = services.calls[-1][2]
            if body["dry_run"] or key in made:
                return 200, said
            made.append(key)  # it is done, and what is answered is that the connection broke as it was committed
            return status, {"code": "unavailable", "detail": "the database is away"}

        return answer

    for status, (form, fields, line, said) in zip((503, 500, 502, 504), KINDS, strict=True):
        made: list[str | None] = []
        services.answers[line] = failing_once(status, said, made)
        await browser.get(f"{form}?ids={fields.get('ids', '')}")
        genuine = await browser.post(form, reason="for a test", **fields)
        page = await browser.post("/apply", plan=hidden(genuine, "plan"))
        assert (form, browser.status, len(made)) == (form, 502, 1)
        assert "Whether a change arrived there is not known: sending the same page again does it once" in page
        assert "nothing was changed" not in page
        browser.page = genuine
        page = await browser.post("/apply", plan=hidden(genuine, "plan"))
        assert (form, browser.status, len(made)) == (form, 200, 1)
        assert 'name="done"' in page


@asynccontextmanager
async def hanging() -> AsyncIterator[tuple[str, list[str]]]:
    """A service that takes every call and answers none; what it was asked."""
    over, asked = asyncio.Event(), list[str]()

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(f"{request.method} {request.path}")
        await over.wait()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with HttpServer(app, "127.0.0.1", 0) as server:
        try:
            yield server.url, asked
        finally:
            over.set()


async def test_what_does_not_answer_in_time_is_asked_once_also_under_a_key() -> None:
    timeout = aiohttp.ClientTimeout(total=0.2)
    async with hanging() as (url, asked), aiohttp.ClientSession(timeout=timeout) as session:
        suite = Suite(session, {"refunds": url}, "token")
        with pytest.raises(UnreachableError) as read:
            await suite.get("refunds", "/admin/v1/refunds")
        with pytest.raises(UnreachableError) as sent:
            await suite.send("refunds", "POST", "/admin/v1/refunds/restart", {}, key="k")
    assert (read.value.timed_out, sent.value.timed_out) == (True, True)
    assert asked == ["GET /admin/v1/refunds", "POST /admin/v1/refunds/restart"]


async def test_a_service_that_hangs_lets_a_person_do_what_it_let_her_last(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.web.people._KNOWN_FOR_S", 0.0)
    monkeypatch.setattr("console.web.people._AGAIN_S", 1.0)
    urls = dict.fromkeys(SERVICES, services.url)
    act, barred = (
        operation("refunds", "POST /admin/v1/refunds/restart"),
        operation("orchestrator", "PUT /admin/v1/flags/{name}"),
    )
    async with hanging() as (hung, asked), aiohttp.ClientSession() as session:
        people = People(session, urls)
        assert (await people.person("token-operator")).away == ()
        urls["refunds"] = hung
        person = await people.person("token-operator")
        assert ("refunds" in person.away, person.may(act), person.may(barred)) == (True, True, False)
        assert await people.may_still(person, act)
        assert set(asked) == {"GET /admin/v1/whoami"}
        services.withdrawn.add("token-operator")
        with pytest.raises(NotSignedInError):  # who nobody else knows any more is not kept by its silence
            await people.person("token-operator")
