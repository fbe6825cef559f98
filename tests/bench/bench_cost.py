"""P8: what a hook costs, in processor time by program and bytes on disk, the whole suite at two ordinary paces; and the suite idle.

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

from suite_local.testing import running_suite
from tests.bench.engine_rig import LIFE, waves
from tests.bench.figures import figure
from tests.bench.goals import AIMS
from tests.bench.rig_suite import spent, used

PACES = (25.0, 100.0)
"""Hooks a second."""
SECONDS = float(os.environ.get("BENCH_COST_SECONDS", "15"))
WARM_S, CALM_S, REST_S = 4.0, 3.0, 10.0
"""Seconds: hooks that nobody measures; for what is under way to end; for the notices of one order, which chats take at their pace."""
_KEPT = "SELECT pg_database_size(current_database()) - pg_total_relation_size('outbox')"
DATABASES = ("webhook-gateway", "orchestrator", "notifier")


def main() -> None:
    """Start the whole suite and measure it."""
    with tempfile.TemporaryDirectory(prefix="suite-bench-") as directory, running_suite(Path(directory)) as suite:
        asyncio.run(measure(suite))


async def measure(suite: dict[str, Any]) -> None:
    """Let it lie idle, send whole lives of orders at each pace, and print what they cost; then what they left in the databases."""
    await hooks(suite, 25.0, len(LIFE) / 25.0, prefix="first")
    await asyncio.sleep(REST_S)  # more orders, and the notifier would be sending all the time that is called idle
    before = used(suite)
    await asyncio.sleep(SECONDS)
    idle = spent(before, used(suite), 1 / SECONDS, digits=4)
    figure(
        "P8",
        "idle suite: share of a core",
        round(sum(idle.values()), 3),
        goal=AIMS["idle suite, share of a core"],
        **idle,
    )
    await hooks(suite, 25.0, WARM_S, prefix="warm")
    await asyncio.sleep(CALM_S)
    sizes, sent = await stored(suite), 0
    for pace in PACES:
        before, began = used(suite), time.monotonic()
        count = await hooks(suite, pace, SECONDS, prefix=f"at{pace:g}")
        await asyncio.sleep(CALM_S)
        seconds, after = time.monotonic() - began, used(suite)
        sent += count
        for_a_hook = spent(before, after, 1000 / count, digits=2)
        figure(
            "P8",
            f"at {pace:g} hooks/s: processor time for a hook, ms",
            round(sum(for_a_hook.values()), 2),
            goal=AIMS[f"processor time of a hook at {pace:g}/s, ms"],
            hooks=count,
            cores=round((sum(after.values()) - sum(before.values())) / seconds, 2),
            **for_a_hook,
        )
    grown = {name: round((size - sizes[name]) / sent) for name, size in (await stored(suite)).items()}
    shares = {name.replace("-", "_"): share for name, share in grown.items()}
    figure("P8", "bytes on disk for a hook", sum(grown.values()), goal=AIMS["bytes on disk for a hook"], **shares)


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


async def stored(suite: dict[str, Any]) -> dict[str, int]:
    """The size of each database without its outbox, whose rows are gone in a moment and leave their place to the next."""
    sizes: dict[str, int] = {}
    for name in DATABASES:
        connection = await asyncpg.connect(suite["databases"][name])
        try:
            sizes[name] = await connection.fetchval(_KEPT)
        finally:
            await connection.close()
    return sizes


if __name__ == "__main__":
    main()
