"""Stories of people at the console in chromium: an endangered order, two who press at once; and the pictures of it."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path

from playwright.async_api import Browser, Error, expect

from console.web.now.gather import DANGERS
from tests.e2e.browsers import change, rehearse, sign_in, signed_in
from tests.e2e.operations import Operator
from tests.e2e.trouble import Trouble
from tests.support.pictures import headings, text_of, with_text
from tests.support.suite_client import Client
from tests.support.terminal import Terminal

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


async def test_an_endangered_order_is_mended_and_resubmitted(client: Client, chromium: Browser) -> None:
    endangered = await Trouble(client).resubmittable()
    async with signed_in(chromium, client, "operator", f"/e/{endangered}") as page:
        await change(page, "resubmit", "she still waits")
        await expect(page.locator("#watched")).to_contain_text("Seen: 1 resubmitted")
        await page.goto(client.suite.url("console") + f"/e/{endangered}")
        number = (await client.get("webhook-gateway", f"/admin/v1/endangered-orders/{endangered}"))["number"]
        await page.locator(f"a[href='/o/{number}']").first.click()
        await expect(page.locator("h1")).to_contain_text(number)


async def test_of_two_who_press_at_once_the_second_is_told_who_was_first(client: Client, chromium: Browser) -> None:
    workflow = await Trouble(client).running()
    name = (await client.get("orchestrator", "/admin/v1/whoami", role="operator"))["name"]
    async with (
        signed_in(chromium, client, "operator", f"/w/{workflow}") as first,
        signed_in(chromium, client, "admin", f"/w/{workflow}") as second,
    ):
        await rehearse(first, "stop", "I look at it")
        await rehearse(second, "stop", "so do I")
        await first.get_by_role("button", name="Do exactly this").click()
        await expect(first.locator("#watched")).to_contain_text("Seen: 1 stopped")
        await second.get_by_role("button", name="Do exactly this").click()
        await expect(second.locator("main")).to_contain_text(f"left alone: changed since the plan by {name}")
        await expect(second.locator("#watched")).to_contain_text("nothing was changed")
    audit = await Operator(client).audit(f"workflow:{workflow}")
    assert audit.count(("operator", "workflow.stop")) + audit.count(("admin", "workflow.stop")) == 1


async def test_a_plan_outlives_its_session_and_neither_back_nor_reload_does_it_twice(
    client: Client, chromium: Browser, terminal: Terminal, tmp_path: Path
) -> None:
    workflow = await Trouble(client).running()
    name = (await client.get("orchestrator", "/admin/v1/whoami", role="operator"))["name"]
    other = (await client.get("orchestrator", "/admin/v1/whoami", role="admin"))["name"]
    as_json = ("-p", "local-admin", "-o", "json")
    hers = await terminal("workflow", "stop", workflow, "-r", "at a terminal", "--dry-run", *as_json)
    kept = tmp_path / "plan.json"
    kept.write_text(json.dumps(hers.json), encoding="utf-8")
    async with signed_in(chromium, client, "operator", f"/w/{workflow}") as page:
        await rehearse(page, "stop", "I look at it")
        await expect(page.get_by_role("button", name="Do exactly this")).to_be_visible()
        await page.context.clear_cookies()
        await page.get_by_role("button", name="Do exactly this").click()
        await expect(page.locator("main")).to_contain_text("nothing was changed")
        await sign_in(page, client.suite.token("operator"))
        await expect(page.locator("main")).to_contain_text("I look at it")
        await page.get_by_role("button", name="Do exactly this").click()
        await expect(page.locator("#watched")).to_contain_text("Seen: 1 stopped")
        await page.reload()
        await expect(page.locator("main")).to_contain_text("nothing happened twice")
        with suppress(Error):  # a page that is not kept may have to be asked for again, which is for the browser to say
            await page.go_back()
        if await page.get_by_role("button", name="Do exactly this").count():
            await page.get_by_role("button", name="Do exactly this").click()
            await expect(page.locator("main")).to_contain_text("nothing happened twice")
    late = await terminal("apply", str(kept), "--yes", *as_json)
    [item] = late.json["items"]
    assert (late.code, item["outcome"], item["changed_by"]) == (1, "changed_since", name)
    again = await terminal("workflow", "resume", workflow, "-r", "at a terminal", "--dry-run", *as_json)
    async with signed_in(chromium, client, "operator", f"/w/{workflow}") as page:
        await rehearse(page, "resume", "it was looked at")
        kept.write_text(json.dumps(again.json), encoding="utf-8")
        assert (await terminal("apply", str(kept), "--yes", *as_json)).code == 0
        await page.get_by_role("button", name="Do exactly this").click()
        await expect(page.locator("main")).to_contain_text(f"left alone: changed since the plan by {other}")
    audit = await Operator(client).audit(f"workflow:{workflow}")
    assert sorted(act for _, act in audit) == ["workflow.resume", "workflow.stop"]


async def test_a_storm_is_taken_in_three_presses_on_a_phone(client: Client, chromium: Browser) -> None:
    trouble = Trouble(client)
    stormy = [await trouble.incident("critical") for _ in range(12)]
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
    async with signed_in(chromium, client, "operator", "/incidents?state=open&kind=problem.alert", **phone) as page:
        await page.get_by_role(
            "button", name=re.compile(r"^(ack|acknowledge|mine).*all that match", re.IGNORECASE)
        ).tap()
        await page.fill("#reason", "one cause, I look at it")
        await page.get_by_role("button", name="What would happen?").tap()
        await page.get_by_role("button", name="Do exactly this").tap()
        await expect(page.locator("#watched")).to_contain_text(re.compile(r"Seen:\s+\d+ acknowledged"))
    for incident in stormy:
        assert (await client.get("notifier", f"/admin/v1/incidents/{incident}"))["state"] == "acknowledged"


async def test_the_pictures_in_the_readme_show_what_the_screens_show(client: Client, chromium: Browser) -> None:
    trouble = Trouble(client)
    number, incident = await trouble.order(), await trouble.incident("critical")
    await trouble.crashed()
    screens = {"now": "/", "order": f"/o/{number}", "incident": f"/i/{incident}"}
    sometimes = {danger.title for danger in DANGERS}
    otherwise: dict[str, set[str]] = {}
    async with signed_in(chromium, client, "operator", viewport={"width": 1100, "height": 780}) as page:
        for name, address in screens.items():
            await page.goto(client.suite.url("console") + address)
            file, in_sight = PICTURES / f"{name}.png", await headings(page, in_sight=True)
            if os.environ.get("TAKE_PICTURES"):
                file.write_bytes(with_text(await page.screenshot(), in_sight))
            pictured = text_of(file.read_bytes())
            now = await headings(page, in_sight=False)
            # On Now the rest moves up as troubles go: there all counts that stands before the last that the picture shows.
            shown = in_sight if name != "now" else _until_the_last(now, pictured)
            otherwise[name] = (pictured - set(now)) | (set(shown) - pictured)
    assert {name: _without(said, sometimes) for name, said in otherwise.items()} == {name: set() for name in screens}, (
        "take them anew: see CONTRIBUTING.md"
    )
    readme = (PICTURES.parents[1] / "README.md").read_text(encoding="utf-8")
    assert [name for name in screens if f"docs/pictures/{name}.png" not in readme] == []


def _until_the_last(said: list[str], pictured: set[str]) -> list[str]:
    """The headings of a page down to the last one that is in the picture."""
    last = max((place for place, each in enumerate(said) if each in pictured), default=-1)
    return said[: last + 1]


def _without(said: set[str], sometimes: set[str]) -> set[str]:
    """What stays of headings when those are left out that come and go with what is wrong just now."""
    return {each for each in said if not any(each.startswith(title) for title in sometimes)}
