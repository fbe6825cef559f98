"""P2 and P5: the workflow engine alone beside DBOS and pgqueuer, and the whole orchestrator from a full queue to committed state.

*Engine alone*: five transitions a lifecycle, each committed before the next, an empty handler; the peers do the same lifecycle on the same
PostgreSQL, in turn, round by round, two processes each. *Whole*: two orchestrators as production runs them take hooks from RabbitMQ, in
waves, so that each event is a transition of its own, with inbox, orders, stock, timeline and outbox; then once more on a database
that holds a million finished orders. After each round `check-orders` has to find nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import aio_pika
import asyncpg
import psutil

from common.messaging import topology
from suite_local.paths import repository_root
from suite_local.testing import ServerAddresses, addresses_from
from tests.bench.engine_rig import LIVES, orchestrators, publish, seconds_until, series, waves
from tests.bench.figures import figure
from tests.bench.goals import AIMS
from tests.bench.peers import peer_python
from tests.bench.rig import Servers, broker_pid, cpu_seconds
from tests.support.servers import TestDatabases, TestRabbit

ROUNDS = int(os.environ.get("BENCH_ENGINE_ROUNDS", "3"))
LIFECYCLES = int(os.environ.get("BENCH_LIFECYCLES", "8000"))
ORDERS = int(os.environ.get("BENCH_ORDERS", "3000"))
FINISHED = int(os.environ.get("BENCH_FINISHED_ORDERS", "1000000"))
PEERS = {"pgqueuer": 400, "dbos": 150}
"""Lifecycles of a round: so many that each takes a few seconds."""
PROCESSES = 2
BATCH = 200

_FILL = """
WITH made AS (
    INSERT INTO workflow (order_number, kind, last_seq) SELECT 'N' || n, 'order_life', 5 FROM generate_series(1, $1) AS n RETURNING id
), events AS (
    INSERT INTO workflow_event (workflow_id, seq, type, event_id, attributes, payload, received_at)
    SELECT id, n, 'order.changed', id || ':' || n, '{}', '{}', now() FROM made, generate_series(1, 5) AS n
)
INSERT INTO workflow_ready (workflow_id) SELECT id FROM made
"""


async def main() -> None:
    """Measure all, one after the other."""
    addresses = addresses_from(os.environ)
    if addresses is None:
        sys.exit("run the benchmarks with `make bench`: it starts servers of their own")
    await engine_alone(TestDatabases(addresses.postgres_dsn))
    await whole(addresses)


async def engine_alone(databases: TestDatabases) -> None:
    """Print our transitions a second, and as a multiple of each peer's."""
    seen: dict[str, list[float]] = {name: [] for name in ("engine", *PEERS)}
    for _ in range(ROUNDS):
        async with databases.migrated("orchestrator") as dsn:
            connection = await asyncpg.connect(dsn)
            await connection.execute(_FILL, LIFECYCLES)
            await connection.execute("VACUUM ANALYZE")
            await connection.close()
            worker = [sys.executable, "-m", "tests.bench.references.engine_worker", dsn, "2", str(BATCH)]
            seen["engine"].append(transitions([worker] * PROCESSES))
        for name, lifecycles in PEERS.items():
            async with databases.empty(name) as dsn:
                program = str(repository_root() / "tests" / "bench" / "references" / f"{name}_lifecycle.py")
                share = str(lifecycles // PROCESSES)
                seen[name].append(
                    transitions([[peer_python(), program, dsn, share, str(index)] for index in range(PROCESSES)])
                )
    for name, rates in seen.items():
        goal = AIMS["engine alone, transitions/s"] if name == "engine" else None
        figure(
            "P2",
            f"{name} alone: transitions/s",
            round(median(rates)),
            goal=goal,
            rounds=[round(rate) for rate in rates],
        )
    for name in ("dbos", "pgqueuer"):
        ratios = [ours / theirs for ours, theirs in zip(seen["engine"], seen[name], strict=True)]
        figure("P2", f"engine alone / {name}", round(median(ratios), 1), goal=AIMS[f"engine alone / {name}"])


def transitions(commands: Sequence[Sequence[str]]) -> float:
    """Start the programs, let them begin together, and return their transitions a second until the last has ended."""
    children: list[subprocess.Popen[str]] = []
    try:
        for command in commands:
            children.append(
                subprocess.Popen(
                    command, cwd=repository_root(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            while _line(children[-1]).strip() != "ready":
                continue
        started = time.perf_counter()
        for child in children:
            _tell(child)
        done = sum(int(json.loads(_line(child))["transitions"]) for child in children)
        return done / (time.perf_counter() - started)
    finally:
        for child in children:
            child.kill()
            child.wait()


def _tell(child: subprocess.Popen[str]) -> None:
    if child.stdin is None:
        raise RuntimeError("the program was started with pipes")
    child.stdin.write("\n")
    child.stdin.flush()


def _line(child: subprocess.Popen[str]) -> str:
    if child.stdout is None:
        raise RuntimeError("the program was started with pipes")
    line = child.stdout.readline()
    if not line:
        raise RuntimeError(f"{child.args!r} ended before it was done")
    return line


async def whole(addresses: ServerAddresses) -> None:
    """Print the whole orchestrator's events a second, on an empty database and on a full one."""
    databases = TestDatabases(addresses.postgres_dsn)
    rabbit = TestRabbit(addresses.amqp_url, addresses.rabbitmq_api)
    seen: dict[str, list[float]] = {"empty": [], "full": []}
    told: dict[str, list[float]] = {"py_us": [], "pg_us": [], "broker_us": [], "drained": []}
    async with AsyncExitStack() as stack:
        dsns = {name: await stack.enter_async_context(databases.migrated("orchestrator")) for name in seen}
        fill = [sys.executable, str(repository_root() / "tests/support/big_database.py"), dsns["full"], str(FINISHED)]
        told_seconds = await asyncio.to_thread(subprocess.run, fill, check=True, stdout=subprocess.PIPE, text=True)
        figure("P5", "finished orders filled in, s", float(told_seconds.stdout), orders=FINISHED)
        for round_ in range(ROUNDS):
            for name, dsn in dsns.items():
                async with rabbit.virtual_host() as amqp_url:
                    async with await aio_pika.connect(amqp_url) as connection:
                        await topology.declare(await connection.channel())
                    rate, costs = await one_run(Servers(dsn, amqp_url), prefix=f"{name}{round_}")
                seen[name].append(rate)
                if name == "empty":
                    for key, value in costs.items():
                        told[key].append(value)
                    check_orders(dsn)
    figure(
        "P2",
        "whole orchestrator: events/s from queue to committed state and outbox",
        round(median(seen["empty"])),
        goal=AIMS["orchestrator, events/s"],
        rounds=[round(rate) for rate in seen["empty"]],
        until_published=round(median(told["drained"])),
    )
    spent = {name: round(median(told[name])) for name in ("py_us", "pg_us", "broker_us")}
    figure(
        "P2",
        "whole orchestrator: processor time of an event, µs",
        sum(spent.values()),
        goal=AIMS["orchestrator, processor time of an event, µs"],
        **spent,
    )
    ratios = [full / empty for full, empty in zip(seen["full"], seen["empty"], strict=True)]
    goal = AIMS["with 1,000,000 finished orders / with none"]
    figure("P5", f"with {FINISHED} finished orders / with none", round(median(ratios), 2), goal=goal)


async def one_run(servers: Servers, *, prefix: str) -> tuple[float, dict[str, float]]:
    """Fill the queue, start the orchestrators, return their events a second, and what an event costs each part, in microseconds."""
    total = await publish(servers.amqp_url, waves(ORDERS, prefix=prefix))
    broker = broker_pid(servers.amqp_url)
    with (
        tempfile.TemporaryDirectory(prefix="suite-bench-") as directory,
        orchestrators(servers, Path(directory), PROCESSES) as running,
    ):
        urls = [url for url, _ in running]
        before = [cpu_seconds(child.pid) for _, child in running]
        broker_before, postgres_before = cpu_seconds(broker), _postgres_seconds()
        already, started = sum(series(url, LIVES) for url in urls), time.perf_counter()
        seconds = seconds_until(urls, LIVES, total, since=started)
        events = total - already
        if events < total / 2:
            raise RuntimeError(f"{already:g} of {total} hooks were done before both were ready: raise BENCH_ORDERS")
        costs = {
            "py_us": sum(cpu_seconds(child.pid) - cpu for (_, child), cpu in zip(running, before, strict=True)),
            "pg_us": _postgres_seconds() - postgres_before,
            "broker_us": cpu_seconds(broker) - broker_before,
        }
        drained = seconds_until(urls, "outbox_published_total", total, since=started)
        return events / seconds, {
            **{name: cpu / events * 1e6 for name, cpu in costs.items()},
            "drained": events / drained,
        }


def check_orders(dsn: str) -> None:
    """Nothing may be lost or done twice for speed."""
    command = [sys.executable, "-m", "orchestrator", "check-orders", "--postgres-dsn", dsn, "--wait", "10"]
    done = subprocess.run(command, cwd=repository_root(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"check-orders: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def _postgres_seconds() -> float:
    total = 0.0
    for each in psutil.process_iter(["name"]):
        if each.info["name"] == "postgres":
            try:
                times = each.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
    return total


if __name__ == "__main__":
    asyncio.run(main())
