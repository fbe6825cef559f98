"""A viewer goes through everything that the console links to: no page, address, title or log line holds a customer's data."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import aiohttp

from common.testing import eventually
from console.web.screens import NAVIGATION
from tests.support.console_browser import browsing
from tests.support.console_walk import SAME, go_everywhere
from tests.support.suite_client import POSITIONS, TOTAL, Client, hook

PHONE = "9161234577"
CUSTOMER = {"name": "Евпраксия Незванова", "phone": f"+7{PHONE}", "email": "evpraksia@mail.example"}
STREET = "Потайной переулок"
ADDRESS = {"full_address": f"{STREET}, 77, кв. 5"}
SECRETS = (PHONE, "Незванова", "evpraksia", STREET)


async def test_no_page_of_a_viewer_holds_a_customer(client: Client) -> None:
    external_id = f"masked-{secrets.token_hex(4)}"
    start = datetime.now(UTC) - timedelta(minutes=1)
    order = {
        "customer": CUSTOMER,
        "address": ADDRESS,
        "positions": POSITIONS,
        "total": TOTAL,
        "payment": {"method": "card"},
    }
    status, answer, _ = await client.hook(hook("created", external_id, at=start, **order))
    assert status == 200
    number = answer["number"]
    website = client.suite.url("webhook-gateway") + "/api/v1/orders/"
    async with (
        aiohttp.ClientSession(headers={"Authorization": "Bearer of-nobody"}) as website_of_nobody,
        website_of_nobody.post(website, json={"storeID": "17", **order}) as refused,
    ):
        assert refused.status == 401  # and so it is an endangered order, with all that it says

    async def arrived() -> bool:
        known = await client.get("orchestrator", "/admin/v1/orders", q=external_id)
        endangered = await client.get("webhook-gateway", "/admin/v1/endangered-orders")
        return bool(known["items"] and endangered["items"])

    await eventually(arrived, within=60, what="both orders are known")
    first = [f"/o/{number}", *(screen.path for screen in NAVIGATION)]
    url = client.suite.url("console")
    async with browsing(url) as operator:
        await operator.sign_in(client.suite.token("operator"))
        page = await operator.get(f"/o/{number}")
        assert PHONE in re.sub(r"\D", "", page), "an operator reads it whole"
        await operator.get("/find")
        await operator.post("/find", q=CUSTOMER["phone"])
        assert PHONE not in unquote(operator.path)
        await operator.get(f"/find?q=%2B7{PHONE}")
    async with browsing(url) as viewer:
        await viewer.sign_in(client.suite.token("viewer"))
        pages = await go_everywhere(viewer, first)
    kinds = {SAME.sub(r"\1", address) for address in pages}
    assert {"/o", "/d", "/e", "/orders", "/intake", "/endangered", "/proof"} <= kinds, kinds
    shown = {
        address: secret
        for address, page in pages.items()
        for secret in SECRETS
        if secret in page or secret in unquote(address)
    }
    assert shown == {}
    for program in ("console", "webhook-gateway", "orchestrator", "notifier", "refunds", "tips"):
        lines = [str(line) for line in client.suite.logs(program)]
        assert lines, program
        assert [line for line in lines if any(secret in line for secret in SECRETS)] == []
