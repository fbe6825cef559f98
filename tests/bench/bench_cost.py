"""What a hook costs: processor time by program and bytes on disk, with the whole suite at two ordinary paces (docs/scaling.md).

Processor time is what an answer about capacity can be built on: unlike a rate it hardly depends on who else uses the machine.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil

from suite_local.testing import running_suite
from tests.bench.engine_rig import LIFE, waves
from tests.bench.figures import figure

PACES = (25.0, 100.0)
SECONDS = float(os.environ.get("BENCH_COST_SECONDS", "15"))
WARM_S, CALM_S = 4.0, 3.0
DATABASES = ("webhook-gateway", "orchestrator", "notifier")


def main() -> None:
    """Start the whole suite and measure it."""
    with tempfile.TemporaryDirectory(prefix="suite-bench-") as directory, running_suite(Path(directory)) as suite:
        asyncio.run(measure(suite))


async def measure(suite: dict[str, Any]) -> None:
    """Send whole lives of orders at each pace and print what they cost; then what they left in the databases."""
    await hooks(suite, 25.0, WARM_S, prefix="warm")
    sizes, sent = await stored(suite), 0
    for pace in PACES:
        await asyncio.sleep(CALM_S)
        before, began = used(suite), time.monotonic()
        count = await hooks(suite, pace, SECONDS, prefix=f"at{pace:g}")
        await asyncio.sleep(CALM_S)
        seconds, after = time.monotonic() - began, used(suite)
        sent += count
        spent = {name: round((after[name] - before[name]) / count * 1000, 2) for name in sorted(after)}
        figure(
            "cost",
            f"at {pace:g} hooks/s: processor time for a hook, ms",
            round(sum(spent.values()), 2),
            hooks=count,
            cores=round((sum(after.values()) - sum(before.values())) / seconds, 2),
            **{name.replace("-", "_"): value for name, value in spent.items()},
        )
    for name, size in (await stored(suite)).items():
        figure("cost", f"{name}: bytes on disk for a hook", round((size - sizes[name]) / sent))


async def hooks(suite: dict[str, Any], pace: float, seconds: float, *, prefix: str) -> int:
    """Send whole lives of orders, hook by hook, at a fixed pace; returns how many hooks were taken."""
    url = suite["services"]["webhook-gateway"]["url"] + "/hooks/v1/sbermarket"
    headers = {"Client-token": suite["tokens"]["marketplace"], "Content-Type": "application/json"}
    start, taken = time.monotonic(), 0
    async with aiohttp.ClientSession(headers=headers) as session:
        for turn, each in enumerate(waves(int(pace * seconds / len(LIFE)), prefix=prefix)):
            await asyncio.sleep(max(0.0, start + turn / pace - time.monotonic()))
            async with session.post(url, data=each.body) as answer:
                await answer.read()
                taken += answer.status == 200
    return taken


def used(suite: dict[str, Any]) -> dict[str, float]:
    """Processor seconds that each program has used so far, its children's too."""
    pids = {name: service["pids"] for name, service in suite["services"].items()}
    pids |= {name: [suite["infrastructure"][name]["pid"]] for name in ("postgres", "rabbitmq")}
    return {name: sum(_seconds_of(psutil.Process(root)) for root in roots) for name, roots in pids.items()}


def _seconds_of(root: psutil.Process) -> float:
    """What a process and its children used, those that ended included."""
    total = 0.0
    for each in (root, *root.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    own = root.cpu_times()
    return total + own.children_user + own.children_system


async def stored(suite: dict[str, Any]) -> dict[str, int]:
    """The size of each database."""
    sizes: dict[str, int] = {}
    for name in DATABASES:
        connection = await asyncpg.connect(suite["databases"][name])
        try:
            sizes[name] = await connection.fetchval("SELECT pg_database_size(current_database())")
        finally:
            await connection.close()
    return sizes


if __name__ == "__main__":
    main()
