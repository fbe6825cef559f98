"""What pages do by their script: time that runs, news and effects without a reload, every key of the page of keys, copying."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, CDPSession, Locator, Page, expect

from tests.e2e.browsers import PATIENCE_MS, signed_in
from tests.e2e.trouble import GATEWAY, ORCHESTRATOR, Trouble
from tests.support.chromium import complaints
from tests.support.suite_client import POSITIONS, Client, hook

_CURRENT = "[...document.querySelectorAll('[data-row]')].findIndex(each => each.classList.contains('current'))"


async def test_a_countdown_ticks_in_hours_minutes_and_seconds(client: Client, chromium: Browser) -> None:
    external_id = await Trouble(client).countdown()
    running = (await client.get(GATEWAY, "/admin/v1/countdowns", limit=200))["items"]
    [mine] = [each for each in running if each["external_id"] == external_id]
    ends = datetime.fromisoformat(mine["cancels_at"])
    for address in ("/", "/intake"):
        async with signed_in(chromium, client, "operator", address) as page:
            await page.clock.install(time=ends - timedelta(hours=2))
            await page.reload()
            await mark(page)
            told = page.locator("[data-row]").filter(has_text=external_id).locator(".countdown")
            assert datetime.fromisoformat(str(await told.get_attribute("data-until"))) == ends
            await page.clock.pause_at(ends - timedelta(hours=1, minutes=1, seconds=1))
            assert 3659 <= await seconds(told, r"(\d):(\d\d):(\d\d)") <= 3661
            await page.clock.run_for(2_000)
            assert 3657 <= await seconds(told, r"(\d):(\d\d):(\d\d)") <= 3660
            await page.clock.run_for(60_000)
            assert 3597 <= await seconds(told, r"(?:(\d):)?(\d\d):(\d\d)") <= 3600
            await page.clock.run_for(3_540_000)
            assert 57 <= await seconds(told, r"(\d):(\d\d)") <= 60
            await page.clock.run_for(120_000)
            assert 60 <= await seconds(told, r"−(\d):(\d\d)") <= 63
            assert await marked(page), "the page was loaded anew"
    async with signed_in(chromium, client, "operator", f"/c/{mine['number']}") as page:
        await expect(page.locator("main")).to_contain_text(external_id)
        assert [*await complaints(page), *await complaints(page, dark_at_the_desk=True)] == []
        await page.goto(client.suite.url("console") + "/")
        assert [*await complaints(page), *await complaints(page, dark_at_the_desk=True)] == []
    whole = hook("created", external_id, at=datetime.now(UTC), positions=POSITIONS)
    assert (await client.hook(whole))[0] == 200  # the marketplace has its answer: nothing is counted down any more


async def seconds(told: Locator, form: str) -> int:
    """Read a time that is left, as it must be written."""
    text = await told.inner_text()
    found = re.fullmatch(form, text)
    assert found is not None, text
    left = 0
    for part in found.groups(default="0"):
        left = left * 60 + int(part)
    return left


async def mark(page: Page) -> None:
    """Leave something in a page that goes when it is loaded anew."""
    await page.evaluate("window.notLoadedAnew = true")


async def marked(page: Page) -> bool:
    """Tell whether it is there still."""
    return bool(await page.evaluate("window.notLoadedAnew === true"))


@pytest.mark.parametrize("address", ["/incidents?kind=problem.alert&state=open&severity=critical", "/"])
async def test_news_come_without_a_reload_and_move_nothing(client: Client, chromium: Browser, address: str) -> None:
    trouble = Trouble(client)
    before = await trouble.incident("critical")
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
    async with signed_in(chromium, client, "operator", address, **phone) as page:
        await mark(page)
        row = page.locator("[data-row]").filter(has=page.locator(f"a.open[href='/i/{before}']"))
        place, names = await row.bounding_box(), await page.locator("a.open").all_inner_texts()
        fresh = await trouble.incident("critical")
        await expect(page.locator("#news a.button")).to_have_text(re.compile(r"[1-9]\d* new ▸"))
        assert (await row.bounding_box(), await page.locator("a.open").all_inner_texts()) == (place, names)
        assert await marked(page), "the page was loaded anew"
        await page.locator("#news a.button").tap()
        await expect(page.locator(f"a.open[href='/i/{fresh}']")).to_be_visible()
        assert not await marked(page)


async def test_the_effect_of_a_change_is_seen_without_a_reload(client: Client, chromium: Browser) -> None:
    number = await Trouble(client).order()
    order = await client.get(ORCHESTRATOR, f"/orders/v1/orders/{number}", role="internal")
    slow = {"captured": 17000, "currency": "RUB", "polls": 4}
    await client.put("sandbox", f"/sandbox/trust/payments/{order['payment']['id']}", slow)
    async with signed_in(chromium, client, "operator", f"/change/order/refund?ids={number}") as page:
        await page.fill("[name='field.amount']", "85")
        await page.fill("#reason", "half of it was broken")
        await page.get_by_role("button", name="What would happen?").click()
        await page.get_by_role("button", name="Do exactly this").click()
        watched = page.locator("#watched")
        await expect(watched).to_contain_text("Still moving:")
        await mark(page)
        await expect(watched).to_contain_text("Seen: 1 success", timeout=PATIENCE_MS)
        await expect(watched.get_by_role("button", name="Look again")).to_have_count(0)
        assert await marked(page), "the page was loaded anew"
        await page.goto(client.suite.url("console") + f"/refunds?order={number}")
        await expect(page.locator("main")).to_contain_text("85.00")


async def test_every_key_of_the_page_of_keys_does_what_it_says(client: Client, chromium: Browser) -> None:
    trouble = Trouble(client)
    names = [await trouble.incident() for _ in range(2)]
    console, listed = client.suite.url("console"), "/incidents?kind=problem.alert&state=open"
    async with signed_in(chromium, client, "admin", "/keys") as page:
        told = set(await page.locator("main kbd").all_inner_texts())
        await page.goto(console + listed)
        for key, current in (("j", 0), ("j", 1), ("k", 0), ("k", 0), ("j", 1)):
            await page.keyboard.press(key)
            assert await page.evaluate(_CURRENT) == current
        second = page.locator("[data-row]").nth(1)
        await expect(second.locator("input[type=checkbox]")).to_be_focused()
        await page.keyboard.press("x")
        await expect(second.locator("input[type=checkbox]")).to_be_checked()
        await page.keyboard.press("x")
        await expect(second.locator("input[type=checkbox]")).not_to_be_checked()
        await page.keyboard.press(".")
        await expect(page.locator(".acts.bar button").first).to_be_focused()
        last = page.locator("[data-row]").filter(has=page.locator(f"a.open[href='/i/{names[0]}']"))
        await last.locator("a.open").focus()  # as Tab does
        await page.keyboard.press("x")
        await expect(last.locator("input[type=checkbox]")).to_be_checked()
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/i/{names[0]}")
        await page.keyboard.press("?")
        await page.wait_for_url("**/keys")
        for address, wanted in (("/tips", "a[href^='/change/flag/set']"), ("/change/silence/add", "button.primary")):
            await page.goto(console + address)
            await page.keyboard.press(".")
            await expect(page.locator(f"main {wanted}").first).to_be_focused()
        for chord in ("Control+k", "Meta+k", "/"):
            await page.goto(console + listed)
            await page.keyboard.press(chord)
            await page.wait_for_url("**/find")
            await expect(page.locator("#q")).to_be_focused()
        await page.keyboard.type("jkxe./?")
        assert await page.input_value("#q") == "jkxe./?"
        await page.locator("h1").click()
        await page.keyboard.press("Control+k")
        await expect(page.locator("#q")).to_be_focused()
    assert told == {"j", "k", "Enter", "x", "e", ".", "/", "Ctrl K", "?"}


@pytest.mark.parametrize(("down", "up", "act"), [("j", "k", "e"), ("о", "л", "у")])
async def test_a_row_of_now_is_acted_on_by_keys_of_either_keyboard(
    client: Client, chromium: Browser, down: str, up: str, act: str
) -> None:
    for _ in range(2):
        await Trouble(client).incident("critical")
    async with signed_in(chromium, client, "operator", "/") as page:
        keys = await page.context.new_cdp_session(page)
        for key, current in ((down, 0), (down, 1), (up, 0)):
            await press(keys, key)
            assert await page.evaluate(_CURRENT) == current
        acts = page.locator("[data-row] .acts a.button")
        row = await page.locator("[data-row]").evaluate_all(
            "rows => rows.findIndex(each => each.querySelector('.acts a.button'))"
        )
        for _ in range(row):
            await press(keys, down)
        await press(keys, act)
        await expect(acts.first).to_be_focused()
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/change/**")


async def test_the_signs_of_a_russian_keyboard_do_the_same(client: Client, chromium: Browser) -> None:
    console = client.suite.url("console")
    async with signed_in(chromium, client, "admin", "/tips") as page:
        keys = await page.context.new_cdp_session(page)
        await press(keys, "ю", "Period")
        await expect(page.locator("main a[href^='/change/flag/set']").first).to_be_focused()
        for sign, address in ((",", "**/keys"), (".", "**/find")):
            await page.goto(console + "/tips")
            await press(keys, sign, "Slash")
            await page.wait_for_url(address)


async def press(keys: CDPSession, letter: str, code: str = "") -> None:
    """Press a key that writes this letter, whatever keyboard it is on; ``code``: where it is there."""
    for kind in ("keyDown", "keyUp"):
        await keys.send("Input.dispatchKeyEvent", {"type": kind, "key": letter, "text": letter, "code": code})


async def test_a_page_is_copied_as_its_command(client: Client, chromium: Browser) -> None:
    number = await Trouble(client).new_order()
    addresses = {f"/o/{number}": f"ordersctl order show {number}", "/incidents?state=open": "--state=open"}
    allowed = ["clipboard-read", "clipboard-write"]
    async with signed_in(chromium, client, "operator", "/", permissions=allowed) as page:
        for address, command in addresses.items():
            await page.goto(client.suite.url("console") + address)
            shown = await copy(page)
            assert command in shown
            await expect(page.get_by_role("button", name="copied", exact=True)).to_be_visible()
            assert await page.evaluate("navigator.clipboard.readText()") == shown


async def test_what_a_browser_does_not_copy_is_marked_to_be_copied(client: Client, chromium: Browser) -> None:
    async with signed_in(chromium, client, "operator", "/duty", permissions=["geolocation"]) as page:
        shown = await copy(page)
        await page.wait_for_function("shown => String(getSelection()) === shown", arg=shown)
        await expect(page.get_by_role("button", name="Copy", exact=True)).to_be_visible()


async def copy(page: Page) -> str:
    """Press the button that copies; return the command beside it."""
    await page.get_by_text("The same with ordersctl").click()
    shown = await page.locator(".copied code").inner_text()
    await page.get_by_role("button", name="Copy", exact=True).click()
    return shown
