"""People at the console in Debian's chromium: how they sign in and make a change, and what axe says of what they see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, async_playwright

from tests.support.suite_client import Client

PATIENCE_MS = 60_000
_AXE = (Path(__file__).parents[1] / "fixtures" / "axe" / "axe-4.14.1.min.js").read_text(encoding="utf-8")


@asynccontextmanager
async def open_chromium() -> AsyncIterator[Browser]:
    """Debian's own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        await browser.close()


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


async def violations(page: Page, *rules: str) -> list[str]:
    """What axe has to say against a page as it is now; of all its rules, or of these."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_AXE + ";null")
    only: dict[str, Any] = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    found = await page.evaluate("options => axe.run(options)", {**only, "resultTypes": ["violations"]})
    return [f"{each['id']}: {_nodes(each['nodes'])}" for each in found["violations"]]


def _nodes(nodes: Sequence[Any]) -> list[str]:
    return [node["html"][:200] for node in nodes[:3]]
