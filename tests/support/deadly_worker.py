"""Workers of orders' lives that die, as a process does that is killed, while they read the event ``deadly``.

``python deadly_worker.py <dsn> <owner>``: several workers side by side, as a replica has them, until nothing is left to do. What they hold
when they are killed is free at once for whoever frees what the dead have held.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from common.clock import SystemClock
from common.postgres import Database
from common.telemetry.metrics import new_registry
from orchestrator.engine.model import ORDER_LIFE, Claim
from orchestrator.engine.store import WorkflowStore
from orchestrator.engine.wakeup import WakeupListener
from orchestrator.engine.worker import Worker, WorkerLimits
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.orders.life import OrderBatch, OrderLife, Placement
from orchestrator.orders.store import OrderStore

WORKERS = 3
LIMITS = WorkerLimits(lease_seconds=-1, max_attempts=5)


class DeadlyToRead(OrderLife):
    """Dies of one event before anything is carried out."""

    async def prepare(self, claims: Sequence[Claim]) -> OrderBatch:
        """Read the claims' events."""
        batch = await super().prepare(claims)
        if any(b"deadly" in event.payload for claim in claims for event in claim.events):
            os.kill(os.getpid(), signal.SIGKILL)
        return batch


async def work(dsn: str, owner: str) -> None:
    """Carry out whatever is ready."""
    database = Database(dsn, application_name=owner)
    await database.open()
    life = DeadlyToRead(OrderStore(database), SystemClock(), Placement(zones_by_store={}, tariffs_by_shipment={}))
    metrics = OrchestratorMetrics(new_registry())
    workers = [
        Worker(
            WorkflowStore(database),
            {ORDER_LIFE: life},
            owner=f"{owner}-{index}",
            wakeup=WakeupListener(),
            metrics=metrics,
            clock=SystemClock(),
            notify_workers=lambda: None,
            notify_relay=lambda: None,
            limits=LIMITS,
        )
        for index in range(WORKERS)
    ]
    while any(await asyncio.gather(*(worker.work_once() for worker in workers))):
        pass
    await database.close()


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
