"""Refunds a second from request to gateway call, beside a bare handler, and what 1,000,000 finished ones cost.

Both work against the same sandbox (its Trust is one process, and so the limit of both) and the same PostgreSQL, in turn, round by
round; a figure is the median of the rounds' ratios. After the rounds the checker must find that every refund was paid once.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg

from refunds.reconciliation.check import check
from refunds.reconciliation.check_refunds import read_books, read_ledgers
from refunds.reconciliation.store import SENT_SINCE
from refunds.refunds.queries import CLAIM, UNFINISHED, select_payments, select_refunds
from refunds.refunds.statements import BY_KEY
from suite_local.ports import free_port
from tests.bench.figures import figure
from tests.bench.rig import Servers, fetch, process, reference, servers, wait_for
from tests.support.servers import eventually

REFUNDS = int(os.environ.get("BENCH_REFUNDS", "300"))
ROUNDS = int(os.environ.get("BENCH_REFUND_ROUNDS", "5"))
FINISHED = int(os.environ.get("BENCH_FINISHED", "1000000"))
CONNECTIONS = 16

_OPEN = "SELECT EXISTS (SELECT 1 FROM refunds WHERE state NOT IN (5, 9, 10, 11))"
SEED = """
INSERT INTO payments (payment_id, gateway, captured, currency, captured_at, reserved)
SELECT 'old-' || n, 'trust', 10000, 'RUB', now(), 10000 FROM generate_series(1, $1) AS n
"""
SEED_REFUNDS = """
INSERT INTO refunds (id, business_key, order_number, payment_id, amount, currency, reason, state, version, attempt, reserved,
                     created_at, state_since)
SELECT gen_random_uuid(), 'old-' || n, 'N' || n, 'old-' || n, 10000, 'RUB', 'old', 5, 4, 1, 10000,
       now() - interval '40 days', now() - interval '40 days'
FROM generate_series(1, $1) AS n
"""
SEED_ATTEMPTS = """
INSERT INTO refund_attempts (refund_id, attempt, gateway, gateway_key, began_at, sent_at, gateway_refund_id)
SELECT id, 1, 'trust', 'key-' || business_key, created_at, created_at, 'trust-' || business_key FROM refunds WHERE reason = 'old'
"""
SEED_HISTORY = """
INSERT INTO refund_history (refund_id, version, attempt, state_before, state_after, happened, actor, detail, at)
SELECT id, v, 1, NULL, 5, 'seeded', 'bench', '', created_at FROM refunds, generate_series(1, 4) AS v WHERE reason = 'old'
"""


async def main() -> None:
    """Measure, fill, measure again."""
    async with servers("refunds") as stand:
        with tempfile.TemporaryDirectory(prefix="suite-bench-") as directory, ExitStack() as stack:
            trust = stack.enter_context(sandbox())
            ours = stack.enter_context(service(stand, Path(directory), trust))
            bare, _ = stack.enter_context(reference("refund_worker", "PORT", stand.dsn, trust))
            empty, ratios = await compare(stand, trust, ours, bare)
            low, _, high = quantiles(ratios, n=4)
            figure("refunds", "service: refunds/s from request to gateway call", round(median(empty)), refunds=REFUNDS)
            figure("refunds", "service / bare", round(median(ratios), 2), middle_half=f"{low:.2f}–{high:.2f}")
            figure("refunds", "checker: something is wrong", await verdict(stand.dsn, trust), goal=0)
            seconds = await fill(stand.dsn)
            full, ratios_full = await compare(stand, trust, ours, bare)
            figure(
                "refunds",
                f"service / bare with {FINISHED:,} finished",
                round(median(ratios_full), 2),
                refunds_per_s=round(median(full)),
                filled_in_s=round(seconds),
            )
            figure("refunds", "with / without finished ones", round(median(ratios_full) / median(ratios), 2), goal=0.9)
            await plans(stand.dsn)


async def compare(stand: Servers, trust: str, ours: str, bare: str) -> tuple[list[float], list[float]]:
    """Return our rates, and ours over the reference's, round by round."""
    rates: list[float] = []
    ratios: list[float] = []
    await load(trust, ours, REFUNDS // 5)
    for _ in range(ROUNDS):
        rate = await load(trust, ours, REFUNDS)
        rates.append(rate)
        ratios.append(rate / await load(trust, bare, REFUNDS))
        await settled(stand.dsn)
    return rates, ratios


async def load(trust: str, url: str, count: int) -> float:
    """Ask for so many refunds, one payment each; return how many a second were made at the gateway, from the first request on."""
    run = uuid4().hex[:8]
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer internal-token"}) as session:
        for number in range(count):
            path = f"{trust}/sandbox/trust/payments/{run}-{number}"
            async with session.put(path, json={"captured": 10_000, "polls": 0}) as answer:
                await answer.read()
        async with session.delete(f"{trust}/sandbox/trust/log") as answer:
            await answer.read()
        room = asyncio.Semaphore(CONNECTIONS)

        async def want(number: int) -> None:
            body = {
                "order_number": f"N-{run}",
                "payment_id": f"{run}-{number}",
                "amount": 10_000,
                "currency": "RUB",
                "reason": "bench",
                "business_key": f"{run}-{number}",
            }
            async with room, session.post(f"{url}/refunds/v1/refunds", json=body) as answer:
                if answer.status != 202:
                    raise RuntimeError(f"a request was answered {answer.status}: {await answer.text()}")

        began = time.monotonic()
        await asyncio.gather(*(want(number) for number in range(count)))
        while True:
            async with session.get(f"{trust}/sandbox/trust/log") as answer:
                made = sum(one["operation"] == "start_refund" for one in (await answer.json())["items"])
            if made >= count:
                return count / (time.monotonic() - began)
            if time.monotonic() - began > 120:
                raise RuntimeError(f"only {made} of {count} refunds reached the gateway")
            await asyncio.sleep(0.02)


async def settled(dsn: str) -> None:
    """Wait until every refund is over, so that rounds do not work for each other."""
    connection = await asyncpg.connect(dsn)

    async def all_over() -> bool:
        return not await connection.fetchval(_OPEN)

    try:
        await eventually(all_over, within=120, what="every refund is over")
    finally:
        await connection.close()


async def fill(dsn: str) -> float:
    """Put the finished ones in; return how long it took."""
    began = time.monotonic()
    connection = await asyncpg.connect(dsn, command_timeout=280)
    try:
        async with connection.transaction():
            await connection.execute("ALTER TABLE refunds DISABLE TRIGGER refunds_keep_reserved")
            await connection.execute(SEED, FINISHED)
            await connection.execute(SEED_REFUNDS, FINISHED)
            await connection.execute(SEED_ATTEMPTS)
            await connection.execute(SEED_HISTORY)
            await connection.execute("ALTER TABLE refunds ENABLE TRIGGER refunds_keep_reserved")
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
    return time.monotonic() - began


async def plans(dsn: str) -> None:
    """Print how PostgreSQL finds what the service asks all the time; none may read the whole table."""
    nothing: dict[str, Any] = {"state": None, "order": None, "error": None, "payment": None, "newest_first": True}
    asked = {
        "claim": (CLAIM, ["now()", "16", "'bench'", "now()"]),
        "gauges": (UNFINISHED, []),
        "errors": _written(*select_refunds(**{**nothing, "state": 7, "newest_first": False}, limit=100)),
        "of an order": _written(*select_refunds(**{**nothing, "order": "N77"}, limit=50)),
        "of a payment": _written(*select_refunds(**{**nothing, "payment": "pay-77"}, limit=50)),
        "payments of an order": _written(*select_payments(payment=None, order="N77", after=None, limit=50)),
        "by key": (BY_KEY, ["'old-77'"]),
        "reconciled since": (SENT_SINCE, ["now() - interval '2 days'", "now()", "NULL", "200"]),
    }
    connection = await asyncpg.connect(dsn)
    try:
        for name, (statement, values) in asked.items():
            text = statement
            for number in range(len(values), 0, -1):
                text = text.replace(f"${number}", values[number - 1])
            async with connection.transaction():
                rows = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}")
            plan = json.loads(rows[0][0])[0]
            scans = [node for node in _nodes(plan["Plan"]) if "Scan" in str(node["Node Type"])]
            whole = [node for node in scans if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "refunds"]
            by = ", ".join(sorted({str(node.get("Index Name", node["Node Type"])) for node in scans}))
            took = round(plan["Execution Time"], 2)
            figure("refunds", f"plan: {name}, whole table read", len(whole), goal=0, ms=took, by=by)
    finally:
        await connection.close()


def _written(statement: str, values: Sequence[Any]) -> tuple[str, list[str]]:
    return statement, [f"'{value}'" if isinstance(value, str) else str(value) for value in values]


def _nodes(plan: dict[str, object]) -> Iterator[dict[str, object]]:
    yield plan
    inner = plan.get("Plans", [])
    for child in inner if isinstance(inner, list) else []:
        yield from _nodes(child)


async def verdict(dsn: str, trust: str) -> int:
    """Return how much `check-refunds` would find; what the reference paid is none of ours and left out."""
    entries, (payouts, captured) = await read_books(dsn), await read_ledgers(trust)
    ours = {key for entry in entries for key in entry.keys}
    return len(check(entries, [one for one in payouts if one.key in ours], captured=captured, accepted=[]))


@contextmanager
def sandbox() -> Iterator[str]:
    """Run the outside world; give its address."""
    port, smtp = free_port(), free_port()
    with process([sys.executable, "-m", "sandbox", "--port", str(port), "--smtp-port", str(smtp)]) as child:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: fetch(url + "/livez"), child)
        yield url


@contextmanager
def service(stand: Servers, directory: Path, trust: str) -> Iterator[str]:
    """Run `python -m refunds serve` as production does; give its address when it is ready."""
    tokens = directory / "tokens.json"
    tokens.write_text(json.dumps({"tokens": [{"name": "machine", "token": "internal-token", "role": "internal"}]}))
    port = free_port()
    environment = {
        "REFUNDS_PORT": str(port),
        "REFUNDS_POSTGRES_DSN": stand.dsn,
        "REFUNDS_AMQP_URL": stand.amqp_url,
        "REFUNDS_TOKENS_FILE": str(tokens),
        "REFUNDS_TRUST_URL": trust,
        "REFUNDS_TRUST_SERVICE_TOKEN": "token",
    }
    url = f"http://127.0.0.1:{port}"
    with process([sys.executable, "-m", "refunds", "serve"], environment) as child:
        wait_for(lambda: fetch(url + "/readyz"), child)
        yield url


if __name__ == "__main__":
    asyncio.run(main())
