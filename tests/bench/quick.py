"""What a change is likely to hurt, in under five minutes: P1 to P4 and P8, each for some seconds. `make bench-quick` runs it.

With `BENCH_BASE`, another checkout with its `.venv`, the programs of both run side by side and are measured in turn, pair by pair,
each first as often as second; what is shown is the median of the pairs' ratios, and in words what is more than noise. Each checkout
starts its programs itself (`contestant.py`); what loads and measures them is this checkout's, for both alike.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import asyncpg

from suite_local.benchmarks import compare
from suite_local.paths import repository_root
from tests.bench.bench_cost import REST_S, hooks
from tests.bench.bench_order_latency import Run
from tests.bench.figures import figure, percentile
from tests.bench.rig import cpu_seconds, wrk
from tests.bench.rig_suite import spent, used
from tests.bench.rig_tips import wrk_tips

PAIRS = int(os.environ.get("BENCH_PAIRS") or 4)
SECONDS = 2
EVENTS_OF = 800
"""Orders of a round of the whole orchestrator; five events each."""
IDLE_S, PACED_S = 8.0, 5.0
CONNECTIONS = 32
_READY_S = 120.0


@dataclass
class Checkout:
    """A tree and what its programs showed, round by round: (goal, figure) → values."""

    name: str
    root: Path
    seen: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def python(self) -> Path:
        """The interpreter that its programs are started with."""
        return self.root / ".venv" / "bin" / "python"

    def add(self, goal: str, what: str, value: float) -> None:
        """Keep a round's figure."""
        self.seen[goal, what].append(value)

    def round(self, number: int) -> list[dict[str, object]]:
        """Return the figures of one round."""
        return [
            {"of": goal, "figure": what, "value": values[number]}
            for (goal, what), values in self.seen.items()
            if number < len(values)
        ]

    @asynccontextmanager
    async def started(self, part: str) -> AsyncIterator[Contestant]:
        """Start a part of its programs; they end with the block."""
        child = await asyncio.create_subprocess_exec(
            str(self.python),
            str(Path(__file__).with_name("contestant.py")),
            part,
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**20,
        )
        contestant = Contestant(self, child)
        try:
            contestant.said = await contestant.line()
            yield contestant
        finally:
            if child.stdin is not None:
                child.stdin.close()
            await asyncio.wait_for(child.wait(), 60)


@dataclass
class Contestant:
    """A part of a checkout's programs that runs, and what it said of itself."""

    of: Checkout
    child: asyncio.subprocess.Process
    said: dict[str, Any] = field(default_factory=dict)

    async def line(self) -> dict[str, Any]:
        """Return the next line that it prints. ``RuntimeError`` when it ends instead."""
        if self.child.stdout is None:
            raise RuntimeError("it was started with pipes")
        async with asyncio.timeout(_READY_S):
            while line := await self.child.stdout.readline():
                if line.startswith(b"{"):  # programs may say more than that
                    said: dict[str, Any] = json.loads(line)
                    return said
        raise RuntimeError(f"the programs of {self.of.root} ended by themselves")

    async def round(self, name: str) -> dict[str, Any]:
        """Have it do a round, and return what that showed."""
        if self.child.stdin is None:
            raise RuntimeError("it was started with pipes")
        self.child.stdin.write(f"{name}\n".encode())
        await self.child.stdin.drain()
        return await self.line()


async def main() -> None:
    """Measure part by part, and print every figure; with a base also the ratios, and what they mean."""
    checkouts = [Checkout("new", repository_root())]
    if base := os.environ.get("BENCH_BASE"):
        checkouts.append(Checkout("base", Path(base).resolve()))
    for each in checkouts:
        if not each.python.exists():
            sys.exit(f"BENCH_BASE: there is no {each.python}: run `make -C {each.root} setup`")
    began = time.monotonic()
    for part, measure in (("gateway", p1), ("engine", p2), ("tips", p3), ("suite", p4_and_p8)):
        async with AsyncExitStack() as stack:
            starting = (stack.enter_async_context(each.started(part)) for each in checkouts)
            await measure(await asyncio.gather(*starting))
    show(checkouts)
    figure("–", "bench-quick: seconds", round(time.monotonic() - began), goal=300, checkouts=len(checkouts))


def in_turn(contestants: Sequence[Contestant]) -> list[Contestant]:
    """Return all rounds: everybody in each, first as often as last."""
    return [
        each for number in range(PAIRS) for each in (contestants if number % 2 == 0 else list(reversed(contestants)))
    ]


async def p1(contestants: Sequence[Contestant]) -> None:
    """Hooks over 32 connections against one gateway process."""
    for each in contestants:
        await wrk(each.said["url"], seconds=1, connections=CONNECTIONS)
    for each in in_turn(contestants):
        own, broker = cpu_seconds(each.said["pid"]), cpu_seconds(each.said["broker"])
        load = await wrk(each.said["url"], seconds=SECONDS, connections=CONNECTIONS)
        work = cpu_seconds(each.said["pid"]) - own + cpu_seconds(each.said["broker"]) - broker
        each.of.add("P1", "gateway: hooks/s", load.rate)
        each.of.add("P1", "gateway and broker: processor time for a hook, µs", work / load.requests * 1e6)
        each.of.add("P1", "gateway: p99, ms", load.p99_ms)


async def p2(contestants: Sequence[Contestant]) -> None:
    """The whole orchestrator, from the first hook in the queue to the last one's committed state."""
    for number, each in enumerate(in_turn(contestants)):
        said = await each.round(f"{number} {EVENTS_OF}")
        each.of.add("P2", "whole orchestrator: events/s", said["rate"])
        each.of.add("P2", "orchestrators and broker: processor time for an event, µs", said["us"])


async def p3(contestants: Sequence[Contestant]) -> None:
    """What tips answers when it writes, and when it only reads."""
    asked = {"set-tips-sum that writes": ("set", "W"), "need-hold-tips": ("hold", "S")}
    for each in contestants:
        for what, prefix in asked.values():
            await wrk_tips(each.said["url"], what, prefix, seconds=1, connections=CONNECTIONS)
    for each in in_turn(contestants):
        for endpoint, (what, prefix) in asked.items():
            load = await wrk_tips(each.said["url"], what, prefix, seconds=1, connections=CONNECTIONS)
            each.of.add("P3", f"tips, {endpoint}: requests/s", load.rate)
            each.of.add("P3", f"tips, {endpoint}: p99, ms", load.p99_ms)


async def p4_and_p8(contestants: Sequence[Contestant]) -> None:
    """The whole suite: idle (all at once, each by its own programs), at 25 hooks a second, and how long a new order takes at 100/s."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        runs = {}
        for each in contestants:
            pool = asyncpg.create_pool(each.said["databases"]["notifier"], min_size=4, max_size=8)
            runs[each.of.name] = Run(each.said, session, await stack.enter_async_context(pool))
            await hooks(each.said, 25.0, 0.2, prefix="first")
        await asyncio.sleep(REST_S)
        before = [used(each.said) for each in contestants]
        await asyncio.sleep(IDLE_S)
        for each, was in zip(contestants, before, strict=True):
            _add_programs(each.of, "idle suite, share of a core", spent(was, used(each.said), 1 / IDLE_S, digits=4))
        for each in contestants:
            await hooks(each.said, 25.0, 3.0, prefix="warm")
            await runs[each.of.name].orders(100.0, 2.0, prefix="w")
        await asyncio.sleep(3)
        for number, each in enumerate(in_turn(contestants)):
            was = used(each.said)
            count = await hooks(each.said, 25.0, PACED_S, prefix=f"c{number}")
            await asyncio.sleep(1)
            _add_programs(
                each.of,
                "at 25 hooks/s, processor time for a hook, ms",
                spent(was, used(each.said), 1000 / count, digits=3),
            )
        for number, each in enumerate(in_turn(contestants)):
            run = runs[each.of.name]
            run.forget()
            await run.orders(100.0, PACED_S, prefix=f"o{number}-")
            for what, waits in run.waits.items():
                for percent in (50, 99):
                    each.of.add("P4", f"{what}, p{percent}, ms", percentile(waits, percent) * 1000)


def _add_programs(checkout: Checkout, what: str, programs: dict[str, float]) -> None:
    checkout.add("P8", what, sum(programs.values()))
    for name, value in programs.items():
        checkout.add("P8", f"{what}: {name}", value)


def show(checkouts: Sequence[Checkout]) -> None:
    """Print the medians, and beside a base the ratios and what they mean."""
    new, *bases = checkouts
    for (goal, what), values in new.seen.items():
        figure(goal, what, round(median(values), 3), rounds=[round(value, 3) for value in values])
    for base in bases:
        for line in compare([(new.round(number), base.round(number)) for number in range(PAIRS)]):
            print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
