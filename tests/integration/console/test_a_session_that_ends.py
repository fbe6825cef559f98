"""A session that ends in a real browser, with a real OpenID provider: what was typed is there after signing in again."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Page, async_playwright, expect

from common.http import OPERATOR, Request, Route
from common.service import running
from console.web.app import build
from tests.integration.console.factories import opened, settings_of
from tests.support.chromium import DESK
from tests.support.chromium import complaints as what_stands_against
from tests.support.openid_provider.running import Provider

pytestmark = pytest.mark.asyncio(loop_scope="module")
TYPED = "the store's terminal is mended at noon"


async def log_in(page: Page, name: str) -> None:
    """Say who one is on the provider's page."""
    await page.fill("input[name=username]", name)
    await page.fill("input[name=password]", f"secret-of-{name}")
    await page.get_by_role("button", name="Log in").click()


async def test_what_was_typed_is_there_after_signing_in_again(provider: Provider, tmp_path: Path) -> None:
    asked: list[str] = []

    async def retry(request: Request[None, None]) -> web.StreamResponse:
        """Note who asks."""
        asked.append(request.principal.name)
        item = {"id": "7", "version": 3, "outcome": "retried", "notices": []}
        return web.json_response({"dry_run": True, "plan": "digest", "matched": 1, "more": False, "items": [item]})

    route = Route(
        method="POST", path="/admin/v1/workflows/retry", handler=retry, summary="Retry", roles=OPERATOR, response=None
    )
    async with AsyncExitStack() as stack:
        service = await opened(stack, provider, tmp_path, routes=[route])
        await stack.enter_async_context(running(build, settings_of(provider, service.url)))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        stack.push_async_callback(browser.close)
        context = await browser.new_context(locale="en")
        complaints: list[str] = []
        context.on("console", lambda said: complaints.append(said.text) if "Security Policy" in said.text else None)
        page, other = await context.new_page(), await context.new_page()

        await page.goto(f"{provider.console}/change/workflow/retry?ids=7")
        await page.get_by_role("link", name="Sign in with Our provider").click()
        await log_in(page, "anna")
        await expect(page.locator("header")).to_contain_text("anna · Operator", ignore_case=True)
        await page.fill("#reason", TYPED)

        await other.goto(f"{provider.console}/keys")
        await other.get_by_role("button", name="Sign out").click()
        await other.wait_for_url(f"{provider.issuer}/logout/**")
        await other.get_by_role("button", name="Logout").click()
        await other.wait_for_url(f"{provider.console}/sign-in")
        assert asked == []

        await page.locator("main form button.primary").click()
        await expect(page.locator("main")).to_contain_text("nothing was changed")
        await expect(page.locator("main")).to_contain_text(TYPED)
        async with context.expect_page() as opening:
            await page.get_by_role("link", name="Sign in with Our provider").click()
        tab = await opening.value
        await tab.wait_for_load_state()
        await log_in(tab, "olga")
        await tab.wait_for_url(f"{provider.console}/")
        await page.get_by_role("button", name="Sign in and go on").click()
        await page.get_by_role("button", name="Go on").click()
        await expect(page.locator("#reason")).to_have_value(TYPED)
        assert asked == [], "nothing is sent before one presses"
        await page.locator("main form button.primary").click()
        await expect(page.get_by_role("button", name="Do exactly this")).to_be_visible()
        await context.close()

        context = await browser.new_context(locale="ru", viewport=DESK)
        denied = await context.new_page()
        await denied.goto(f"{provider.console}/keys")
        assert await what_stands_against(denied) == [], "signing in with a provider's button"
        await denied.get_by_role("link", name="Our provider").click()
        await log_in(denied, "guest")
        await expect(denied.locator("main")).to_contain_text("ни у одной из ваших групп")
        assert await what_stands_against(denied, dark_at_the_desk=True) == [], (
            "whom the provider let in and the services do not"
        )
        await context.close()
    assert complaints == []
    assert asked == ["olga"], "the service knows her by the provider's own token"
