"""The console in a real browser: from a link in the chat to what is seen to have happened; every screen on phone and desk."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from common.testing import eventually
from tests.e2e.operations import Operator
from tests.support.suite_client import Client

AXE = (Path(__file__).parents[1] / "fixtures" / "axe" / "axe-4.14.1.min.js").read_text(encoding="utf-8")
SCREENS = (
    *("/", "/find", "/orders", "/incidents", "/workflows?state=crashed", "/intake", "/endangered", "/refunds"),
    *(
        "/duty",
        "/tips",
        "/proof",
        "/messages",
        "/list/audit",
        "/more",
        "/keys",
        "/runbook/notifier-down",
        "/change/silence/add",
    ),
)
PATIENCE_MS = 60_000


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
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
    await page.fill("#token", client.suite.token(role))
    await page.click("button.primary")
    await page.wait_for_url(f"**{address}")
    yield page
    await context.close()
    assert complaints == []


async def change(page: Page, verb: str, reason: str) -> None:
    """Go through a change from the page of a thing: fill in, look at the plan, do it."""
    await page.locator(".acts").get_by_role("link", name=verb, exact=True).first.click()
    await page.fill("#reason", reason)
    await page.click("main button.primary")
    await page.get_by_role("button", name="Do exactly this").click()


async def test_a_crashed_workflow_is_followed_from_the_chat_to_the_proof(client: Client, chromium: Browser) -> None:
    operator = Operator(client)
    number = await operator.paid_order("console")
    await operator.unreadable_change(number)
    crashed = await operator.workflow(number, "order_life", "crashed")

    async def link() -> str | None:
        log = str(await client.chat_log("slack"))
        found = re.findall(rf"{re.escape(client.suite.url('console'))}(/w/{crashed['id']})\b", log)
        return found[0] if found else None

    address = await eventually(link, within=60, what="the link in the chat")
    assert address is not None
    async with signed_in(chromium, client, "operator", address) as page:
        await expect(page.locator("main")).to_contain_text("crashed")
        await change(page, "retry", "looked at it in the console")
        await expect(page.locator("#watched")).to_contain_text("Seen: 1 crashed", timeout=PATIENCE_MS)
        await page.goto(client.suite.url("console") + f"/o/{number}")
        await expect(page.locator("#timeline")).to_contain_text("hook.received")
        complaints = await violations(page)
    assert complaints == []
    assert ("operator", "workflow.retry") in await operator.audit(f"workflow:{crashed['id']}")


async def test_an_alert_is_announced_and_taken_in_a_few_presses_on_a_phone(client: Client, chromium: Browser) -> None:
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
    async with signed_in(chromium, client, "operator", "/incidents?severity=critical", **phone) as page:
        alert = {
            "status": "firing",
            "labels": {"alertname": "ConsoleAlert", "severity": "critical", "service": "tips"},
            "annotations": {"summary": "<b>tips</b> do not answer", "runbook_url": "docs/runbooks/tips-down.md"},
            "startsAt": datetime.now(UTC).isoformat(),
            "fingerprint": "console-e2e",
        }
        url = client.suite.url("notifier") + "/alerts/v1/alertmanager"
        status, taken = await client.post(url, {"version": "4", "status": "firing", "alerts": [alert]}, role="internal")
        assert status == 200, taken
        await page.locator("#news a.button").click()
        [incident] = taken["incidents"]
        await page.locator(f"a.open[href='/i/{incident}']").click()
        await expect(page.locator(".lead")).to_contain_text("<b>tips</b> do not answer")
        await expect(page.locator("article.runbook h1")).to_be_visible()
        assert await violations(page) == []
        await change(page, "ack", "mine")
        await expect(page.locator("#watched")).to_contain_text("Seen: 1 acknowledged", timeout=PATIENCE_MS)
    now = await client.get("notifier", f"/admin/v1/incidents/{incident}")
    who = await client.get("notifier", "/admin/v1/whoami", role="operator")
    assert (now["state"], now["acknowledged_by"]) == ("acknowledged", who["name"])


@pytest.mark.parametrize(("language", "theme", "width"), [("ru", "dark", 360), ("en", "light", 1200)])
async def test_every_screen_is_open_to_everybody(
    client: Client, chromium: Browser, language: str, theme: Any, width: int
) -> None:
    options = {"locale": language, "color_scheme": theme, "viewport": {"width": width, "height": 800}}
    async with signed_in(chromium, client, "viewer", **options) as page:
        for address in SCREENS:
            await page.goto(client.suite.url("console") + address)
            assert await page.locator("html").get_attribute("lang") == language
            assert await violations(page) == [], address
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
            small = await page.evaluate(
                "[...document.querySelectorAll('button, .button, nav a')].filter(e => e.checkVisibility() && "
                "e.getBoundingClientRect().height < 44).map(e => e.outerHTML)"
            )
            assert small == [], address


async def test_without_script_a_workflow_is_stopped_and_resumed(client: Client, chromium: Browser) -> None:
    number = await Operator(client).paid_order("no-script")
    life = await Operator(client).workflow(number, "order_life", "running")
    async with signed_in(chromium, client, "operator", f"/w/{life['id']}", java_script_enabled=False) as page:
        await change(page, "stop", "without script")
        await expect(page.locator("#watched")).to_contain_text("Seen: 1 stopped")
        await page.goto(client.suite.url("console") + f"/w/{life['id']}")
        await change(page, "resume", "without script")
        await expect(page.locator("main")).to_contain_text("resumed")
    await Operator(client).workflow(number, "order_life", "running")


async def test_keys_alone_lead_from_find_to_an_order_and_its_acts(client: Client, chromium: Browser) -> None:
    number = await Operator(client).paid_order("keys")
    async with signed_in(chromium, client, "operator", "/workflows") as page:
        await page.keyboard.press("j")
        await page.keyboard.press("x")
        await expect(page.locator("[data-row].current input[type=checkbox]")).to_be_checked()
        await page.keyboard.press("/")
        await page.wait_for_url("**/find")
        await page.keyboard.type(number)
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/o/{number}")
        await page.keyboard.press(".")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/change/order/recalculate?ids=*")


async def violations(page: Page) -> list[str]:
    """What a checker of accessibility has to say against a page."""
    await page.evaluate(AXE + ";null")
    found = await page.evaluate("axe.run()")
    assert found["passes"]
    return [f"{each['id']}: {[node['html'][:200] for node in each['nodes'][:3]]}" for each in found["violations"]]
