"""Debian's chromium, and what axe and a thumb have to say of a page in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

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
_THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_TWO_OF_A_KIND = r"""() => {
  const own = /^(href|action|id|value|title|for|datetime|data-.*|aria-(label|describedby|controls))$/;
  const attributes = each => [...each.attributes].map(({name, value}) => own.test(name) ? name : name + value);
  const inner = one => one.tagName ? shape(one) : one.data.trim() && "…";
  const shape = each => [each.tagName, ...attributes(each), ...[...each.childNodes].map(inner)].join("|");
  const seen = {};
  for (const each of document.querySelectorAll("tbody > tr, ul > li, ol > li")) {
    const kind = shape(each);
    if ((seen[kind] = (seen[kind] || 0) + 1) > 2) each.remove();
  }
}"""
"""Two, because what may be there once only is seen when it is there twice."""


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


async def complaints(page: Page, *, dark_at_the_desk: bool = False, once: bool = False) -> list[str]:
    """What stands against a page at the desk in one theme, and on the phone in the other: with both ways round every pair is looked at.

    At the desk the rules that go neither by colours nor by sizes are asked anew only where other elements are shown than on the phone.
    The page is left in light at the desk; ``once``: without what is there more than twice, as the rows of a long list are.
    """
    await page.wait_for_load_state()  # without its style sheet everything is small
    desk, phone = _THEMES[::-1] if dark_at_the_desk else _THEMES
    await page.set_viewport_size(PHONE)
    await page.emulate_media(color_scheme=phone)
    found = [f"phone: {said}" for said in await page.evaluate(_TOO_WIDE_OR_SMALL)]
    if once:
        await page.evaluate(_TWO_OF_A_KIND)
    shown = await page.evaluate(_SHOWN)
    found += [f"phone, {phone}: {said}" for said in await violations(page)]
    await page.set_viewport_size(DESK)
    await page.emulate_media(color_scheme=desk)
    again = () if await page.evaluate(_SHOWN) != shown else _BY_WIDTH
    found += [f"desk, {desk}: {said}" for said in await violations(page, *again)]
    await page.emulate_media(color_scheme="light")
    return found


def _nodes(nodes: Sequence[Any]) -> list[str]:
    return [node["html"][:200] for node in nodes[:3]]
