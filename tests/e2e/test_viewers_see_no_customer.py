"""A viewer goes through everything that the console links to: no page, address, title or log line holds a customer's data."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import aiohttp

from console.web.screens import NAVIGATION
from tests.support.console_browser import browsing
from tests.support.console_walk import SAME, go_everywhere
from tests.support.servers import eventually
from tests.support.suite_client import POSITIONS, TOTAL, Client, hook

PHONE = "9161234577"
CUSTOMER = {"name": "Евпраксия Незванова", "phone": f"+7{PHONE}", "email": "evpraksia@mail.example"}
STREET = "Потайной переулок"
ADDRESS = {"full_address": f"{STREET}, 77, кв. 5"}
SECRETS = (PHONE, "Незванова", "evpraksia", STREET)
SHOWN_WHOLE = {
    "/admin/v1/deliveries/{id}",
    "/admin/v1/endangered-orders",
    "/admin/v1/endangered-orders/{id}",
    "/admin/v1/orders",
    "/orders/v1/orders/{number}",
}
"""Where an admin reads the customer of this test; nowhere does she who asks for it masked."""


Reads = dict[tuple[str, str], list[str]]
"""Of each service and path: the addresses of it that were read."""


async def reads_with_customers(client: Client, number: str) -> Reads:
    """Every read of the services that may hold customers' data, with names of things that there are."""
    found: Reads = {}
    for service in ("webhook-gateway", "orchestrator", "refunds", "notifier"):
        document = await client.get(service, "/openapi.json")
        reads = {
            path: {each["name"]: each["required"] for each in methods["get"].get("parameters", ())}
            for path, methods in document["paths"].items()
            if "get" in methods
        }
        for path, parameters in reads.items():
            listed, place, _ = path.partition("/{")
            if "Customer-Data" not in parameters or (not place and any(parameters.values())):
                continue
            known = [number]
            if place and "{number}" not in path:
                known = await names(client, service, listed, reads) if listed in reads else []
            found[service, path] = [re.sub(r"\{\w+\}", name, path) for name in known]
    return found


async def names(client: Client, service: str, path: str, reads: Mapping[str, Mapping[str, bool]]) -> list[str]:
    """The names of the first things of a list: the customer's, where it can be asked for those."""
    asked = {"q": PHONE} if "q" in reads[path] else {}
    items = (await client.get(service, path, role="admin", **asked))["items"]
    return [str(item[key]) for item in items[:5] for key in ("id", "key") if key in item]


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
        recorded = await client.get("webhook-gateway", "/admin/v1/deliveries", q=PHONE)
        return bool(known["items"] and endangered["items"] and recorded["items"])

    await eventually(arrived, what="both orders are known")
    whole: set[str] = set()
    for (service, path), addresses in (await reads_with_customers(client, number)).items():
        for address in addresses:
            masked = await client.text(service, address, role="admin", **{"Customer-Data": "masked"})
            assert [secret for secret in SECRETS if secret in masked] == [], address
            shown = await client.text(service, address, role="admin")
            if any(secret in shown for secret in SECRETS):
                whole.add(path)
    assert whole >= SHOWN_WHOLE
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
    leaked = {
        address: secret
        for address, page in pages.items()
        for secret in SECRETS
        if secret in page or secret in unquote(address)
    }
    assert leaked == {}
    for program in ("console", "webhook-gateway", "orchestrator", "notifier", "refunds", "tips"):
        lines = [str(line) for line in client.suite.logs(program)]
        assert lines, program
        assert [line for line in lines if any(secret in line for secret in SECRETS)] == []
