"""Debian's Prometheus scrapes the running service and evaluates the repository's rules: its figures are those of the orders table."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web

from tests.support.processes import free_port
from tests.support.servers import eventually

from .conftest import ENDED, RunningTips, Start

RULES = Path(__file__).parents[3] / "deploy" / "prometheus" / "rules"
ZONES, TARIFFS = ("moscow", "spb", "mars"), ("express", "planned", "teleport")
_BY_PLACE = """
SELECT CASE WHEN zone IN ('moscow', 'spb') THEN zone ELSE 'other' END || '/'
       || CASE WHEN tariff IN ('express', 'planned') THEN tariff ELSE 'other' END AS name,
       count(*) FILTER (WHERE 'order' = ANY (tips_seen)) AS seen, count(*) FILTER (WHERE 'tipped' = ANY (tips_seen)) AS tipped
FROM orders GROUP BY 1
"""
_MARKS = "SELECT mark, count(*) AS orders FROM orders, unnest(tips_seen) AS mark GROUP BY 1"


class Prometheus:
    """One Prometheus, asked over its API."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def ask(self, query: str, *labels: str) -> dict[str, float]:
        """Return a query's values by their labels, joined by ``/``."""
        async with self._session.get(f"{self._url}/api/v1/query", params={"query": query}) as answer:
            found = await answer.json()
        assert found["status"] == "success", found
        return {
            "/".join(each["metric"][label] for label in labels): float(each["value"][1])
            for each in found["data"]["result"]
        }


@asynccontextmanager
async def prometheus(directory: Path, target: str) -> AsyncIterator[Prometheus]:
    """Run Debian's Prometheus with the repository's rules of tips, everything five times a second, until the block ends."""
    binary = shutil.which("prometheus")
    assert binary is not None, "prometheus is not installed (Debian: package prometheus)"
    for file in ("tips.yml", "tips-share.yml"):
        rules = yaml.safe_load((RULES / file).read_text())
        for group in rules["groups"]:
            group["interval"] = "200ms"
        (directory / file).write_text(yaml.safe_dump(rules))
    configuration = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"},
        "rule_files": [str(directory / "tips*.yml")],
        "scrape_configs": [{"job_name": "tips", "static_configs": [{"targets": [target.removeprefix("http://")]}]}],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    port = free_port()
    with (directory / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            binary,
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
        )
    try:
        async with aiohttp.ClientSession() as session:
            found = Prometheus(session, f"http://127.0.0.1:{port}")

            async def scraped() -> bool:
                try:
                    return await found.ask("tips:orders_seen:total") == {"": 0.0}
                except aiohttp.ClientError:
                    return False

            await eventually(scraped, what="the first scrape")  # counters that were seen at zero
            yield found
    finally:
        process.terminate()
        await process.wait()


class Customers:
    """A feedback service that says what the test's customers say."""

    def __init__(self, sequence: int) -> None:
        self._random = random.Random(sequence)  # noqa: S311 - chooses what customers say
        self.said: dict[str, dict[str, Any]] = {}
        self.url = ""

    def say(self, number: str, *, after: int) -> None:
        """Say something, or nothing, of an order."""
        kind = self._random.choice(("percent", "percent", "flat", None))
        value = self._random.choice(("5", "10", "15", "0"))
        if kind is None and number not in self.said:
            return
        self.said[number] = {
            "rating": self._random.choice((5, 5, 4, 2, None)),
            "tips": None if kind is None else {"type": kind, "value": value},
            "choice": self._random.choice(("suggested", "custom", "default")),
            "done": self._random.random() < 0.3,
            "updated_at": (ENDED + timedelta(seconds=after)).isoformat(),
        }

    async def answer(self, request: web.Request) -> web.Response:
        """``GET /feedback/v1/orders/{order_id}``."""
        said = self.said.get(request.match_info["number"])
        return web.json_response({} if said is None else said, status=404 if said is None else 200)


@asynccontextmanager
async def customers(sequence: int) -> AsyncIterator[Customers]:
    """Run them on a free port."""
    found = Customers(sequence)
    app = web.Application()
    app.router.add_get("/feedback/v1/orders/{number}", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield found
    finally:
        await runner.cleanup()


async def set_all(service: RunningTips, numbers: list[str]) -> None:
    """Ask for every order, some of them twice at once, sixteen at a time."""
    waiting = iter([number for place, number in enumerate(numbers) for _ in range(2 if place % 5 == 0 else 1)])

    async def one() -> None:
        for number in waiting:
            assert await service.set_sum(number) == (200, {})

    await asyncio.gather(*(one() for _ in range(16)))


@pytest.mark.parametrize("orders", [100, pytest.param(5_000, marks=[pytest.mark.chaos, pytest.mark.timeout(900)])])
async def test_recorded_product_figures_equal_the_orders_table(start: Start, tmp_path: Path, orders: int) -> None:
    async with customers(sequence=orders) as people:
        service = await start(feedback_url=people.url, requests_waiting=1_000)
        async with prometheus(tmp_path, str(service.http._base_url).rstrip("/")) as recorded:
            numbers = [f"N{place}" for place in range(orders)]
            await service.orders.execute(
                "INSERT INTO orders (number, source, external_id, status, closed, shipped, paid, revision, zone, tariff, currency,"
                " payment_method, cost_total, document, finished_at)"
                " SELECT n, 'sbermarket', n, 'delivered', true, true, true, 5, ($2::text[])[1 + (i % 3)::int],"
                " ($3::text[])[1 + (i / 3 % 3)::int], 'RUB', CASE WHEN i % 10 = 0 THEN 'cash' ELSE 'card' END, 10000 + i, '{}', $4"
                " FROM unnest($1::text[]) WITH ORDINALITY AS t (n, i)",
                numbers, list(ZONES), list(TARIFFS), ENDED,
            )  # fmt: skip
            for number in numbers:
                people.say(number, after=1)
            await set_all(service, numbers)
            total = await service.orders.fetchval("SELECT sum(tips_amount)::bigint FROM orders")
            await same(recorded, 'tips:amount_minor_units:total{currency="RUB"}', {"RUB": total}, "currency")

            changing = numbers[::3]
            for after in (2, 3):
                for number in changing:
                    people.say(number, after=after)
                await set_all(service, changing)
            await service.orders.execute(
                "UPDATE orders SET refunded = true, tips_amount = 0, tips_revision = tips_revision + 1 WHERE number = ANY($1)",
                numbers[::7],
            )
            await set_all(service, numbers[::14])  # some are asked for again, the others are only looked at
            await refunds_counted(service)
            await compare(service, recorded)


async def refunds_counted(service: RunningTips) -> None:
    """Return when every refunded order has been looked at."""

    async def done() -> bool:
        left: int = await service.orders.fetchval(
            "SELECT count(*) FROM orders WHERE refunded AND NOT tips_refund_counted"
        )
        return left == 0

    await eventually(done)


async def compare(service: RunningTips, recorded: Prometheus) -> None:
    """Compare every recorded figure with the orders table."""
    marks = {row["mark"]: row["orders"] for row in await service.orders.fetch(_MARKS)}
    places = await service.orders.fetch(_BY_PLACE)
    seen, tipped = marks["order"], marks["tipped"]
    assert min(marks.get(mark, 0) for mark in ("increase", "decrease", "removed", "refunded")) > 0, marks
    by = {
        kind: {mark.partition(":")[2]: count for mark, count in marks.items() if mark.startswith(f"{kind}:")}
        for kind in ("choice", "type")
    }
    changes = {mark: marks[mark] for mark in ("increase", "decrease", "removed")}
    await same(recorded, "tips:orders_seen:total", {"": seen})
    await same(recorded, 'tips:orders:total{has_tip="true"}', {"": tipped})
    await same(recorded, "tips:set:total", by["choice"], "source")
    await same(recorded, "tips:types:total", by["type"], "type")
    await same(recorded, 'tips:changes:total{direction!="unchanged"}', changes, "direction")
    await same(recorded, "tips:refunded:total", {"": marks["refunded"]})
    place = "sum by (zone, tariff)"
    await same(recorded, f"{place} (tips_orders_seen_total)", {row["name"]: row["seen"] for row in places}, *PLACE)
    await same(
        recorded,
        f'{place} (tips_orders_total{{has_tip="true"}})',
        {row["name"]: row["tipped"] for row in places},
        *PLACE,
    )
    # Shares of the last hour: every counter was first seen at zero and at the same moments, so what Prometheus extrapolates cancels.
    await same(recorded, "tips:orders_with_tips:share1h", {"": tipped / seen})
    await same(recorded, "tips:source:share1h", shares(by["choice"], sum(by["choice"].values())), "source")
    await same(recorded, "tips:type:share1h", shares(by["type"], sum(by["type"].values())), "type")
    await same(recorded, "tips:changed:share1h", shares(changes, seen), "direction")
    await same(recorded, "tips:refunded:share1h", {"": marks["refunded"] / tipped})


PLACE = ("zone", "tariff")


def shares(counts: dict[str, int], whole: int) -> dict[str, float]:
    """Return each count as a share."""
    return {name: count / whole for name, count in counts.items()}


async def same(recorded: Prometheus, query: str, expected: dict[str, Any], *labels: str) -> None:
    """Wait until Prometheus has scraped and evaluated what it should; what it says in the end is compared."""
    found: dict[str, float] = {}

    async def probe() -> bool:
        nonlocal found
        found = await recorded.ask(query, *labels)
        return found == pytest.approx(expected, rel=1e-9)

    try:
        await eventually(probe)
    except AssertionError:
        assert json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True), query
