"""The console with a million orders: how long a page takes, what fifty people who look on cost, what a slow network and Tab take.

The whole suite on this machine; the orders are filled in by the database itself, and one goes its real way. Each page is
read in turn, round by round; the first paint is chromium's, with nothing in its cache and the network of its own presets.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from playwright.async_api import async_playwright

from suite_local.testing import running_suite
from tests.bench.figures import figure, percentile
from tests.support.big_database import filled
from tests.support.console_browser import Browser, browsing
from tests.support.suite_client import POSITIONS, TOTAL, hook

ORDERS = int(os.environ.get("BENCH_CONSOLE_ORDERS", "1000000"))
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
    "Intake": "/intake",
    "Refunds": "/refunds",
    "Audit": "/audit",
    "Nothing lost": "/proof",
}
_NETWORKS: dict[str, dict[str, float]] = {  # Chromium's own presets: bytes a second, milliseconds
    "Slow 4G": {"downloadThroughput": 180_000, "uploadThroughput": 84_375, "latency": 562.5},
    "3G": {"downloadThroughput": 50_000, "uploadThroughput": 50_000, "latency": 2000},
}
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def main() -> None:
    """Start the whole suite and measure its console, then the terminal."""
    with tempfile.TemporaryDirectory(prefix="suite-bench-") as directory, running_suite(Path(directory)) as suite:
        asyncio.run(measure(suite))
    tab()


async def measure(suite: dict[str, Any]) -> None:
    """Fill the database, have an order, and measure everything in a browser."""
    await filled(suite["databases"]["orchestrator"], ORDERS)
    number, workflow = await an_order(suite)
    url, token = suite["services"]["console"]["url"], suite["tokens"]["operator"]
    async with browsing(url) as browser:
        await browser.sign_in(token)
        await pages(browser, {name: path.format(number=number, workflow=workflow) for name, path in _PAGES.items()})
        await looking(suite, browser)
    await first_paint(url, token, f"/o/{number}")


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
    for name, taken in times.items():
        p99, p50 = round(percentile(taken, 99), 1), round(percentile(taken, 50), 1)
        figure("P9", f"{name}: ms, p99 with {ORDERS:,} orders", p99, goal=300, p50_ms=p50)


async def looking(suite: dict[str, Any], browser: Browser) -> None:
    """Let many people look at one list, and print what of a core the console needs for all of them."""
    console = [psutil.Process(pid) for pid in suite["services"]["console"]["pids"]]
    async with AsyncExitStack() as stack:
        for _ in range(LOOKING):
            await stack.enter_async_context(_stream(browser))
        await asyncio.sleep(5)
        before = sum(sum(each.cpu_times()[:2]) for each in console)
        await asyncio.sleep(LOOK_S)
        share = (sum(sum(each.cpu_times()[:2]) for each in console) - before) / LOOK_S
    figure("P9", f"the console's share of a core while {LOOKING} people look at a list", round(share, 3), goal=0.1)


@asynccontextmanager
async def _stream(browser: Browser) -> AsyncIterator[None]:
    timeout = aiohttp.ClientTimeout(total=None)
    async with browser.session.get(browser.url + "/live/order?seen=", timeout=timeout) as answer:
        if answer.status != 200:
            sys.exit(f"/live/order: {answer.status}")
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
