"""Peer of the engine alone: DBOS carries out the same five-transition lifecycle, each transition a step that it checkpoints.

Runs in the peers' environment. Waits for a line on stdin, works until nothing is left, says how long that took.
``python tests/bench/references/dbos_lifecycle.py DSN LIFECYCLES PROCESS``; PROCESS tells several at once apart.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from dbos import DBOS

_TRANSITIONS = 5
_AT_ONCE = 100


@DBOS.step()
async def transition(place: int) -> int:
    """Nothing to do; DBOS writes down that it was done."""
    return place


@DBOS.workflow()
async def lifecycle() -> int:
    """Five transitions, one after another."""
    done = 0
    for place in range(_TRANSITIONS):
        await transition(place)
        done += 1
    return done


async def main(lifecycles: int) -> None:
    """Work, and say how long it took."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one() -> int:
        async with gate:
            handle = await DBOS.start_workflow_async(lifecycle)
            return int(await handle.get_result())

    await one()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    started = time.perf_counter()
    done = sum(await asyncio.gather(*(one() for _ in range(lifecycles))))
    sys.stdout.write(json.dumps({"transitions": done, "seconds": time.perf_counter() - started}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    DBOS(
        config={
            "name": "bench",
            "system_database_url": sys.argv[1],
            "log_level": "ERROR",
            "console_log_level": "ERROR",
            "sys_db_pool_size": 20,
            "executor_id": f"bench-{sys.argv[3]}",
        }
    )
    DBOS.launch()
    asyncio.run(main(int(sys.argv[2])))
    DBOS.destroy()
