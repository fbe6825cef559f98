"""What waits in the orchestrator, and the gauges: what is in trouble, orders by source (docs/requirements.md#dashboards)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from common.postgres import Connection, Database, Record, member
from common.service import WaitingQueue, queue
from orchestrator.engine.model import KINDS, WorkflowState
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.orders.model import Status

_WAITING = """
SELECT count(*) FILTER (WHERE lane = 0) AS steps, count(*) FILTER (WHERE lane = 1) AS calls,
       coalesce(extract(epoch FROM now() - min(ready_at) FILTER (WHERE lane = 0)), 0)::float8 AS steps_oldest,
       coalesce(extract(epoch FROM now() - min(ready_at) FILTER (WHERE lane = 1)), 0)::float8 AS calls_oldest,
       (SELECT count(*) FROM parked_order) AS parked,
       (SELECT coalesce(extract(epoch FROM now() - min(since)), 0)::float8 FROM parked_order) AS parked_oldest
FROM workflow_ready WHERE owner IS NULL AND ready_at <= now()
"""
_GAUGES = """
SELECT (SELECT count(*) FROM workflow_ready WHERE owner IS NULL AND ready_at > now()) AS sleeping,
       (SELECT count(*) FROM workflow WHERE state = 2) AS stopped,
       (SELECT count(*) FROM workflow WHERE state = 4)
           + (SELECT count(*) FROM workflow WHERE failed_events > 0 AND state NOT IN (2, 4)) AS crashed,
       greatest(
           (SELECT coalesce(max(extract(epoch FROM now() - xact_start)), 0)::float8 FROM pg_stat_activity
             WHERE datname = current_database() AND backend_type = 'client backend'
               AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)),
           (SELECT coalesce(max(extract(epoch FROM now() - prepared)), 0)::float8 FROM pg_prepared_xacts
             WHERE database = current_database())) AS oldest_snapshot
"""
_RECENT = "SELECT status, count(*) AS many FROM orders WHERE created_at > now() - interval '1 hour' GROUP BY status"
_BY_SOURCE = """
SELECT source, status, count(*) AS many FROM orders WHERE created_at > now() - interval '1 hour' GROUP BY source, status
"""
_TROUBLED_BY_SOURCE = """
SELECT o.source, w.state, count(DISTINCT w.order_number) AS many
FROM (SELECT order_number, state FROM workflow WHERE state IN (2, 4) AND state <> 3
      UNION ALL SELECT order_number, 4 FROM workflow WHERE failed_events > 0 AND state NOT IN (2, 4)) AS w
LEFT JOIN orders AS o ON o.number = w.order_number
GROUP BY o.source, w.state
"""
_RUNNING = "SELECT kind, count(*) AS many FROM workflow WHERE state = 1 AND state <> 3 GROUP BY kind"
_FAILED = """
SELECT w.kind, count(*) AS many FROM set_aside_event AS a JOIN workflow AS w ON w.id = a.workflow_id WHERE a.state = 3 GROUP BY w.kind
"""


async def read_waiting(connection: Connection) -> Record:
    """Return how many workflows wait for a worker, by lane, and how many orders for their creation; the oldest of each in seconds."""
    row = await connection.fetchrow(_WAITING)
    assert row is not None  # noqa: S101 - it is an aggregate
    return row


async def orders_waiting(database: Database) -> Sequence[WaitingQueue]:
    """Read workflows that could go on, those that ask other services among them, and orders whose creation has not come."""
    async with database.acquire() as connection:
        row = await read_waiting(connection)
    return [
        queue("workflows", row["steps"], row["steps_oldest"], late_after=30.0),
        queue("calls", row["calls"], row["calls_oldest"], late_after=120.0),
        queue("parked_orders", row["parked"], row["parked_oldest"], late_after=3600.0),
    ]


class Measure:
    """Reads the database and sets the gauges. Safe to run in every replica at once."""

    def __init__(self, database: Database, metrics: OrchestratorMetrics) -> None:
        self._database = database
        self._metrics = metrics

    async def work(self) -> None:
        """Set the gauges of workflows and orders."""
        async with self._database.acquire() as connection:
            waiting = await read_waiting(connection)
            row = await connection.fetchrow(_GAUGES)
            recent = {item["status"]: item["many"] for item in await connection.fetch(_RECENT)}
        metrics = self._metrics
        metrics.ready.set(waiting["steps"] + waiting["calls"])
        metrics.oldest_ready.set(waiting["steps_oldest"])
        metrics.calls_oldest_ready.set(waiting["calls_oldest"])
        metrics.parked.set(waiting["parked"])
        metrics.parked_oldest.set(waiting["parked_oldest"])
        if row is not None:
            metrics.sleeping.set(row["sleeping"])
            metrics.oldest_snapshot.set(row["oldest_snapshot"])
            for state in ("stopped", "crashed"):
                metrics.workflows.labels(state).set(row[state])
        for status in Status:
            metrics.orders.labels(status.value).set(recent.get(status.value, 0))

    async def sources(self) -> None:
        """Set the gauges of orders by source, and of workflows by kind."""
        async with self._database.acquire() as connection:
            recent = await connection.fetch(_BY_SOURCE)
            troubled = await connection.fetch(_TROUBLED_BY_SOURCE)
            running = {row["kind"]: row["many"] for row in await connection.fetch(_RUNNING)}
            failed = {row["kind"]: row["many"] for row in await connection.fetch(_FAILED)}
        metrics = self._metrics
        for kind in KINDS:
            metrics.running.labels(kind).set(running.get(kind, 0))
            metrics.failed_events.labels(kind).set(failed.get(kind, 0))
        counts: Counter[tuple[str, str]] = Counter()
        for row in recent:
            counts[(metrics.source_label(row["source"]), row["status"])] += row["many"]
        trouble: Counter[tuple[str, str]] = Counter()
        for row in troubled:
            state = member(WorkflowState, row["state"]).name.lower()
            trouble[(metrics.source_label(row["source"]), state)] += row["many"]
        for source in metrics.sources:
            for status in Status:
                metrics.by_source.labels(source, status.value).set(counts[(source, status.value)])
            for state in ("stopped", "crashed"):
                metrics.troubled_by_source.labels(source, state).set(trouble[(source, state)])
