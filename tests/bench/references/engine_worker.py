"""The workflow engine alone: its worker, its store, a handler that does nothing. One event a claim, so that each transition is
committed before the next one begins. Waits for a line on stdin, works until nothing is ready, says how long that took.
``python -m tests.bench.references.engine_worker DSN WORKERS BATCH``
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence

from common.clock import SystemClock
from common.postgres import Connection, Database
from common.telemetry.metrics import new_registry
from orchestrator.engine.model import ORDER_LIFE, Claim, Encoded, Outcome, WorkflowState
from orchestrator.engine.store import WorkflowStore
from orchestrator.engine.wakeup import WakeupListener
from orchestrator.engine.worker import Worker, WorkerLimits
from orchestrator.metrics import OrchestratorMetrics


class Nothing:
    """A handler with nothing to do."""

    async def prepare(self, claims: Sequence[Claim]) -> None:
        """Nothing to read."""

    def run(self, claim: Claim, batch: None) -> Outcome:
        """Move the cursor; the fifth transition is the last."""
        ended = claim.upto == 5
        return Outcome(claim=claim, upto=claim.upto, state=WorkflowState.FINISHED if ended else WorkflowState.RUNNING)

    async def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> list[Encoded]:
        """Nothing to write."""
        return []


async def main(dsn: str, workers: int, batch: int) -> None:
    """Work, and say how long it took."""
    database = Database(dsn, application_name="bench-engine", min_size=workers, max_size=workers + 1)
    await database.open()
    store = WorkflowStore(database, events_a_claim=1)
    metrics = OrchestratorMetrics(new_registry())

    async def work(index: int) -> int:
        worker = Worker(
            store,
            {ORDER_LIFE: Nothing()},
            owner=f"{id(metrics)}/{index}",
            wakeup=WakeupListener(),
            metrics=metrics,
            clock=SystemClock(),
            notify_workers=lambda: None,
            notify_relay=lambda: None,
            limits=WorkerLimits(batch_size=batch),
        )
        done = 0
        while found := await worker.work_once():
            done += found
        return done

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    started = time.perf_counter()
    done = sum(await asyncio.gather(*(work(index) for index in range(workers))))
    sys.stdout.write(json.dumps({"transitions": done, "seconds": time.perf_counter() - started}) + "\n")
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
