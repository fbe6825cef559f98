"""P1: hooks a second that one gateway process makes durable, beside bare aiohttp, FastAPI with FastStream, and an echo.

All publish to the same exchange, whose two quorum queues have the same idle consumers. Everybody runs all the time and is loaded in
turn, round by round; a figure is the median of the rounds' ratios. After the rounds every answer must be in both queues.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from tests.bench.figures import figure
from tests.bench.goals import AIMS
from tests.bench.peers import peer_python
from tests.bench.rig import IdleConsumers, Load, Servers, broker_pid, cpu_seconds, gateway, reference, servers, wrk

SECONDS = int(os.environ.get("BENCH_SECONDS", "2"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "12"))
PROCESSES = (1, 2, 4)
CONNECTIONS = 32


async def main() -> None:
    """Measure both, one after the other."""
    async with servers() as stand:
        with tempfile.TemporaryDirectory(prefix="suite-bench-") as directory:
            await compare(stand, Path(directory))
            await curve(stand, Path(directory))


@dataclass
class Contestant:
    """One server, and what its rounds showed. Processor time for each hook, its own and the broker's, is in microseconds."""

    url: str
    pid: int
    broker: int
    loads: list[Load] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    broker_us: list[float] = field(default_factory=list)

    async def round(self) -> None:
        """Load it once."""
        own, brokers = cpu_seconds(self.pid), cpu_seconds(self.broker)
        load = await wrk(self.url, seconds=SECONDS, connections=CONNECTIONS)
        self.loads.append(load)
        self.cpu_us.append((cpu_seconds(self.pid) - own) / load.requests * 1e6)
        self.broker_us.append((cpu_seconds(self.broker) - brokers) / load.requests * 1e6)

    @property
    def work_us(self) -> float:
        """What one hook costs the machine, load generator and consumers aside."""
        return median(self.cpu_us) + median(self.broker_us)


async def compare(stand: Servers, directory: Path) -> None:
    """Print the gateway's rate as a multiple of each reference's."""
    with ExitStack() as stack:
        consumers = stack.enter_context(IdleConsumers(stand.amqp_url))
        broker = broker_pid(stand.amqp_url)

        def started(server: AbstractContextManager[tuple[str, subprocess.Popen[str]]], path: str) -> Contestant:
            url, child = stack.enter_context(server)
            return Contestant(url + path, child.pid, broker)

        faststream = reference("faststream_server", "PORT", stand.amqp_url, python=peer_python())
        field_of = {
            "gateway": started(gateway(stand, directory), "/hooks/v1/sbermarket"),
            "gateway, hooks alone": started(
                gateway(stand, directory, replica="bench-alone", BATCH_HOOKS="false"), "/hooks/v1/sbermarket"
            ),
            "bare": started(reference("aiohttp_server", "bare", "PORT", stand.amqp_url), "/hook"),
            "faststream": started(faststream, "/hook"),
            "echo": started(reference("aiohttp_server", "echo", "PORT"), "/hook"),
        }
        for each in field_of.values():
            await wrk(each.url, seconds=1, connections=CONNECTIONS)
        before = settled(consumers)
        for _ in range(ROUNDS):
            for each in field_of.values():
                await each.round()
        answered = sum(load.requests for name, each in field_of.items() if name != "echo" for load in each.loads)
        arrived = consumers.settle(min(before.values()) + answered)
    for name, each in field_of.items():
        figure(
            "P1",
            f"{name}: hooks/s",
            round(median(load.rate for load in each.loads)),
            p50_ms=round(median(load.p50_ms for load in each.loads), 2),
            p99_ms=round(median(load.p99_ms for load in each.loads), 2),
            cpu_us=round(median(each.cpu_us)),
            broker_us=round(median(each.broker_us)),
            refused=sum(load.not_2xx + load.socket_errors for load in each.loads),
        )
    mine = field_of["gateway"]
    for name in ("bare", "faststream", "echo"):
        other = field_of[name]
        ratios = [ours.rate / theirs.rate for ours, theirs in zip(mine.loads, other.loads, strict=True)]
        low, _, high = quantiles(ratios, n=4)
        figure(
            "P1",
            f"gateway / {name}",
            round(median(ratios), 2),
            goal=AIMS[f"gateway / {name}"],
            middle_half=f"{low:.2f}–{high:.2f}",
        )
    alone = field_of["gateway, hooks alone"]
    figure(
        "P1",
        "gateway / the same with hooks alone: processor time for a hook, with the broker's",
        round(mine.work_us / alone.work_us, 2),
        process_alone=round(median(mine.cpu_us) / median(alone.cpu_us), 2),
        broker=round(median(mine.broker_us) / median(alone.broker_us), 2),
    )
    bare = field_of["bare"]
    work = mine.work_us / bare.work_us
    own = median(mine.cpu_us) / median(bare.cpu_us)
    figure(
        "P1",
        "gateway / bare: processor time for a hook, with the broker's",
        round(work, 2),
        goal=AIMS["gateway / bare, processor time of a hook"],
        process_alone=round(own, 2),
    )
    lost = max(0, *(answered - (count - before[queue]) for queue, count in arrived.items()))
    figure("P1", "answered and not in both queues", lost, goal=0, answered=answered)


async def curve(stand: Servers, directory: Path) -> None:
    """Print the rate of several gateway processes as a multiple of one's, the same 32 connections spread over them."""
    seen: dict[int, list[float]] = {count: [] for count in PROCESSES}
    with ExitStack() as stack:
        stack.enter_context(IdleConsumers(stand.amqp_url))
        urls = [
            stack.enter_context(gateway(stand, directory, replica=f"bench-{number}"))[0]
            for number in range(1, max(PROCESSES) + 1)
        ]
        addresses = [f"{url}/hooks/v1/sbermarket" for url in urls]
        await asyncio.gather(*(wrk(address, seconds=1, connections=8) for address in addresses))
        for _ in range(ROUNDS):
            for count in PROCESSES:
                loads = await asyncio.gather(
                    *(wrk(url, seconds=SECONDS, connections=CONNECTIONS // count) for url in addresses[:count])
                )
                seen[count].append(sum(load.rate for load in loads))
    for count in PROCESSES:
        ratios = [many / one for many, one in zip(seen[count], seen[1], strict=True)]
        figure("P1", f"{count} processes / 1 process", round(median(ratios), 2), hooks_per_s=round(median(seen[count])))


def settled(consumers: IdleConsumers) -> dict[str, int]:
    """Return the consumers' counts when they have stopped growing."""
    counts = consumers.counts()
    while True:
        time.sleep(0.5)
        again = consumers.counts()
        if again == counts:
            return counts
        counts = again


if __name__ == "__main__":
    asyncio.run(main())
