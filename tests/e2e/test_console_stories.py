"""Stories of people at the console in chromium: an endangered order, two who press at once; and the pictures of it."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

from playwright.async_api import Browser, expect

from tests.e2e.browsers import PATIENCE_MS, change, rehearse, signed_in
from tests.e2e.operations import Operator
from tests.e2e.trouble import Trouble
from tests.support.suite_client import Client

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


async def test_an_endangered_order_is_mended_and_resubmitted(client: Client, chromium: Browser) -> None:
    endangered = await Trouble(client).resubmittable()
    async with signed_in(chromium, client, "operator", f"/e/{endangered}") as page:
        await change(page, "resubmit", "she still waits")
        await expect(page.locator("#watched")).to_contain_text("Seen: 1 resubmitted", timeout=PATIENCE_MS)
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
        await expect(first.locator("#watched")).to_contain_text("Seen: 1 stopped", timeout=PATIENCE_MS)
        await second.get_by_role("button", name="Do exactly this").click()
        await expect(second.locator("main")).to_contain_text(f"left alone: changed since the plan by {name}")
        await expect(second.locator("#watched")).to_contain_text("nothing was changed")
    audit = await Operator(client).audit(f"workflow:{workflow}")
    assert audit.count(("operator", "workflow.stop")) + audit.count(("admin", "workflow.stop")) == 1


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
        await expect(page.locator("#watched")).to_contain_text(
            re.compile(r"Seen:\s+\d+ acknowledged"), timeout=PATIENCE_MS
        )
    for incident in stormy:
        assert (await client.get("notifier", f"/admin/v1/incidents/{incident}"))["state"] == "acknowledged"


async def test_the_pictures_in_the_readme_are_of_these_screens(client: Client, chromium: Browser) -> None:
    trouble = Trouble(client)
    number, incident = await trouble.order(), await trouble.incident("critical")
    await trouble.crashed()
    screens = {"now": "/", "order": f"/o/{number}", "incident": f"/i/{incident}"}
    async with signed_in(chromium, client, "operator", viewport={"width": 1100, "height": 780}) as page:
        for name, address in screens.items():
            await page.goto(client.suite.url("console") + address)
            file = PICTURES / f"{name}.png"
            taken = await page.screenshot()
            if os.environ.get("TAKE_PICTURES"):
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(taken)
            assert size_of(file.read_bytes()) == size_of(taken)
    readme = (PICTURES.parents[1] / "README.md").read_text(encoding="utf-8")
    assert [name for name in screens if f"docs/pictures/{name}.png" not in readme] == []


def size_of(picture: bytes) -> tuple[int, int]:
    """Width and height of a PNG."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", picture[16:24])
    return width, height
