"""SQL of the background jobs: parked orders, aggregate states, what the gauges show."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from common.messaging import outbox
from common.postgres import Connection, Database
from orchestrator.engine.model import Parked, WorkflowState
from orchestrator.metrics import TABLES, OrchestratorMetrics
from orchestrator.orders.model import Status
from orchestrator.orders.parked import AlertOf

_OVERDUE = """
SELECT workflow_id, order_number, source, hook, since FROM parked_order
WHERE since < $1 AND alerted_at IS NULL ORDER BY since LIMIT 200 FOR UPDATE SKIP LOCKED
"""
_MARK_OVERDUE = "UPDATE parked_order SET alerted_at = now() WHERE workflow_id = ANY($1::bigint[])"

# The rows asked for are gone with the same statement that answers them; orders are locked in the order of their numbers.
_DERIVE = """
WITH asked AS (
    DELETE FROM order_aggregate_change WHERE id IN (
        SELECT id FROM order_aggregate_change ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
    ) RETURNING order_number
), target AS (
    SELECT number FROM orders WHERE number IN (SELECT order_number FROM asked) ORDER BY number FOR NO KEY UPDATE
), derived AS (
    UPDATE orders AS o SET aggregate_state = order_aggregate_state(o.number, o.status)
      FROM target AS t WHERE o.number = t.number
       AND o.aggregate_state IS DISTINCT FROM order_aggregate_state(o.number, o.status)
    RETURNING 1
)
SELECT (SELECT count(*) FROM asked) AS asked, (SELECT count(*) FROM derived) AS changed
"""

_GAUGES = """
SELECT (SELECT count(*) FROM workflow_ready WHERE owner IS NULL AND ready_at <= now()) AS ready,
       (SELECT coalesce(extract(epoch FROM now() - min(ready_at)), 0)::float8 FROM workflow_ready
         WHERE owner IS NULL AND lane = 0 AND ready_at <= now()) AS oldest_ready,
       (SELECT coalesce(extract(epoch FROM now() - min(ready_at)), 0)::float8 FROM workflow_ready
         WHERE owner IS NULL AND lane = 1 AND ready_at <= now()) AS calls_oldest_ready,
       (SELECT count(*) FROM workflow_ready WHERE owner IS NULL AND ready_at > now()) AS sleeping,
       (SELECT count(*) FROM workflow WHERE state = 2) AS stopped,
       (SELECT count(*) FROM workflow WHERE state = 4) AS crashed,
       (SELECT count(*) FROM parked_order) AS parked,
       (SELECT coalesce(extract(epoch FROM now() - min(since)), 0)::float8 FROM parked_order) AS parked_oldest,
       greatest(
           (SELECT coalesce(max(extract(epoch FROM now() - xact_start)), 0)::float8 FROM pg_stat_activity
             WHERE datname = current_database() AND backend_type = 'client backend'
               AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)),
           (SELECT coalesce(max(extract(epoch FROM now() - prepared)), 0)::float8 FROM pg_prepared_xacts
             WHERE database = current_database())) AS oldest_snapshot
"""
_RECENT = "SELECT status, count(*) AS many FROM orders WHERE created_at > now() - interval '1 hour' GROUP BY status"
_SIZES = """
SELECT r.name, coalesce(sum(pg_total_relation_size(coalesce(i.inhrelid, c.oid))), 0)::bigint AS bytes
FROM unnest($1::text[]) AS r (name)
JOIN pg_class AS c ON c.relname = r.name AND c.relnamespace = 'public'::regnamespace
LEFT JOIN pg_inherits AS i ON i.inhparent = c.oid
GROUP BY r.name
"""
# Today's size is kept once a day. A week's growth is that of the days there are, scaled: what seven days ago was, if it is known.
_GROWTH = """
WITH now AS (SELECT * FROM unnest($1::text[], $2::bigint[]) AS n (name, bytes)), noted AS (
    INSERT INTO table_size (day, name, bytes) SELECT (now() AT TIME ZONE 'UTC')::date, name, bytes FROM now
    ON CONFLICT (day, name) DO UPDATE SET bytes = excluded.bytes
), old AS (
    DELETE FROM table_size WHERE day < (now() AT TIME ZONE 'UTC')::date - 400
)
SELECT n.name, coalesce((n.bytes - t.bytes) * 7.0 / ((now() AT TIME ZONE 'UTC')::date - t.day), 0)::float8 AS growth
FROM now AS n LEFT JOIN LATERAL (
    SELECT s.day, s.bytes FROM table_size AS s
    WHERE s.name = n.name AND s.day < (now() AT TIME ZONE 'UTC')::date AND s.day >= (now() AT TIME ZONE 'UTC')::date - 7
    ORDER BY s.day LIMIT 1
) AS t ON true
"""
_BY_SOURCE = """
SELECT source, status, count(*) AS many FROM orders WHERE created_at > now() - interval '1 hour' GROUP BY source, status
"""
_TROUBLED_BY_SOURCE = """
SELECT o.source, w.state, count(DISTINCT w.order_number) AS many
FROM workflow AS w LEFT JOIN orders AS o ON o.number = w.order_number
WHERE w.state IN (2, 4) AND w.state <> 3 GROUP BY o.source, w.state
"""


class PostgresUpkeep:
    """What jobs do in the database. Safe to run in every replica at once."""

    def __init__(self, database: Database, metrics: OrchestratorMetrics) -> None:
        self._database = database
        self._metrics = metrics

    async def raise_overdue(self, *, before: datetime, alert: AlertOf) -> int:
        """See ``application.park.ParkedOrders``."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_OVERDUE, before)
            if rows:
                events = [
                    alert(
                        Parked(order_number=row["order_number"], source=row["source"], hook=row["hook"]), row["since"]
                    )
                    for row in rows
                ]
                await outbox.add_encoded(connection, events)
                await connection.execute(_MARK_OVERDUE, [row["workflow_id"] for row in rows])
        return len(rows)

    async def derive_aggregates(self, *, limit: int = 500, batches: int = 20) -> int:
        """Work off the change table (M9, M10), some batches of it; return how many orders' aggregate states became others."""
        changed = 0
        for _ in range(batches):
            async with self._database.transaction() as connection:
                row = await connection.fetchrow(_DERIVE, limit)
            if row is None or not row["asked"]:
                break
            changed += row["changed"]
        return changed

    async def measure(self) -> None:
        """Set the gauges."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(_GAUGES)
            recent = {item["status"]: item["many"] for item in await connection.fetch(_RECENT)}
        metrics = self._metrics
        if row is not None:
            metrics.ready.set(row["ready"])
            metrics.oldest_ready.set(row["oldest_ready"])
            metrics.calls_oldest_ready.set(row["calls_oldest_ready"])
            metrics.sleeping.set(row["sleeping"])
            metrics.workflows.labels("stopped").set(row["stopped"])
            metrics.workflows.labels("crashed").set(row["crashed"])
            metrics.parked.set(row["parked"])
            metrics.parked_oldest.set(row["parked_oldest"])
            metrics.oldest_snapshot.set(row["oldest_snapshot"])
        for status in Status:
            metrics.orders.labels(status.value).set(recent.get(status.value, 0))

    async def measure_tables(self) -> None:
        """Set the gauges of table sizes, with indexes and partitions."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_SIZES, TABLES)
            grown = await connection.fetch(_GROWTH, [row["name"] for row in rows], [row["bytes"] for row in rows])
        for row in rows:
            self._metrics.table_bytes.labels(row["name"]).set(row["bytes"])
        for row in grown:
            self._metrics.table_growth.labels(row["name"]).set(row["growth"])

    async def measure_sources(self) -> None:
        """Set the gauges of orders by source (M25: the API by vertical)."""
        async with self._database.acquire() as connection:
            recent = await connection.fetch(_BY_SOURCE)
            troubled = await connection.fetch(_TROUBLED_BY_SOURCE)
        metrics = self._metrics
        counts: Counter[tuple[str, str]] = Counter()
        for row in recent:
            counts[(metrics.source_label(row["source"]), row["status"])] += row["many"]
        trouble: Counter[tuple[str, str]] = Counter()
        for row in troubled:
            trouble[(metrics.source_label(row["source"]), WorkflowState(row["state"]).name.lower())] += row["many"]
        for source in metrics.sources:
            for status in Status:
                metrics.by_source.labels(source, status.value).set(counts[(source, status.value)])
            for state in ("stopped", "crashed"):
                metrics.troubled_by_source.labels(source, state).set(trouble[(source, state)])


async def ask_to_derive(connection: Connection, numbers: list[str]) -> None:
    """Ask for the aggregate states of orders to be derived again, in the caller's transaction."""
    await connection.execute("INSERT INTO order_aggregate_change (order_number) SELECT unnest($1::text[])", numbers)
