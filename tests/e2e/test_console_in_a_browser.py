"""The console in a real browser: from a link in the chat to what is seen to have happened; every screen on phone and desk."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from datetime import UTC, datetime

from playwright.async_api import Browser, Route, expect

from tests.e2e.browsers import PATIENCE_MS, change, signed_in, violations
from tests.e2e.operations import Operator
from tests.e2e.trouble import Trouble
from tests.support.servers import eventually
from tests.support.suite_client import POSITIONS, Client, hook


async def test_a_crashed_workflow_is_followed_from_the_chat_to_the_proof(client: Client, chromium: Browser) -> None:
    operator = Operator(client)
    number = await Trouble(client).new_order()
    order = await operator.unreadable_change(number)
    crashed = await operator.workflow(number, "order_life", "crashed")

    async def link() -> str | None:
        log = str(await client.chat_log("slack"))
        found = re.findall(rf"{re.escape(client.suite.url('console'))}(/w/{crashed['id']})\b", log)
        return found[0] if found else None

    address = await eventually(link, what="the link in the chat")
    assert address is not None
    mended = {"originalOrderId": order["external_id"], "positions": [{**POSITIONS[0], "quantity": 1}]}
    async with signed_in(chromium, client, "operator", address) as page:
        await expect(page.locator("main > p").first).to_contain_text("crashed")
        await change(page, "retry", "is it only a moment's trouble?")
        await expect(page.locator("#watched")).to_contain_text("Seen: 1 crashed", timeout=PATIENCE_MS)
        await page.goto(client.suite.url("console") + address)
        await expect(page.locator(".timeline").first).to_contain_text("positions.0.quantity")
        await page.get_by_role("link", name="mend", exact=True).click()
        await page.fill("#mended", json.dumps(mended))
        await page.fill("#why-mended", "the shop meant one")
        assert await violations(page) == []
        await page.get_by_role("button", name="What would happen?").click()
        await page.get_by_role("button", name="Do exactly this").click()
        await expect(page.locator("#watched")).to_contain_text("Seen: 1 done", timeout=PATIENCE_MS)
        await page.goto(client.suite.url("console") + address)
        await expect(page.locator("main > p").first).to_contain_text("running")
        await expect(page.locator(".timeline").first).to_contain_text("mended")
        await expect(page.locator(".acts .off").first).to_be_visible()
        await expect(page.locator(".acts").first).to_contain_text("only a crashed one can be retried")
        await page.goto(client.suite.url("console") + f"/o/{number}")
        await expect(page.locator("#timeline")).to_contain_text("the shop meant one")
        complaints = await violations(page)
    assert complaints == []
    acts = await operator.audit(f"workflow:{crashed['id']}")
    assert acts == [("operator", "workflow.retry"), ("operator", "workflow_event.mend")]
    now = await client.get("orchestrator", f"/orders/v1/orders/{number}", role="internal")
    assert [each["quantity"] for each in now["positions"]] == ["1"]


async def late(route: Route) -> None:
    """Let a script of the page come after the others, as a slow network does."""
    await asyncio.sleep(0.5)
    await route.continue_()


async def test_an_alert_is_announced_and_taken_in_a_few_presses_on_a_phone(client: Client, chromium: Browser) -> None:
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
    async with signed_in(chromium, client, "operator", "/incidents?severity=critical", **phone) as page:
        await page.route("**/vendor/hx-sse*", late)
        await page.reload()
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


async def test_a_customer_is_got_back_and_her_money_followed_on_a_phone(client: Client, chromium: Browser) -> None:
    operator = Operator(client)
    number = await operator.paid_order("screens")
    status, said = await operator.act(f"/admin/v1/orders/{number}/refund", amount=8500)
    assert status == 202, said
    goods = {
        **POSITIONS[0],
        "id": f"sku-{secrets.token_hex(4)}",
    }  # of their own: the same goods would be a likely duplicate
    good = {
        "customer": {"name": "Лев Мышкин", "phone": f"+7926{secrets.randbelow(10**7):07}"},
        "address": {"full_address": "Литейный 1"},
        "externalId": f"web-{secrets.token_hex(4)}",
        "positions": [goods],
    }
    broken = {**good, "positions": [{**goods, "quantity": "много"}]}
    url = client.suite.url("webhook-gateway") + "/api/v1/orders/"
    assert (await client.post(url, broken, role="website"))[0] == 422
    odd = hook("created", f"odd-{secrets.token_hex(4)}", at=datetime.now(UTC), positions=[{"id": "a", "quantity": "?"}])
    assert (await client.hook(odd))[0] == 200

    async def first(service: str, path: str, **query: str) -> str | None:
        items = (await client.get(service, path, **query))["items"]
        return str(items[0]["id"]) if items else None

    kept = "/admin/v1/endangered-orders"
    endangered = await eventually(lambda: first("webhook-gateway", kept, external_id=str(good["externalId"])))
    refund = await eventually(lambda: first("refunds", "/admin/v1/refunds", order=number, state="SUCCESS"))
    asked = {"external_id": str(odd["payload"]["originalOrderId"]), "outcome": "quarantined"}
    delivery = await eventually(lambda: first("webhook-gateway", "/admin/v1/deliveries", **asked))
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
    async with signed_in(chromium, client, "operator", f"/e/{endangered}", **phone) as page:

        async def look(address: str, *words: str) -> None:
            """Go to a page: it says so, is open to everybody, and is no wider than the phone."""
            await page.goto(client.suite.url("console") + address)
            for each in words:
                await expect(page.locator("main")).to_contain_text(each, ignore_case=True)
            assert await violations(page) == [], address
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address

        await look(f"/e/{endangered}", "много", "1 place cannot be read", "It was not mended yet")
        await expect(page.locator("mark")).to_contain_text("quantity")
        await page.fill("#mended", json.dumps(good))
        await page.fill("#why-mended", "a figure instead of a word")
        await page.get_by_role("button", name="What would happen?").click()
        await page.get_by_role("button", name="Do exactly this").click()
        await expect(page.locator("#watched")).to_contain_text("Seen: 1 mended", timeout=PATIENCE_MS)
        await look(f"/e/{endangered}", f"positions.{goods['id']}.quantity")
        await expect(page.locator("ins").first).to_contain_text("2")
        await change(page, "resubmit", "the customer waits")
        await expect(page.locator("#watched")).to_contain_text("Seen: 1 resubmitted", timeout=PATIENCE_MS)
        await look(f"/r/{refund}", "not more than was captured", "Attempt 1", "word for word")
        assert await page.locator("svg.bar-of-sums rect.refunded").get_attribute("width") == "50.0"
        await look(f"/refunds?order={number}", "left")
        await look(f"/d/{delivery}", "payload.positions.0.quantity".rpartition(".")[2], "1 place cannot be read")
        await look("/intake", "Sources in the last day", "sbermarket")
        await look(f"/audit?order={number}", "order.refund")
        exported = await page.request.get(client.suite.url("console") + f"/audit/export?form=json&order={number}")
        assert "order.refund" in {line["action"] for line in await exported.json()}
        await look("/proof", "all accounted for", "What the checkers found last")
        await page.get_by_role("button", name="Check now: refunds").click()
        await expect(page.locator("#ran")).to_contain_text("refunds")
        assert await violations(page) == []


async def test_a_recipe_is_started_from_its_incident_on_a_phone(client: Client, chromium: Browser) -> None:
    incident = await Trouble(client).crash_told()
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
    async with signed_in(chromium, client, "operator", f"/i/{incident}", **phone) as page:
        assert await violations(page) == []
        await change(page, "Retry the workflow", "the hook was looked at")
        await expect(page.locator("#watched")).to_contain_text("Seen: 1 crashed again", timeout=PATIENCE_MS)
        await page.goto(client.suite.url("console") + f"/i/{incident}")
        await expect(page.locator("main")).to_contain_text("started oleg")
        for address, said in (
            ("/", "What waits in the services"),
            ("/tips", "Does the service decide as the own rules do?"),
        ):
            await page.goto(client.suite.url("console") + address)
            await expect(page.locator("main")).to_contain_text(said)
            await expect(page.locator("main")).not_to_contain_text("Not known")
            assert await violations(page) == []
    story = await client.get("notifier", f"/admin/v1/incidents/{incident}")
    assert (story["state"], story["acknowledged_by"]) == ("acknowledged", "oleg")  # it crashed again: nothing is over
    assert await Operator(client).audit(f"workflow:{story['recipes'][0]['target']}") == [("operator", "workflow.retry")]
