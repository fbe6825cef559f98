"""P3: what one tips process answers, beside a bare aiohttp + asyncpg handler that does the same reads.

All run all the time and are loaded in turn, round by round; a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from tests.bench.figures import figure
from tests.bench.goals import AIMS
from tests.bench.rig import Load, cpu_seconds, reference
from tests.bench.rig_tips import orders_database, tips, wrk_tips

SECONDS = int(os.environ.get("BENCH_SECONDS", "2"))
ROUNDS = int(os.environ.get("BENCH_TIPS_ROUNDS", "7"))
CONNECTIONS = 32
ENDPOINTS = {
    "set-tips-sum": ("set", "S"),
    "set-tips-sum that writes": ("set", "W"),
    "need-hold-tips": ("hold", "S"),
}


@dataclass
class Contestant:
    """One server, and what its rounds showed, by endpoint. Processor time for each call is its own, in microseconds."""

    url: str
    pid: int
    loads: dict[str, list[Load]] = field(default_factory=dict)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)

    async def round(self, endpoint: str) -> None:
        """Load one endpoint once."""
        what, prefix = ENDPOINTS[endpoint]
        before = cpu_seconds(self.pid)
        load = await wrk_tips(self.url, what, prefix, seconds=SECONDS, connections=CONNECTIONS)
        self.loads.setdefault(endpoint, []).append(load)
        self.cpu_us.setdefault(endpoint, []).append((cpu_seconds(self.pid) - before) / max(1, load.requests) * 1e6)


async def main() -> None:
    """Print each endpoint's rate as a multiple of the bare handler's."""
    async with orders_database() as dsn:
        with tempfile.TemporaryDirectory(prefix="suite-bench-") as directory, ExitStack() as stack:

            def started(server: AbstractContextManager[tuple[str, subprocess.Popen[str]]]) -> Contestant:
                url, child = stack.enter_context(server)
                return Contestant(url, child.pid)

            feedback = started(reference("feedback_server", "PORT"))
            ours = started(tips(dsn, feedback.url, Path(directory)))
            bare = started(reference("tips_server", "PORT", dsn, feedback.url))
            for each in (ours, bare):
                for what, prefix in ENDPOINTS.values():
                    await wrk_tips(each.url, what, prefix, seconds=1, connections=CONNECTIONS)
            for _ in range(ROUNDS):
                for endpoint in ENDPOINTS:
                    for each in (ours, bare):
                        await each.round(endpoint)
    report(ours, bare)


def report(ours: Contestant, bare: Contestant) -> None:
    """Print the figures."""
    for endpoint in ENDPOINTS:
        for name, each in (("tips", ours), ("bare", bare)):
            loads = each.loads[endpoint]
            figure(
                "P3",
                f"{endpoint}, {name}: requests/s",
                round(median(load.rate for load in loads)),
                p50_ms=round(median(load.p50_ms for load in loads), 2),
                p99_ms=round(median(load.p99_ms for load in loads), 2),
                cpu_us=round(median(each.cpu_us[endpoint])),
                refused=sum(load.not_2xx + load.socket_errors for load in loads),
            )
        ratios = [
            mine.rate / other.rate for mine, other in zip(ours.loads[endpoint], bare.loads[endpoint], strict=True)
        ]
        low, _, high = quantiles(ratios, n=4)
        figure(
            "P3",
            f"{endpoint}: tips / bare",
            round(median(ratios), 2),
            goal=AIMS["tips / bare"],
            middle_half=f"{low:.2f}–{high:.2f}",
        )


if __name__ == "__main__":
    asyncio.run(main())
