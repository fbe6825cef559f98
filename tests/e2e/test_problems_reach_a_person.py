"""After `make up` the way from a critical problem to a person is whole, and the links on it open."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from common.testing import eventually
from tests.support.console_browser import browsing
from tests.support.suite_client import Client

_LINK = re.compile(r'href="(http[^"]+)"')  # a person who is tagged is a link of Telegram's own
ALERT = "EndToEndAlert"


async def test_a_critical_alert_reaches_chat_and_ticket_and_its_links_open(client: Client) -> None:
    assert await client.get("notifier", "/admin/v1/coverage") == {"covered": True, "missing": []}
    on_call = await client.get("notifier", "/admin/v1/on-call")
    who = await client.get("notifier", "/admin/v1/whoami", role="operator")
    assert {on_call["on_duty"]["id"], on_call["backup"]["id"]} == {who["name"], "anna"}

    alert = {
        "status": "firing",
        "labels": {"alertname": ALERT, "severity": "critical", "service": "tips"},
        "annotations": {"summary": "tips does not answer", "runbook_url": "docs/runbooks/tips-down.md"},
        "startsAt": datetime.now(UTC).isoformat(),
        "fingerprint": "e2e",
    }
    url = client.suite.url("notifier") + "/alerts/v1/alertmanager"
    status, taken = await client.post(url, {"version": "4", "status": "firing", "alerts": [alert]}, role="internal")
    assert status == 200, taken
    [incident] = taken["incidents"]

    async def text() -> str:
        texts = [str(entry["request"].get("text", "")) for entry in await client.chat_log("telegram")]
        return next((each for each in texts if ALERT in each), "")

    async def ticket() -> Any:
        items = (await client.get("notifier", "/admin/v1/tickets", incident=incident))["items"]
        return items and items[0]["key"]

    told, key = await eventually(text, within=60), await eventually(ticket, within=60)
    base = client.suite.url("console")
    links = {f"{base}/t/{key}", *_LINK.findall(told)}
    assert {f"{base}/i/{incident}", f"{base}/runbook/tips-down"} <= links
    async with browsing(base) as browser:
        await browser.sign_in(client.suite.token("viewer"))
        for link in links:
            await browser.get(link.removeprefix(base))
            assert (browser.status, browser.path) == (200, link.removeprefix(base)), link
