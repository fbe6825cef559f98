"""Workers of orders' lives that die, as a process does that is killed, while they read the event ``deadly``.

``python deadly_worker.py <dsn> <amqp_url> <owner> <events>``: takes in so many events, as a replica does, whose reading kills it as well,
then several workers side by side, until nothing is left to do. What they hold when they are killed is free at once for whoever frees what
the dead have held.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial

from common.clock import SystemClock
from common.messaging import Consumer, MessagingMetrics, topology
from common.postgres import Database, Lent
from common.telemetry.metrics import new_registry
from orchestrator.engine.ingest import Ingest
from orchestrator.engine.model import ORDER_LIFE, Claim
from orchestrator.engine.store import WorkflowStore
from orchestrator.engine.wakeup import WakeupListener
from orchestrator.engine.worker import Worker, WorkerLimits
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.orders.hooks import event_id_of, ingest_hooks
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


async def work(dsn: str, amqp_url: str, owner: str, events: str) -> None:
    """Take in what comes, and carry out whatever is ready."""
    database = Database(dsn, application_name=owner)
    await database.open()
    metrics = OrchestratorMetrics(new_registry())
    await take_in(database, amqp_url, metrics, int(events))
    life = deadly(database)
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


def deadly(database: Database | Lent) -> DeadlyToRead:
    """The handler that reads here."""
    return DeadlyToRead(OrderStore(database), SystemClock(), Placement(zones_by_store={}, tariffs_by_shipment={}))


async def take_in(database: Database, amqp_url: str, metrics: OrchestratorMetrics, events: int) -> None:
    """Take in events until there are so many, and carry out at once what can be."""
    ingest = Ingest(
        lambda connection: deadly(Lent(connection)),
        metrics=metrics,
        clock=SystemClock(),
        notify_workers=lambda: None,
        notify_calls=lambda: None,
        notify_relay=lambda: None,
    )
    consumer = Consumer(
        amqp_url,
        topology.ORCHESTRATOR_INTAKE,
        database=database,
        name=topology.ORCHESTRATOR_INTAKE.name,
        service="orchestrator",
        handler=partial(ingest_hooks, ingest=ingest),
        careful=partial(ingest_hooks, ingest=ingest.append),
        metrics=MessagingMetrics(new_registry()),
        key=event_id_of,
    )
    running = asyncio.create_task(consumer.run())
    taken = 0
    while taken < events:
        await asyncio.sleep(0.02)
        async with database.acquire() as connection:
            taken = await connection.fetchval("SELECT count(*) FROM inbox")
    await consumer.stop()
    await running


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
