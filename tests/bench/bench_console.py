"""The console with a million orders: how long a page takes, what fifty people who look on cost, what a slow network and Tab take.

The whole suite on this machine; each service's database is filled by the database itself, and one order goes its real way. Each page is
read in turn, round by round; the first paint is chromium's, with nothing in its cache and the network of its own presets.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import aiohttp
import asyncpg
from playwright.async_api import async_playwright

from suite_local.catalogue import SERVICES
from suite_local.testing import running_suite
from tests.bench.figures import figure, percentile
from tests.bench.rig_suite import people, spent, used
from tests.support.big_database import filled
from tests.support.big_services import fill_gateway, fill_notifier, fill_refunds
from tests.support.console_browser import Browser, browsing
from tests.support.suite_client import POSITIONS, TOTAL, hook

ORDERS = int(os.environ.get("BENCH_CONSOLE_ORDERS", "1000000"))
DELIVERIES, INCIDENTS, REFUNDS = (max(100, ORDERS * share // 10) for share in (3, 2, 1))
ROUNDS = int(os.environ.get("BENCH_CONSOLE_ROUNDS", "100"))
LOOKING = 50
LOOK_S = float(os.environ.get("BENCH_CONSOLE_SECONDS", "30"))
_PAGES = {
    "Now": "/",
    "Orders": "/orders",
    "Orders, a shop's": "/orders?store_id=17",
    "Order": "/o/{number}",
    "Workflows, crashed": "/workflows?state=crashed",
    "Workflow": "/w/{workflow}",
    "Incidents": "/incidents",
    "Incidents, open": "/incidents?state=open",
    "Incidents, open and critical": "/incidents?state=open&severity=critical",
    "Incidents, a service's": "/incidents?service=service-3",
    "Incidents, all that is over by service": "/incidents?by=service&state=resolved",
    "Incident": "/i/{incident}",
    "Tickets": "/list/ticket",
    "Tickets, open": "/list/ticket?state=open",
    "Ticket": "/t/{ticket}",
    "Intake and its sources": "/intake",
    "Intake, quarantined": "/intake?outcome=quarantined&undecided=true",
    "Intake, a rare source's": "/intake?source=rare",
    "Delivery": "/d/{delivery}",
    "Endangered": "/endangered",
    "Endangered order": "/e/{endangered}",
    "Refunds": "/refunds",
    "Refunds in error": "/refunds?state=ERROR",
    "Refund": "/r/{refund}",
    "Payments": "/list/payment",
    "Messages": "/messages",
    "Messages that failed": "/messages?state=failed",
    "Messages of an order": "/messages?order=N{some}",
    "Message": "/m/{message}",
    "Duty": "/duty",
    "Tips": "/tips",
    "Audit": "/audit",
    "Audit, a person's": "/audit?actor=a",
    "Audit, somebody's who did nothing": "/audit?actor=nobody",
    "Audit, of one thing": "/audit?target=workflow:5",
    "Parked orders": "/list/parked",
    "Stock movements": "/list/stock-movement",
    "Nothing lost": "/proof",
}
_SOUGHT = {
    "number": "N{some}",
    "external id": "E{some}",
    "phone": "+{phone}",
    "end of a phone": "{phone_end}",
    "mail": "c{some}@example.org",
    "name that many have": "анна",
    "name that nobody has": "nobody of this name",
    "payment": "old-{some}",
    "refund": "{refund}",
    "incident or workflow": "{incident}",
    "ticket": "{ticket}",
    "delivery": "{delivery}",
    "endangered order": "{endangered}",
    "trace": "{trace}",
}
_NAMES = {
    "webhook-gateway": """
        SELECT (SELECT delivery_id::text FROM deliveries WHERE number = 'N' || $1::text LIMIT 1) AS delivery,
               (SELECT id::text FROM endangered_orders ORDER BY received_at LIMIT 1 OFFSET 50) AS endangered,
               (SELECT substr(traceparent, 4, 32) FROM deliveries WHERE number = 'N' || $1::text LIMIT 1) AS trace
    """,
    "notifier": """
        SELECT id::text AS incident, (SELECT key FROM tickets ORDER BY id LIMIT 1 OFFSET 5) AS ticket,
               (SELECT id::text FROM notices WHERE order_number = 'N' || $1::text LIMIT 1) AS message
        FROM incidents WHERE order_number = 'N' || $1::text LIMIT 1
    """,
    "refunds": "SELECT id::text AS refund FROM refunds WHERE order_number = 'N' || $1::text LIMIT 1",
}
_LOOKED_AT = (
    "order",
    "order?store_id=17",
    "incident?state=open",
    "workflow?state=crashed",
    "intake",
    "refund?state=ERROR",
    "message",
)
_NETWORKS: dict[str, dict[str, float]] = {  # Chromium's own presets: bytes a second, milliseconds
    "Slow 4G": {"downloadThroughput": 180_000, "uploadThroughput": 84_375, "latency": 562.5},
    "3G": {"downloadThroughput": 50_000, "uploadThroughput": 50_000, "latency": 2000},
}
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def main() -> None:
    """Start the whole suite and measure its console, then the terminal."""
    with tempfile.TemporaryDirectory(prefix="suite-bench-") as directory, running_suite(Path(directory)) as suite:
        asyncio.run(measure(Path(directory), suite))
    tab()


async def measure(directory: Path, suite: dict[str, Any]) -> None:
    """Fill the databases, have an order, and measure everything in a browser."""
    databases, owned = suite["databases"], owners_of(suite)
    seconds = await filled(owned["orchestrator"], ORDERS)
    seconds += await fill_gateway(owned["webhook-gateway"], DELIVERIES)
    seconds += await fill_notifier(owned["notifier"], INCIDENTS)
    seconds += await fill_refunds(owned["refunds"], REFUNDS)
    figure(
        "P9", "orders", ORDERS, deliveries=DELIVERIES, incidents=INCIDENTS, refunds=REFUNDS, filled_in_s=round(seconds)
    )
    number, workflow = await an_order(suite)
    names = {"number": number, "workflow": workflow, **await some_names(databases)}
    url, token = suite["services"]["console"]["url"], suite["tokens"]["operator"]
    async with browsing(url) as browser:
        await browser.sign_in(token)
        await pages(browser, {name: path.format(**names) for name, path in _PAGES.items()})
        await finds(browser, {name: text.format(**names) for name, text in _SOUGHT.items()})
    await looking(suite, await people(directory, suite, LOOKING))
    await first_paint(url, token, f"/o/{number}")


def owners_of(suite: Mapping[str, Any]) -> dict[str, str]:
    """Return the databases' addresses in the role of their owners: what a service runs as makes no day of deliveries."""
    administrator = urlsplit(suite["infrastructure"]["postgres"]["dsn"])
    return {
        service.name: urlunsplit(
            administrator._replace(
                path=f"/{service.database}",
                query="&".join(filter(None, (administrator.query, urlencode({"role": service.owner})))),
            )
        )
        for service in SERVICES
        if service.database is not None and service.owner is not None
    }


async def some_names(databases: Mapping[str, str]) -> dict[str, str]:
    """Return by what the things of one order that was filled in are known."""
    some = REFUNDS // 3
    known = {"some": str(some), "phone": str(79160000000 + some), "phone_end": str(79160000000 + some)[-7:]}
    for service, query in _NAMES.items():
        connection = await asyncpg.connect(databases[service])
        try:
            row = await connection.fetchrow(query, str(some))
            known |= {name: str(value) for name, value in (row or {}).items()}
        finally:
            await connection.close()
    return known


async def an_order(suite: dict[str, Any]) -> tuple[str, str]:
    """Send a hook, and wait for its order; return its number and its workflow."""
    headers = {"Client-token": suite["tokens"]["marketplace"]}
    sent = hook("created", "console-1", at=datetime.now(UTC), positions=POSITIONS, total=TOTAL)
    read = {"Authorization": f"Bearer {suite['tokens']['operator']}"}
    async with aiohttp.ClientSession() as session:
        gateway = suite["services"]["webhook-gateway"]["url"] + "/hooks/v1/sbermarket"
        async with session.post(gateway, json=sent, headers=headers) as answer:
            number = (await answer.json())["number"]
        url = suite["services"]["orchestrator"]["url"] + "/admin/v1/workflows"
        for _ in range(300):
            async with session.get(url, params={"order_number": number}, headers=read) as answer:
                if items := (await answer.json())["items"]:
                    return number, str(items[0]["id"])
            await asyncio.sleep(0.1)
    sys.exit("the order did not come about")


async def pages(browser: Browser, addresses: dict[str, str]) -> None:
    """Read each page in turn, and print how long each took."""
    times: dict[str, list[float]] = {name: [] for name in addresses}
    for round_ in range(-3, ROUNDS):
        for name, address in addresses.items():
            began = time.perf_counter()
            await browser.get(address)
            if browser.status != 200:
                sys.exit(f"{address}: {browser.status}")
            if round_ >= 0:
                times[name].append((time.perf_counter() - began) * 1000)
    show(times)


async def finds(browser: Browser, sought: dict[str, str]) -> None:
    """Put everything into the one box in turn, and print how long the answer took, without the page that it may lead to."""
    times: dict[str, list[float]] = {f"Find by {name}": [] for name in sought}
    await browser.get("/find")
    form = browser.page
    for round_ in range(-1, max(1, ROUNDS // 2)):
        for name, text in sought.items():
            browser.page = form
            began = time.perf_counter()
            await browser.post("/find", q=text, follow=False)
            if browser.status not in (200, 303):
                sys.exit(f"/find, {name}: {browser.status}")
            if round_ >= 0:
                times[f"Find by {name}"].append((time.perf_counter() - began) * 1000)
    show(times)


def show(times: Mapping[str, list[float]]) -> None:
    """Print of each page how long it took."""
    for name, taken in times.items():
        p99, p50 = round(percentile(taken, 99), 1), round(percentile(taken, 50), 1)
        figure("P9", f"{name}: ms, p99", p99, goal=300, p50_ms=p50)


async def looking(suite: dict[str, Any], tokens: list[str]) -> None:
    """Let people, each with a token of her own, look at several lists, and print what of a core that takes, at all programs."""
    await asyncio.sleep(5)
    before = used(suite)
    await asyncio.sleep(LOOK_S)
    alone = spent(before, used(suite), 1 / LOOK_S, digits=4)
    async with AsyncExitStack() as stack:
        for number, token in enumerate(tokens):
            browser = await stack.enter_async_context(browsing(suite["services"]["console"]["url"]))
            await browser.sign_in(token)
            await stack.enter_async_context(_stream(browser, _LOOKED_AT[number % len(_LOOKED_AT)]))
        await asyncio.sleep(5)
        before = used(suite)
        await asyncio.sleep(LOOK_S)
        shares = spent(before, used(suite), 1 / LOOK_S, digits=4)
    more = {name: round(share - alone[name], 4) for name, share in shares.items()}
    people_, lists = len(tokens), len(_LOOKED_AT)
    figure(
        "P9",
        f"share of a core that {people_} people take who look at {lists} lists",
        round(sum(more.values()), 3),
        goal=0.1,
        **more,
    )


@asynccontextmanager
async def _stream(browser: Browser, looked_at: str) -> AsyncIterator[None]:
    timeout = aiohttp.ClientTimeout(total=None)
    address = f"{browser.url}/live/{looked_at}{'&' if '?' in looked_at else '?'}seen="
    async with browser.session.get(address, timeout=timeout) as answer:
        if answer.status != 200:
            sys.exit(f"{address}: {answer.status}")
        yield


async def first_paint(url: str, token: str, address: str) -> None:
    """Load the page over slow networks with an empty cache, and print when chromium painted first."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = await chromium.new_context(viewport={"width": 360, "height": 740})
        page = await context.new_page()
        await page.goto(f"{url}/sign-in")
        await page.fill("#token", token)
        await page.click("button.primary")
        for name, network in _NETWORKS.items():
            times = []
            for _ in range(5):
                page = await context.new_page()
                chrome = await context.new_cdp_session(page)
                await chrome.send("Network.enable")
                await chrome.send("Network.setCacheDisabled", {"cacheDisabled": True})
                await chrome.send("Network.emulateNetworkConditions", {"offline": False, **network})
                await page.goto(url + address)
                await page.wait_for_function(_PAINT)
                times.append(float(await page.evaluate(_PAINT)))
                await page.close()
            goal = 2000 if name == "Slow 4G" else None
            figure("P9", f"Order, first paint on chromium's {name}: ms", round(percentile(times, 50)), goal=goal)
        await chromium.close()


def tab() -> None:
    """Press Tab at a terminal, again and again, and print how long the answer takes."""
    program = Path(sys.executable).with_name("ordersctl")
    times = []
    for _ in range(40):
        began = time.perf_counter()
        environment = {**os.environ, "_ORDERSCTL_COMPLETE": "complete"}
        said = subprocess.run([program, "workflow", ""], env=environment, capture_output=True, text=True, check=True)
        times.append((time.perf_counter() - began) * 1000)
        if "retry" not in said.stdout:
            sys.exit(f"Tab says {said.stdout!r}")
    figure(
        "P9",
        "Tab of ordersctl: ms, median",
        round(percentile(times, 50)),
        goal=150,
        p99_ms=round(percentile(times, 99)),
    )


if __name__ == "__main__":
    main()
