"""Peer of the engine alone: pgqueuer carries out the same five-transition lifecycle, each transition a job that enqueues the next.

Runs in the peers' environment. Waits for a line on stdin, works until nothing is left, says how long that took.
``python tests/bench/references/pgqueuer_lifecycle.py DSN LIFECYCLES PROCESS``; PROCESS tells several at once apart.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import timedelta

import asyncpg
from pgqueuer import AsyncpgPoolDriver, Job, PgQueuer
from pgqueuer.domain.types import QueueExecutionMode

_TRANSITIONS = 5


async def main(dsn: str, lifecycles: int, process: str) -> None:
    """Work, and say how long it took."""
    pool = await asyncpg.create_pool(dsn, min_size=8, max_size=8)
    driver = AsyncpgPoolDriver(pool)
    queue = PgQueuer(driver)
    name = f"transition{process}"
    if process == "0":
        await queue.qm.queries.install()
    done = 0
    ended = asyncio.Event()

    @queue.entrypoint(name)
    async def transition(job: Job) -> None:
        nonlocal done
        place = int(job.payload or b"1")
        if place < _TRANSITIONS:
            await queue.qm.queries.enqueue(name, str(place + 1).encode())
        done += 1
        if done == lifecycles * _TRANSITIONS:
            ended.set()
            queue.shutdown.set()

    await queue.qm.queries.enqueue([name] * lifecycles, [b"1"] * lifecycles, [0] * lifecycles)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    started = time.perf_counter()
    work = asyncio.create_task(
        queue.run(dequeue_timeout=timedelta(seconds=1), batch_size=100, mode=QueueExecutionMode.continuous)
    )
    await ended.wait()
    sys.stdout.write(json.dumps({"transitions": done, "seconds": time.perf_counter() - started}) + "\n")
    sys.stdout.flush()
    await work
    await pool.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
