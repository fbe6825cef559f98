"""One checkout's programs, started by that checkout's own rig, for `quick.py` of this one: ``python contestant.py PART``, from its root.

Prints one line of JSON when they are ready and stops them when its standard input ends. The part ``engine`` does a round for each line
that it reads instead, and prints what that showed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

_CARRIED_OUT = 'workflow_events_completed_total{kind="order_life"}'
"""Hooks, and not the calls that they lead to."""
_LOOK_S = 0.1


def tell(**said: object) -> None:
    """Print a line."""
    print(json.dumps(said), flush=True)


def until(reached: Callable[[], bool]) -> None:
    """Wait until it is so."""
    while not reached():
        time.sleep(_LOOK_S)


async def gateway(directory: Path) -> None:
    """One gateway process, with consumers that take what it publishes and do nothing."""
    from tests.bench.rig import IdleConsumers, broker_pid, servers
    from tests.bench.rig import gateway as started

    async with servers() as stand:
        with IdleConsumers(stand.amqp_url), started(stand, directory) as (url, child):
            tell(url=f"{url}/hooks/v1/sbermarket", pid=child.pid, broker=broker_pid(stand.amqp_url))
            await asyncio.to_thread(sys.stdin.read)


async def engine(directory: Path) -> None:
    """Two orchestrators; a round is so many hooks in waves, from the first into the queue to the last carried out."""
    from tests.bench.engine_rig import orchestrator, publish, series, waves
    from tests.bench.rig import broker_pid, cpu_seconds, servers

    async with servers("orchestrator") as stand:
        with ExitStack() as stack:
            running = [
                stack.enter_context(orchestrator(stand, directory / str(number), replica=f"bench-{number}"))
                for number in range(2)
            ]
            urls, pids = [url for url, _ in running], [child.pid for _, child in running]
            pids.append(broker_pid(stand.amqp_url))

            def carried_out() -> float:
                """Return how many events they have carried out so far."""
                return sum(series(url, _CARRIED_OUT) for url in urls)

            def done(events: float) -> bool:
                """Say whether they have carried out so many."""
                return carried_out() >= events

            tell(ready=True)
            while line := await asyncio.to_thread(sys.stdin.readline):
                name, orders = line.split()
                already = carried_out()
                began, before = time.perf_counter(), sum(map(cpu_seconds, pids))
                total = await publish(stand.amqp_url, waves(int(orders), prefix=f"quick{name}"))
                await asyncio.to_thread(until, partial(done, already + total))
                seconds = time.perf_counter() - began
                used = sum(map(cpu_seconds, pids)) - before
                tell(rate=total / seconds, us=used / total * 1e6)


async def tips(directory: Path) -> None:
    """One tips process on an orders database, with a feedback service that costs next to nothing."""
    from tests.bench.rig import reference
    from tests.bench.rig_tips import orders_database
    from tests.bench.rig_tips import tips as started

    async with orders_database() as dsn:
        with ExitStack() as stack:
            feedback, _ = stack.enter_context(reference("feedback_server", "PORT"))
            url, child = stack.enter_context(started(dsn, feedback, directory))
            tell(url=url, pid=child.pid)
            await asyncio.to_thread(sys.stdin.read)


def suite(directory: Path) -> None:
    """The whole suite, with servers of its own."""
    from suite_local.testing import running_suite

    with running_suite(directory) as document:
        tell(**document)
        sys.stdin.read()


PARTS: dict[str, Callable[[Path], Coroutine[Any, Any, None] | None]] = {
    part.__name__: part for part in (gateway, engine, tips, suite)
}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="suite-bench-") as kept:
        work = PARTS[sys.argv[1]](Path(kept))
        if work is not None:
            asyncio.run(work)
