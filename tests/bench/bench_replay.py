"""P2: what an event costs the intake of the orchestrator, counted: statements, processor time of both sides, rows and bytes by table.

One process takes whole lives in by the product's own code, a batch a transaction: the inbox, the effect and the outbox, then the document
and the sum to pay. No broker takes part and nothing is timed, so it tells a few per cent also on a machine that others use, and
whatever is counted is the same each time. A checkout's change beside the tree before it: ``BENCH_BASE``.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import structlog
from prometheus_client import CollectorRegistry

from common.clock import SystemClock
from common.contracts.envelope import Envelope
from common.messaging import inbox
from common.postgres import Connection, Database, Lent
from common.telemetry.metrics import new_registry
from common.telemetry.tips_figures import TipsFigures
from orchestrator.documents.issue import IssueDocument
from orchestrator.documents.store import DocumentStore
from orchestrator.engine.ingest import Ingest
from orchestrator.engine.model import ORDER_DOCUMENT, UPDATE_TRANSACTIONS, WorkerPool
from orchestrator.engine.store import WorkflowStore
from orchestrator.engine.wakeup import WakeupListener
from orchestrator.engine.worker import Worker, WorkerLimits
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.orders.hooks import event_id_of, ingest_hooks
from orchestrator.orders.life import OrderLife, Placement
from orchestrator.orders.store import OrderStore
from orchestrator.settings import OrchestratorSettings
from orchestrator.tips.metrics import TipsMetrics
from orchestrator.tips.store import TipsStore
from orchestrator.tips.update_transactions import UpdateTransactions
from suite_local.testing import addresses_from
from tests.bench.engine_rig import LIFE, waves
from tests.bench.figures import figure
from tests.support.servers import TestDatabases

ROUNDS = int(os.environ.get("BENCH_ROUNDS") or 5)
ORDERS = int(os.environ.get("BENCH_REPLAY_ORDERS") or 800)
BATCH = int(os.environ.get("BENCH_REPLAY_BATCH") or 200)
_PUBLISHED = "DELETE FROM outbox"
_SIZES = """
SELECT c.relname AS name, pg_relation_size(c.oid) + coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS rows,
       pg_indexes_size(c.oid) AS indexes
FROM pg_class AS c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
"""
_UPDATES = "SELECT relname, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE n_tup_upd > 0"


class Intake:
    """The intake of one replica, and its worker of calls, over one connection."""

    def __init__(self, database: Database) -> None:
        clock, placement = SystemClock(), Placement(zones_by_store={}, tariffs_by_shipment={})
        registry: CollectorRegistry = new_registry()
        metrics, rules = OrchestratorMetrics(registry), OrchestratorSettings(tokens_file=Path("nobody")).tips_rules
        figures = TipsFigures(registry, zones=frozenset(), tariffs=frozenset(), currencies=frozenset({"RUB"}))
        orders = OrderStore(database)
        self._database = database
        self._ingest = Ingest(
            lambda connection: OrderLife(OrderStore(Lent(connection)), clock, placement),
            metrics=metrics,
            clock=clock,
            notify_workers=_nobody,
            notify_calls=_nobody,
            notify_relay=_nobody,
        )
        self._calls = Worker(
            WorkflowStore(database, WorkerPool.CALLS),
            {
                ORDER_DOCUMENT: IssueDocument(orders, DocumentStore(database), clock),
                UPDATE_TRANSACTIONS: UpdateTransactions(
                    TipsStore(database), None, rules=rules, clock=clock, metrics=TipsMetrics(registry, figures),
                    delay=1.0, concurrency=8,
                ),
            },
            owner="bench",
            wakeup=WakeupListener(),
            metrics=metrics,
            clock=clock,
            notify_workers=_nobody,
            notify_relay=_nobody,
            limits=WorkerLimits(batch_size=min(BATCH, 32)),
        )  # fmt: skip

    async def take(self, bodies: Sequence[bytes]) -> None:
        """Do what the consumer does with a batch, and then what the worker of calls does."""
        envelopes = [Envelope.decode(body) for body in bodies]
        async with self._database.transaction() as connection:
            fresh = await inbox.claim(connection, "orchestrator.intake", [event_id_of(each) for each in envelopes])
            if len(fresh) != len(envelopes):
                raise RuntimeError("every event of this load is new")
            committed = await ingest_hooks(connection, envelopes, ingest=self._ingest)
        committed()
        while await self._calls.work_once():
            continue


class Counted:
    """What was asked of the server, and what a round used of both processors."""

    def __init__(self, connection: Connection, server: psutil.Process) -> None:
        self.statements: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self._server = server
        connection.add_query_logger(self._asked)

    def _asked(self, query: Any) -> None:
        name = " ".join(query.query.split())[:60]
        self.statements[name] += 1
        self.seconds[name] += query.elapsed

    def now(self) -> tuple[float, float]:
        """Processor seconds so far: of this process, and of the server's for its connection."""
        used = self._server.cpu_times()
        return time.process_time(), used.user + used.system


def _nobody() -> None:
    return None


def batches(prefix: str, *, orders: int = ORDERS) -> Iterator[list[bytes]]:
    """Yield the messages of whole lives, wave by wave; no batch has two of one order."""
    wave: list[bytes] = []
    for place, each in enumerate(waves(orders, prefix=prefix), 1):
        wave.append(each.encode())
        if len(wave) == BATCH or place % orders == 0:
            yield wave
            wave = []


async def main() -> None:
    """Replay round by round on one database, and print what the cheapest round cost, then what is left on disk."""
    addresses = addresses_from(os.environ)
    if addresses is None:
        sys.exit("run the benchmarks with `make bench`: it starts servers of their own")
    async with TestDatabases(addresses.postgres_dsn).migrated("orchestrator") as dsn:
        database = Database(dsn, application_name="bench", max_size=1)
        await database.open()
        try:
            await replay(database)
        finally:
            await database.close()


async def replay(database: Database) -> None:
    """Do the rounds: the first teaches the server its plans and this process its caches, and is not counted."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    intake, events = Intake(database), ORDERS * len(LIFE)
    used: list[tuple[float, float]] = []
    async with database.acquire() as connection:
        counted = Counted(connection, psutil.Process(await connection.fetchval("SELECT pg_backend_pid()")))
        before = await sizes(connection)
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # as the services run
    for round_ in range(ROUNDS + 1):
        load = list(batches(f"replay{round_}"))
        counted.statements.clear()
        counted.seconds.clear()
        own, server = counted.now()
        for each in load:
            await intake.take(each)
        used.append(tuple(now - was for now, was in zip(counted.now(), (own, server), strict=True)))  # type: ignore[arg-type]  # two
        async with database.acquire() as connection:
            await connection.execute(_PUBLISHED)
    for what, place in (("this process", 0), ("its server process", 1)):
        costs = [each[place] / events * 1e6 for each in used[1:]]
        figure(
            "P2",
            f"an event taken in: processor time of {what}, µs",
            round(min(costs), 1),
            median=round(median(costs), 1),
        )
    figure("P2", f"statements for an event, {BATCH} a batch", round(counted.statements.total() / events, 3))
    for statement, seconds in counted.seconds.most_common() if "-v" in sys.argv else ():
        many = counted.statements[statement] / (events / BATCH)
        print(f"{seconds / events * 1e6:7.1f} µs {many:6.2f} a batch  {statement}", file=sys.stderr)
    async with database.acquire() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        grown = {
            name: tuple(round((now - was) / events / (ROUNDS + 1)) for now, was in zip(size, before[name], strict=True))
            for name, size in (await sizes(connection)).items()
        }
        cold: dict[str, Any] = {row[0]: f"{row[2]}/{row[1]}" for row in await connection.fetch(_UPDATES)}
    shares: dict[str, Any] = {
        name: each for name, each in sorted(grown.items(), key=lambda item: -sum(item[1])) if sum(each)
    }
    figure("P8", "orchestrator: bytes for a hook, rows and indexes", sum(map(sum, shares.values())), **shares)
    figure("P8", "orchestrator: heap-only updates", "of all", **cold)


async def sizes(connection: Connection) -> dict[str, tuple[int, int]]:
    """Bytes of each table: its rows, those kept apart included, and its indexes."""
    return {row["name"]: (row["rows"], row["indexes"]) for row in await connection.fetch(_SIZES)}


if __name__ == "__main__":
    asyncio.run(main())
