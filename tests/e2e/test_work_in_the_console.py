"""What operators do in the console all day, on the running suite: an order moment by moment, its correction, duty, silence, messages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.browsers import change, open_chromium, signed_in, violations
from tests.e2e.operations import ORCHESTRATOR, Operator
from tests.support.servers import eventually
from tests.support.suite_client import Client


async def do(page: Page, reason: str) -> None:
    """Send the form that is filled in, look at its plan, do it."""
    await page.fill("#reason", reason)
    await page.get_by_role("button", name="What would happen?").click()
    await page.get_by_role("button", name="Do exactly this").click()


async def test_an_order_is_looked_at_moment_by_moment_and_corrected_in_parts(client: Client) -> None:
    number = await Operator(client).paid_order("screens")

    async def told() -> bool:
        page = await client.get("notifier", "/admin/v1/notifications", order=number, state="sent")
        return len(page["items"]) >= 2

    await eventually(told, what="messages about the order")
    async with open_chromium() as chromium, signed_in(chromium, client, "operator", f"/o/{number}") as page:
        await expect(page.locator("main")).to_contain_text("ordersctl order show " + number)
        await page.locator("#step").press("ArrowLeft")
        await page.wait_for_url(f"**/o/{number}?at=*")
        await expect(page.locator("main")).to_contain_text("As it was at")
        await expect(page.locator(".state").first).to_contain_text("created")
        await page.locator("#timeline").get_by_role("link", name="messages").click()
        await expect(page.locator("pre.said").first).to_contain_text("Новый заказ")
        assert await violations(page) == []
        await page.locator("#timeline").get_by_role("link", name="the message").first.click()
        await expect(page.locator("main")).to_contain_text("The same event today would go to")
        assert await violations(page) == []
        await page.get_by_role("link", name="To its order").click()
        await page.locator(".acts").get_by_role("link", name="correct", exact=True).click()
        await page.locator("[name='field.customer.phone']").fill("+7 999 000-33-44")
        await page.locator("[name='field.address.city']").fill("Тверь")
        await page.locator("[name='field.address.house']").fill("5")
        assert await violations(page) == []
        await do(page, "the customer called")
        await expect(page.locator("#watched")).to_contain_text("Seen: 1 paid")
        await page.goto(client.suite.url("console") + f"/change/order/refund?ids={number}")
        await page.locator("[name='field.positions.0.quantity']").fill("1")
        await do(page, "one was broken")
        await expect(page.locator("#watched")).to_contain_text("Seen: 1 success")

    async def corrected() -> dict[str, Any]:
        order = dict(await client.get(ORCHESTRATOR, f"/orders/v1/orders/{number}", role="internal"))
        assert order["customer"]["phone"] == "+79990003344"
        return order

    order = await eventually(corrected, what="the correction")
    assert order["address"]["parts"] == {"city": "Тверь", "house": "5"}
    refunds = await client.get(ORCHESTRATOR, f"/admin/v1/orders/{number}/refunds")
    assert [each["reason"] for each in refunds["items"]] == ["one was broken"]


@pytest.mark.usefixtures("oleg_is_on_duty")
async def test_duty_is_taken_over_and_given_back_and_an_alert_silenced(client: Client) -> None:
    alert = {
        "status": "firing",
        "labels": {"alertname": "SilencedAlert", "severity": "warning", "service": "tips"},
        "annotations": {"summary": "tips are slow"},
        "startsAt": datetime.now(UTC).isoformat(),
        "fingerprint": "silenced-e2e",
    }
    url = client.suite.url("notifier") + "/alerts/v1/alertmanager"
    _, taken = await client.post(url, {"version": "4", "status": "firing", "alerts": [alert]}, role="internal")
    [incident] = taken["incidents"]

    async def told() -> bool:
        page = await client.get("notifier", "/admin/v1/notifications", incident=incident)
        return bool(page["items"])

    await eventually(told, what="the alert's messages")
    async with open_chromium() as chromium, signed_in(chromium, client, "admin", "/duty") as page:
        await page.get_by_role("link", name="take over now").click()
        await do(page, "I take it")
        await page.goto(client.suite.url("console") + "/duty")
        assert await violations(page) == []
        undo = page.get_by_role("link", name="undo")
        before = await undo.count()
        assert before
        await undo.first.click()
        await do(page, "given back")
        await page.goto(client.suite.url("console") + "/duty")
        await expect(page.get_by_role("link", name="undo")).to_have_count(before - 1)

        await page.goto(client.suite.url("console") + "/incidents?by=service&service=tips")
        await expect(page.locator(".groups")).to_contain_text("tips")
        await page.get_by_text("Saved views").click()
        await page.get_by_label("Save what is shown as").fill("tips' own")
        await page.get_by_role("button", name="Save", exact=True).click()
        await expect(page.get_by_role("link", name="tips' own")).to_be_visible()
        assert await violations(page) == []
        await page.goto(client.suite.url("console") + f"/i/{incident}")
        await page.locator(".acts").get_by_role("link", name="silence problems").click()
        await page.fill("#reason", "we know of it")
        await page.get_by_role("button", name="What would happen?").click()
        await expect(page.locator("main")).to_contain_text("it would have muted")
        await page.get_by_role("button", name="Do exactly this").click()
        await page.goto(client.suite.url("console") + "/messages")
        await expect(page.locator("main")).to_contain_text("we know of it")
        await change(page, "end", "it is mended")
        await page.goto(client.suite.url("console") + "/messages/routes?kind=order.created")
        await expect(page.locator("main")).to_contain_text("Such an event would go to")
        assert await violations(page) == []
