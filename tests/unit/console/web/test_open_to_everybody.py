"""Pages that only come up on the way: signing in, plans, their effects, errors, kept forms. For everybody, in both languages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from playwright.async_api import Page

from tests.support.chromium import DESK, complaints, open_chromium
from tests.support.console_plans import RETRY, planned
from tests.support.console_words import english
from tests.unit.console.web.factories import EVIL, Services

PRESS = "main button.primary"
CHANGED = "GET /admin/v1/audit"
MANY = [
    {"id": "7", "version": 3, "outcome": "retried", "notices": ["orders.order.cancelled.v1"]},
    {"id": "8", "version": 1, "outcome": "refused", "code": "illegal_transition", "detail": "он уже завершён"},
    {"id": "9", "version": 1, "outcome": "retried"},
]
SINCE = {"id": "9", "version": 2, "outcome": "changed_since", "code": "changed_since", "detail": "его уже меняли"}
ORDER = {"number": "A1", "version": 3, "totals": {"currency": "RUB"}}
BARRED = (
    "/o/EVIL",
    "/i/EVIL",
    "/w/EVIL",
    "/d/EVIL",
    "/e/EVIL",
    "/duty",
    "/workflows",
    "/more",
    "/proof",
    "/change/order/correct",
)
"""Pages on which a viewer sees acts of every form: links, buttons of a list, forms."""


@pytest.fixture
def answering(services: Services) -> Services:
    """Services that carry a change out, all of it or a part, or refuse it."""
    services.answers[RETRY] = lambda body: (
        200,
        planned(*(MANY if body["dry_run"] else [*MANY[:2], SINCE]), matched=5, more=True),
    )
    services.answers["GET /admin/v1/workflows/7"] = (200, {"id": 7, "state_name": "crashed", "pending": 1})
    services.answers[CHANGED] = (200, {"items": [], "next_cursor": None})
    services.answers["GET /orders/v1/orders/A1"] = (200, ORDER)
    stale = {"code": "changed_since", "detail": "заказ уже другой"}
    services.answers["POST /admin/v1/orders/A1/refund"] = (409, stale)
    services.answers["GET /admin/v1/workflows"] = (403, {"code": "forbidden", "detail": "нельзя"})
    services.answers["GET /admin/v1/orders"] = (503, {"code": "unavailable", "detail": "база не отвечает"})
    return services


async def on_the_way(page: Page, url: str) -> AsyncIterator[str]:
    """Go from one such page to the next; say what it is."""
    await page.goto(f"{url}/change/workflow/retry?all=1&filter.state=crashed")
    yield "signing in"
    await sign_in(page, "of-nobody-at-all")
    yield "a token that nobody knows"
    await sign_in(page, "token-admin")
    yield "the form for all that match"
    await press(page, "причина устранена")
    yield "a plan of several"
    await page.click(PRESS)
    yield "what was done, with one left alone"
    await page.goto(f"{url}/change/order/refund?ids=A1")
    await page.fill("[name='field.amount']", "десять")
    await press(page, "испорчено")
    yield "what was filled in makes no sense"
    await page.fill("[name='field.amount']", "10")
    await page.click(PRESS)
    yield "409: refused by the service"
    await page.evaluate("document.querySelector('#reason').value = 'x'.repeat(5 * 1024 * 1024)")
    await page.click(PRESS)
    yield "413: more than one page can send"
    for address, what in (("/nowhere", "404"), ("/workflows", "403"), ("/orders", "502: a service is away")):
        await page.goto(url + address)
        yield what
    await page.goto(f"{url}/change/workflow/retry?ids=7")
    await page.context.clear_cookies(name="session")
    await press(page, "причина устранена")
    yield "a kept form"
    await sign_in(page, "token-operator")
    yield "the form as it was filled in"
    await page.click(PRESS)
    await page.context.clear_cookies(name="session")
    await page.click(PRESS)
    yield "a kept plan"
    await sign_in(page, "token-operator")
    yield "the plan as it was"
    await page.goto(f"{url}/find")
    await page.fill("#q", "слово")
    await page.context.clear_cookies(name="session")
    await page.click(PRESS)
    await sign_in(page, "token-operator")
    yield "another form that was kept"


async def sign_in(page: Page, token: str) -> None:
    """Fill in the form of signing in."""
    await page.fill("#token", token)
    await page.click(PRESS)


async def press(page: Page, reason: str) -> None:
    """Say why, and go on."""
    await page.fill("#reason", reason)
    await page.click(PRESS)


@pytest.mark.parametrize("language", ["ru", "en"])
async def test_pages_on_the_way_are_open_to_everybody_in_their_language(
    url: str, answering: Services, language: Literal["ru", "en"]
) -> None:
    found: list[str] = []
    seen = 0
    async with open_chromium() as chromium:
        context = await chromium.new_context(locale=language, color_scheme="light", viewport=DESK)
        page = await context.new_page()
        page.on("console", lambda said: found.append(said.text) if "Content Security Policy" in said.text else None)
        async for what in on_the_way(page, url):
            seen += 1
            assert await page.locator("html").get_attribute("lang") == language, what
            found += [f"{what}: {said}" for said in await complaints(page, dark_at_the_desk=language == "en")]
            if language == "ru":
                left = english(await page.content(), but="")
                found += [f"{what}: English: {left}"] if left else []
    assert found == []
    assert seen == 16


async def test_a_viewers_pages_are_open_to_everybody(url: str, hostile: Services) -> None:
    found: list[str] = []
    async with open_chromium() as chromium:
        context = await chromium.new_context(locale="ru", color_scheme="light", viewport=DESK)
        page = await context.new_page()
        await page.goto(f"{url}/sign-in")
        await sign_in(page, "token-viewer")
        for address in BARRED:
            await page.goto(url + address)
            assert await page.locator("[data-act]").count(), address
            found += [f"{address}: {said}" for said in await complaints(page)]
            left: set[Any] = english(await (await page.request.get(url + address)).text(), but=EVIL) - {"EVIL"}
            found += [f"{address}: English: {left}"] if left else []
    assert found == []
