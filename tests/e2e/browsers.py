"""People at the console in Debian's chromium: how they sign in and make a change, and what axe says of what they see."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, expect

from tests.support.chromium import open_chromium as open_chromium
from tests.support.chromium import violations as violations
from tests.support.suite_client import Client

PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)


@asynccontextmanager
async def signed_in(
    chromium: Browser, client: Client, role: str, address: str = "/", **options: Any
) -> AsyncIterator[Page]:
    """Somebody at an address, signed in on the way. A script that fails, or that the policy of the page stops, fails the test."""
    options.setdefault("locale", "en")
    context = await chromium.new_context(**options)
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
    await page.goto(client.suite.url("console") + address)
    await sign_in(page, client.suite.token(role))
    await page.wait_for_url(lambda url: urlsplit(url).path == urlsplit(address).path)
    yield page
    await context.close()
    assert complaints == []


async def sign_in(page: Page, token: str) -> None:
    """Fill in the form of signing in."""
    await page.fill("#token", token)
    await page.click("button.primary")


async def rehearse(page: Page, verb: str, reason: str) -> None:
    """Begin a change from the page of a thing, and look at its plan."""
    await page.locator(".acts").get_by_role("link", name=verb, exact=True).first.click()
    await page.fill("#reason", reason)
    await page.click("main button.primary")


async def change(page: Page, verb: str, reason: str) -> None:
    """Go through a change from the page of a thing: fill in, look at the plan, do it."""
    await rehearse(page, verb, reason)
    await page.get_by_role("button", name="Do exactly this").click()
