"""Debian's chromium, and what axe and a thumb have to say of a page in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, ViewportSize, async_playwright

DESK: ViewportSize = {"width": 1200, "height": 800}
PHONE: ViewportSize = {"width": 360, "height": 740}
_AXE = (Path(__file__).parents[1] / "fixtures" / "axe" / "axe-4.14.1.min.js").read_text(encoding="utf-8")
_BY_THEME = ("color-contrast", "link-in-text-block")
_BY_WIDTH = (*_BY_THEME, "target-size", "scrollable-region-focusable")
"""Rules that go by colours and sizes. All others go by the elements and by which of them are shown."""
_SHOWN = "[...document.querySelectorAll('*')].map(each => +each.checkVisibility()).join('')"
_TOO_WIDE_OR_SMALL = """() => [
  ...(document.documentElement.scrollWidth > innerWidth ? ["wider than the screen"] : []),
  ...[...document.querySelectorAll("button, .button, nav a, summary, select")]
    .filter(each => each.checkVisibility() && each.getBoundingClientRect().height < 44)
    .map(each => "lower than 44 px: " + each.outerHTML.slice(0, 200)),
]"""
"""Every press fits under a thumb, in one column."""


@asynccontextmanager
async def open_chromium() -> AsyncIterator[Browser]:
    """Debian's own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        await browser.close()


async def violations(page: Page, *rules: str) -> list[str]:
    """What axe has to say against a page as it is now; of all its rules, or of these."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_AXE + ";null")
    only: dict[str, Any] = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    found = await page.evaluate("options => axe.run(options)", {**only, "resultTypes": ["violations"]})
    return [f"{each['id']}: {_nodes(each['nodes'])}" for each in found["violations"]]


async def complaints(page: Page, *, colours: bool) -> list[str]:
    """What stands against a page in light at the desk and in dark on the phone; of ``colours`` also the other way round.

    On the phone the rules that go neither by colours nor by sizes are asked anew only where other elements are shown than at the desk.
    The page is left in light at the desk.
    """
    found = await violations(page)
    shown = await page.evaluate(_SHOWN)
    await page.emulate_media(color_scheme="dark")
    if colours:
        found += [f"dark: {said}" for said in await violations(page, *_BY_THEME)]
    await page.set_viewport_size(PHONE)
    again = () if await page.evaluate(_SHOWN) != shown else _BY_WIDTH
    found += [f"phone, dark: {said}" for said in await violations(page, *again)]
    found += [f"phone: {said}" for said in await page.evaluate(_TOO_WIDE_OR_SMALL)]
    await page.emulate_media(color_scheme="light")
    if colours:
        found += [f"phone, light: {said}" for said in await violations(page, *_BY_THEME)]
    await page.set_viewport_size(DESK)
    return found


def _nodes(nodes: Sequence[Any]) -> list[str]:
    return [node["html"][:200] for node in nodes[:3]]
