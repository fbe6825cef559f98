"""What became of a change, in however many tabs it stands: one look for all, and what has ended is not read again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from console.client.effects import Effect
from console.client.suite import Suite
from console.client.things import ON_ITS_WAY
from tests.support.console_browser import Browser, browsing
from tests.support.console_plans import RETRY, hidden, planned
from tests.support.servers import eventually
from tests.unit.console.web.factories import Services

LISTED = "GET /admin/v1/silences"


async def applied(browser: Browser, services: Services, *names: str) -> str:
    """Retry these workflows; return the page that watches them."""
    services.answers[RETRY] = (200, planned(*({"id": name, "version": 3, "outcome": "retried"} for name in names)))
    await browser.get(f"/change/workflow/retry?ids={'&ids='.join(names)}")
    page = await browser.post("/change/workflow/retry", ids=" ".join(names), reason="for a test")
    return await browser.post("/apply", plan=hidden(page, "plan"))


def looks(services: Services, name: str) -> int:
    """How often a workflow was read."""
    return sum(line == f"GET /admin/v1/workflows/{name}" for line, _, _ in services.calls)


def asked_again(page: str) -> str:
    """The address that the page asks by itself."""
    found = re.search(r'hx-get="(/watched/[0-9a-f]+)"', page)
    assert found is not None
    return found[1]


async def test_tabs_that_watch_the_same_share_one_look(browser: Browser, services: Services) -> None:
    state = {"7": "running", "8": "finished"}

    def workflow(name: str) -> Callable[[dict[str, str]], tuple[int, Any]]:
        return lambda _: (200, {"id": int(name), "state_name": state[name], "pending": 1})

    for name in state:
        services.answers[f"GET /admin/v1/workflows/{name}"] = workflow(name)
    await browser.sign_in("token-operator")
    page = await applied(browser, services, "7", "8")
    assert "Still moving:" in page
    address, before = asked_again(page), looks(services, "7")

    async def tab() -> str:
        async with browser.session.get(browser.url + address) as answer:
            return await answer.text()

    tabs = await asyncio.gather(*(tab() for _ in range(30)))
    assert all("1 running" in seen and "1 finished" in seen for seen in tabs)
    assert looks(services, "7") - before <= 2, "thirty tabs had a look each"
    assert looks(services, "8") == 1, "what has ended was read again"
    state["7"] = "crashed"

    async def told() -> bool:
        return "1 crashed" in await tab()

    await eventually(told, what="the end")
    assert "hx-" not in await tab(), "the page asks on after the end"


async def test_who_does_not_remember_asks_the_page_once_what_was_done(browser: Browser, services: Services) -> None:
    services.answers["GET /admin/v1/workflows/7"] = (200, {"id": 7, "state_name": "running", "pending": 1})
    await browser.sign_in("token-operator")
    page = await applied(browser, services, "7")
    address, done = asked_again(page), hidden(page, "done")
    async with browsing(browser.url) as other:  # nor does anybody see what another person watches
        await other.sign_in("token-operator-2")
        part = await other.get(address)
        assert "running" not in part
        assert 'hx-post="/watch" hx-include="#watching"' in part
        form = await other.get("/keys")
        assert form
        part = await other.post("/watch", done=done)
        assert asked_again(part) == address
        assert "1 running" in await other.get(address)


@pytest.mark.parametrize(("length", "state"), [(9_999, "ended"), (10_000, ON_ITS_WAY), (10_001, ON_ITS_WAY)])
async def test_what_may_stand_further_down_a_long_list_is_not_taken_for_gone(
    services: Services, length: int, state: str
) -> None:
    def page(query: dict[str, str]) -> tuple[int, object]:
        start, limit = int(query.get("cursor", "0")), int(query["limit"])
        end = min(start + limit, length)
        return 200, {"items": [{"id": 5}] * (end - start), "next_cursor": str(end) if end < length else None}

    services.answers[LISTED] = page
    silence = Effect(service="notifier", path="/admin/v1/silences", pages=True, match=("id", "thing"), gone="ended")
    async with aiohttp.ClientSession() as session:
        suite = Suite(session, {"notifier": services.url}, "token-operator")
        assert await silence.look(suite, {"thing": "7"}) == state
        assert await silence.look(suite, {"thing": "5"}) == ON_ITS_WAY
