"""P3: how long the callers of tips wait at 250 set-tips-sum and 300 need-hold-tips a second, all well, and with something standing still.

Calls come at a fixed pace, whatever happens to the answers; a call's time runs from the moment it was due (`sent_late`: how much of it is
the load generator's own). Every caller waits `DEADLINE` and says so; an answer other than 200, or none in that time, is a fallback to
the caller's old code: no iteration is lost. Between tips and the orders database, and between tips and feedback, stands a proxy that
stalls or delays; only tips' own connections go through it. After each fault: how long until every answer is 200 again.
At the end the same pace while the whole suite runs on this machine and takes hooks of a few orders a second, tips on the suite's own
orders database.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from yarl import URL

from common.http import timeout_header
from suite_local.paths import repository_root
from suite_local.testing import running_suite
from tests.bench.engine_rig import LIFE, waves
from tests.bench.figures import figure, percentile
from tests.bench.goals import AIMS
from tests.bench.rig import reference
from tests.bench.rig_tips import ORDERS, TOKEN, Call, finished_orders, orders_database, tips

SHARE = float(os.environ.get("BENCH_TIPS_SHARE", "1"))  # of the goal's pace, for a machine that others use too
PACE = {"set-tips-sum": 250.0 * SHARE, "need-hold-tips": 300.0 * SHARE}
DEADLINE = 1.0
WELL_S = float(os.environ.get("BENCH_TIPS_SECONDS", "8"))
FAULT_S, AFTER_S = 4.0, 5.0
HOOKS_PACE = 25.0  # five orders a second
_HEADERS = {"Authorization": f"Bearer {TOKEN}", **timeout_header(DEADLINE)}


def main() -> None:
    """Measure tips alone, then beside the rest of the suite."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(alone())
    with (
        tempfile.TemporaryDirectory(prefix="suite-bench-") as name,
        running_suite(Path(name)) as suite,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop,
    ):
        loop.run(beside(suite, Path(name)))


async def alone() -> None:
    """Pace the calls through a good time, then through three faults."""
    async with orders_database() as dsn:
        with (
            tempfile.TemporaryDirectory(prefix="suite-bench-") as name,
            reference("feedback_server", "PORT") as (feedback, _),
        ):
            directory = Path(name)
            with tips(dsn, feedback, directory) as (url, _):
                await paced(url, seconds=1.0)
                await well(url)
            with Proxy(dsn) as database, Proxy(feedback) as slow, tips(database.url, slow.url, directory) as (url, _):
                await paced(url, seconds=1.0)
                await fault(url, "the orders database stands still", database, "stall")
                await fault(url, "the orders database is cut off", database, "refuse")
                await fault(url, "feedback takes 2 s", slow, "delay 2.0")


async def beside(suite: dict[str, Any], directory: Path) -> None:
    """Pace the calls through a good time while all other services have their work."""
    with reference("feedback_server", "PORT") as (feedback, _):
        database = URL(suite["databases"]["orchestrator"]).path
        owner = URL(suite["infrastructure"]["postgres"]["dsn"]).with_path(database)
        async with finished_orders(str(owner)) as dsn:
            with tips(dsn, feedback, directory) as (url, _):
                await paced(url, seconds=1.0)
                answers: list[int] = []
                orders = asyncio.create_task(take_hooks(suite, answers, seconds=WELL_S + 2.0))
                await asyncio.sleep(1.0)
                await well(url, where=f"beside the suite at {HOOKS_PACE:g} hooks/s")
                await orders
                refused = sum(status != 200 for status in answers)
                figure("P3", "hooks beside it not answered 200", refused, goal=0, hooks=len(answers))


async def take_hooks(suite: dict[str, Any], answers: list[int], *, seconds: float) -> None:
    """Send whole lives of orders to the suite's gateway, a hook at a time, at a fixed pace."""
    url = suite["services"]["webhook-gateway"]["url"] + "/hooks/v1/sbermarket"
    headers = {"Client-token": suite["tokens"]["marketplace"], "Content-Type": "application/json"}
    start = time.monotonic()
    async with aiohttp.ClientSession(headers=headers) as session:
        for turn, each in enumerate(waves(int(HOOKS_PACE * seconds / len(LIFE)), prefix="beside")):
            await asyncio.sleep(max(0.0, start + turn / HOOKS_PACE - time.monotonic()))
            async with session.post(url, data=each.body) as answer:
                await answer.read()
                answers.append(answer.status)


class Proxy:
    """A proxy in front of a server, in a process of its own; ``url`` is the address that leads through it."""

    def __init__(self, address: str) -> None:
        target = URL(address)
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.references.cutting_proxy", str(target.host), str(target.port or 5432)],
            cwd=repository_root(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._child.stdout is None:
            raise RuntimeError("the proxy was started with pipes")
        self.url = str(target.with_host("127.0.0.1").with_port(int(self._child.stdout.readline())))

    def do(self, command: str) -> None:
        """Have it misbehave, or ``heal``."""
        if self._child.stdin is None:
            raise RuntimeError("the proxy was started with pipes")
        self._child.stdin.write(f"{command}\n")
        self._child.stdin.flush()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.stdin is not None:
            self._child.stdin.close()
        self._child.wait(10)


async def well(url: str, *, where: str = "alone") -> None:
    """Print the waits while nothing is wrong."""
    calls = await paced(url, seconds=WELL_S)
    for what, pace in PACE.items():
        mine = [call for call in calls if call.what == what]
        waits = [call.waited * 1000 for call in mine]
        figure(
            "P3",
            f"{what} at {pace:g}/s {where}, p99 ms",
            round(percentile(waits, 99), 1),
            goal=AIMS["tips alone, p99 ms" if where == "alone" else "tips beside the suite, p99 ms"],
            p50_ms=round(percentile(waits, 50), 1),
            max_ms=round(max(waits), 1),
            calls=len(mine),
            not_200=sum(call.status != 200 for call in mine),
            sent_late_p99_ms=round(percentile([call.late * 1000 for call in mine], 99), 1),
        )


async def fault(url: str, name: str, proxy: Proxy, command: str) -> None:
    """Print what callers saw during a fault, and how long it lasted after its end."""
    calls: list[Call] = []
    began = time.monotonic()
    sending = asyncio.create_task(paced(url, seconds=1.0 + FAULT_S + AFTER_S, into=calls))
    await asyncio.sleep(1.0)
    proxy.do(command)
    await asyncio.sleep(FAULT_S)
    proxy.do("heal")
    healed = time.monotonic()
    await sending
    during = [call for call in calls if began + 1.0 <= call.due < healed]
    waits = [call.waited * 1000 for call in during]
    fallen = [call for call in during if call.status != 200]
    late = [call.due + call.waited for call in calls if call.status != 200 and call.due >= healed]
    figure(
        "P3",
        f"{name}: answered or fallen back, p99 ms",
        round(percentile(waits, 99)),
        goal=DEADLINE * 1000,
        p50_ms=round(percentile(waits, 50), 1),
        p90_ms=round(percentile(waits, 90), 1),
        calls=len(during),
        answered_200=len(during) - len(fallen),
        shed_503=sum(call.status == 503 for call in fallen),
        no_answer_in_time=sum(call.status == 0 for call in fallen),
        sent_late_p99_ms=round(percentile([call.late * 1000 for call in during], 99), 1),
    )
    figure("P3", f"{name}: s until every answer was 200 again", round(max(late, default=healed) - healed, 1))
    figure("P3", f"{name}: iterations lost", sum(call.status not in (0, 200, 503) for call in calls), goal=0)


async def paced(url: str, *, seconds: float, into: list[Call] | None = None) -> list[Call]:
    """Call both endpoints at their pace; return when everything was answered or given up."""
    calls: list[Call] = [] if into is None else into
    async with aiohttp.ClientSession(
        headers=_HEADERS,
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=DEADLINE),
    ) as session:
        start = time.monotonic() + 0.05
        due = sorted((start + turn / pace, what) for what, pace in PACE.items() for turn in range(int(pace * seconds)))
        numbers = itertools.cycle(range(1, ORDERS + 1))
        await send_all(session, url, due, numbers, calls)
    return calls


async def send_all(
    session: aiohttp.ClientSession,
    url: str,
    due: Iterable[tuple[float, str]],
    numbers: Iterable[int],
    calls: list[Call],
) -> None:
    """Send each call when it is due."""
    running: set[asyncio.Task[None]] = set()
    for (moment, what), number in zip(due, numbers, strict=False):
        if (ahead := moment - time.monotonic()) > 0:
            await asyncio.sleep(ahead)
        # Every third set-tips-sum finds newer feedback and writes, as one of an order's two or three iterations does.
        order = f"{'W' if number % 3 == 0 else 'S'}{number}"
        task = asyncio.create_task(call_one(session, url, what, order, moment, calls))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)


async def call_one(
    session: aiohttp.ClientSession, url: str, what: str, order: str, due: float, calls: list[Call]
) -> None:
    """Call once and note what came of it."""
    status, late = 0, time.monotonic() - due
    try:
        if what == "set-tips-sum":
            request = session.post(f"{url}/tips/v1/set-tips-sum", json={"order_id": order})
        else:
            request = session.get(f"{url}/tips/v1/need-hold-tips", params={"order_id": order})
        async with request as answer:
            await answer.read()
            status = answer.status
    except (TimeoutError, aiohttp.ClientError):
        status = 0
    calls.append(Call(due, late, time.monotonic() - due, status, what))


if __name__ == "__main__":
    main()
