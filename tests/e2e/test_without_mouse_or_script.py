"""The console by keys alone, and without script: whole changes, from finding a thing to the proof."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.browsers import rehearse, signed_in
from tests.e2e.operations import Operator
from tests.e2e.trouble import CUSTOMER, Trouble
from tests.support.servers import eventually
from tests.support.suite_client import POSITIONS, TOTAL, Client, hook

_MOST_TABS = 60


async def test_a_change_is_completed_by_keys_alone(client: Client, chromium: Browser) -> None:
    customer = {**CUSTOMER, "phone": f"+7916{secrets.randbelow(10**7):07}"}
    more = {"payment": {"method": "card"}, "positions": POSITIONS, "total": TOTAL, "customer": customer}
    for _ in range(2):
        created = hook("created", f"keys-{secrets.token_hex(4)}", at=datetime.now(UTC), **more)
        assert (await client.hook(created))[0] == 200

    async def both() -> bool:
        return len((await client.get("orchestrator", "/admin/v1/orders", phone=customer["phone"]))["items"]) == 2

    await eventually(both, what="two orders of one customer")
    async with signed_in(chromium, client, "operator", "/workflows") as page:
        keys = page.keyboard
        await to_row(page, "input[type=checkbox]")  # groups stand before the list
        await keys.press("x")
        await expect(page.locator("[data-row].current input[type=checkbox]")).to_be_checked()
        await keys.press("Enter")
        await page.wait_for_url("**/w/*")
        await keys.press("/")
        await page.wait_for_url("**/find")
        await expect(page.get_by_role("searchbox")).to_be_focused()  # what is typed before goes nowhere
        await keys.type(str(customer["phone"]))
        await keys.press("Enter")
        number = (await to_row(page, "a.open[href^='/o/']")).rpartition("/")[2]
        await keys.press("Enter")
        await page.wait_for_url(f"**/o/{number}")
        await keys.press(".")
        await tab_to(page, "a[href^='/change/order/correct']")
        await keys.press("Enter")
        await page.wait_for_url("**/change/order/correct?ids=*")
        await from_the_top(page)
        await tab_to(page, "[name='field.comment']")
        await keys.type("ring twice")
        await tab_to(page, "#reason")
        await keys.type("she asked for it")
        await tab_to(page, "main button.primary")
        await keys.press("Enter")
        await expect(page.get_by_role("button", name="Do exactly this")).to_be_visible()
        await from_the_top(page)
        await tab_to(page, "main button.primary")
        await keys.press("Enter")
        await expect(page.locator("#watched")).to_contain_text("Seen: 1 created")
    order = await client.get("orchestrator", f"/orders/v1/orders/{number}", role="internal")
    assert order["comment"] == "ring twice"


async def to_row(page: Page, wanted: str) -> str:
    """Press ``j`` until a row with this is current; return where it leads."""
    await expect(page.locator(f"[data-row] {wanted}").first).to_be_visible()
    current = page.locator("[data-row].current")
    for _ in range(_MOST_TABS):
        await page.keyboard.press("j")
        if await current.locator(wanted).count():
            return str(await current.locator("a.open").get_attribute("href"))
    raise AssertionError(f"no row with {wanted}")


async def from_the_top(page: Page) -> None:
    """Skip what every page begins with, as its first link offers."""
    await tab_to(page, "a.skip")
    await page.keyboard.press("Enter")


async def tab_to(page: Page, wanted: str) -> None:
    """Press Tab until something is reached."""
    for _ in range(_MOST_TABS):
        if await page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"{wanted} is not reached")


@pytest.mark.usefixtures("oleg_is_on_duty")
async def test_every_kind_of_change_is_completed_without_script(client: Client, chromium: Browser) -> None:
    trouble = Trouble(client)
    number, endangered = await trouble.order(), await trouble.endangered()
    incidents = [await trouble.incident() for _ in range(2)]
    console = client.suite.url("console")
    async with signed_in(chromium, client, "admin", "/duty", java_script_enabled=False) as page:
        await page.get_by_role("link", name="take over now").click()
        await done(page, "in the roster")
        mine = max(each["id"] for each in (await client.get("notifier", "/admin/v1/roster"))["overrides"])
        await page.goto(console + "/duty")
        await page.locator(f"a[href='/change/duty/undo?ids={mine}']").click()
        await done(page, "taken back")

        await page.goto(console + "/incidents?kind=problem.alert&state=open")
        for incident in incidents:
            await page.check(f"input[name=ids][value='{incident}']")
        await page.locator(".acts.bar").get_by_role("button", name="ack", exact=True).click()
        await done(page, "acknowledged", of=2)
        await page.goto(console + f"/i/{incidents[0]}")
        await page.locator(".acts").get_by_role("link", name="silence problems").click()
        await done(page, "silenced")

        await page.goto(console + f"/e/{endangered}")
        await page.fill("#mended", json.dumps(trouble.basket()))
        await page.fill("#why-mended", "a list instead of a word")
        await page.get_by_role("button", name="What would happen?").click()
        await page.get_by_role("button", name="Do exactly this").click()
        await seen(page, "Seen: 1 mended")

        await page.goto(console + "/change/flag/set?ids=tips_service_shadow")
        await page.select_option("[name='field.enabled']", "true")
        await page.fill("[name='field.share']", "5000")
        await done(page, "switched on")

        await page.goto(console + f"/change/order/refund?ids={number}")
        await page.fill("[name='field.amount']", "85")
        await done(page, "success")

        life = await Operator(client).workflow(number, "order_life", "running")
        for verb, state in (("stop", "stopped"), ("resume", "waiting")):
            await page.goto(console + f"/w/{life['id']}")
            await rehearse(page, verb, "without script")
            await page.get_by_role("button", name="Do exactly this").click()
            await seen(page, f"Seen: 1 {state}")
    refunds = await client.get("refunds", "/admin/v1/refunds", order=number)
    assert [(each["amount"], each["state_name"]) for each in refunds["items"]] == [(8500, "SUCCESS")]


async def done(page: Page, state: str, *, of: int = 1) -> None:
    """Say why on a form that is filled in, look at the plan, do it, and look again until it is seen."""
    await page.fill("#reason", "without script")
    await page.get_by_role("button", name="What would happen?").click()
    await page.get_by_role("button", name="Do exactly this").click()
    await seen(page, f"Seen: {of} {state}")


async def seen(page: Page, words: str) -> None:
    """Press the button that looks again, as long as there is one."""

    async def there() -> bool:
        said = " ".join((await page.locator("#watched").inner_text()).split())
        again = page.get_by_role("button", name="Look again")
        if words not in said and await again.count():
            await again.click()
        return words in said

    await eventually(there, what=words)
