"""After `make up` the way from a problem to a person is whole, its links open, and fifty at once are fifty."""

from __future__ import annotations

import asyncio
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.console_browser import browsing
from tests.support.servers import eventually
from tests.support.suite_client import POSITIONS, TOTAL, Client, hook

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

    told, key = await eventually(text), await eventually(ticket)
    base = client.suite.url("console")
    links = {f"{base}/t/{key}", *_LINK.findall(told)}
    assert {f"{base}/i/{incident}", f"{base}/runbook/tips-down"} <= links
    async with browsing(base) as browser:
        await browser.sign_in(client.suite.token("viewer"))
        for link in links:
            await browser.get(link.removeprefix(base))
            assert (browser.status, browser.path) == (200, link.removeprefix(base)), link


BROKEN = 50
DIFFERS = "problem.order_created_differs"


async def created(client: Client, external_id: str, goods: list[dict[str, Any]], *, ago: float = 0) -> str:
    """Have the marketplace create an order, so many seconds ago; return its number."""
    at = datetime.now(UTC) - timedelta(seconds=ago)
    status, answer, _ = await client.hook(hook("created", external_id, at=at, positions=goods, total=TOTAL))
    assert status == 200, answer
    return str(answer["number"])


async def broken_orders(client: Client) -> set[str]:
    """Have the marketplace create orders twice, with other goods the second time, and then all at once; return their numbers."""
    few = asyncio.Semaphore(8)
    names = [f"storm-{each}-{secrets.token_hex(4)}" for each in range(BROKEN)]

    async def first(name: str) -> str:
        async with few:
            return await created(client, name, POSITIONS, ago=20)

    numbers = await asyncio.gather(*map(first, names))
    again = [created(client, name, [{**POSITIONS[0], "id": "sku-2"}]) for name in names]
    assert await asyncio.gather(*again) == numbers
    return set(numbers)


@pytest.mark.timeout(480)
async def test_fifty_broken_orders_are_fifty_tickets_and_one_digest_and_end_alone(client: Client) -> None:
    numbers = await broken_orders(client)
    assert len(numbers) == BROKEN

    async def incidents() -> dict[str, int]:
        page = await client.get("notifier", "/admin/v1/incidents", kind=DIFFERS, limit=200)
        return {item["order_number"]: item["id"] for item in page["items"] if item["order_number"] in numbers}

    async def closed(*alone: str) -> bool:
        """Whether each incident has a ticket of its own, and those of these orders are closed and no others."""
        page = await client.get("notifier", "/admin/v1/tickets", limit=200)
        mine = {item["incident_id"]: item for item in page["items"] if item["incident_id"] in known.values()}
        assert len(mine) == BROKEN == len({item["key"] for item in mine.values()})
        assert {each for each, item in mine.items() if item["state"] == "closed"} == {known[each] for each in alone}
        return True

    async def all_known() -> bool:
        return set(await incidents()) == numbers

    await eventually(all_known, what="an incident for each order")
    known = await incidents()
    await eventually(closed, what="a ticket for each incident")

    async def told() -> bool:
        """Whether there is one digest of the storm that names most orders; the others were told before it was a storm."""
        items = (await client.get("sandbox", "/sandbox/telegram/messages", role=None))["items"]
        telling = [item["text"] for item in items if any(number in item["text"] for number in numbers)]
        digests = [text for text in telling if "Шквал" in text]
        assert [number for number in numbers if not any(number in text for text in telling)] == []
        assert len(digests) == 1
        assert sum(any(number in text for text in digests) for number in numbers) > BROKEN / 2
        return True

    # What other tests had told in this chat may have used up its minute.
    await eventually(told, within=200, what="every order named, and most of them in one digest")

    first, *others = sorted(numbers)
    operator = client.suite.url("notifier") + "/admin/v1/incidents/{}/resolve"
    for alone in (first, *others):
        status, answer = await client.post(
            operator.format(known[alone]), {"reason": "asked the store"}, role="operator"
        )
        assert status == 200, answer
        if alone == first:
            await eventually(lambda: closed(first), what="its ticket closed, and no other")
    await eventually(lambda: closed(*numbers), what="every ticket closed")
