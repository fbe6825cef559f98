"""Sets the gauges: what waits, what is in trouble, how large the tables are, orders by source (docs/requirements.md#dashboards)."""

from __future__ import annotations

from collections import Counter

from common.postgres import Database
from orchestrator.engine.model import KINDS, WorkflowState
from orchestrator.metrics import TABLES, OrchestratorMetrics
from orchestrator.orders.model import Status

_GAUGES = """
SELECT (SELECT count(*) FROM workflow_ready WHERE owner IS NULL AND ready_at <= now()) AS ready,
       (SELECT coalesce(extract(epoch FROM now() - min(ready_at)), 0)::float8 FROM workflow_ready
         WHERE owner IS NULL AND lane = 0 AND ready_at <= now()) AS oldest_ready,
       (SELECT coalesce(extract(epoch FROM now() - min(ready_at)), 0)::float8 FROM workflow_ready
         WHERE owner IS NULL AND lane = 1 AND ready_at <= now()) AS calls_oldest_ready,
       (SELECT count(*) FROM workflow_ready WHERE owner IS NULL AND ready_at > now()) AS sleeping,
       (SELECT count(*) FROM workflow WHERE state = 2) AS stopped,
       (SELECT count(*) FROM workflow WHERE state = 4)
           + (SELECT count(*) FROM workflow WHERE failed_events > 0 AND state NOT IN (2, 4)) AS crashed,
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
FROM (SELECT order_number, state FROM workflow WHERE state IN (2, 4) AND state <> 3
      UNION ALL SELECT order_number, 4 FROM workflow WHERE failed_events > 0 AND state NOT IN (2, 4)) AS w
LEFT JOIN orders AS o ON o.number = w.order_number
GROUP BY o.source, w.state
"""
_RUNNING = "SELECT kind, count(*) AS many FROM workflow WHERE state = 1 AND state <> 3 GROUP BY kind"
_FAILED = """
SELECT w.kind, count(*) AS many FROM set_aside_event AS a JOIN workflow AS w ON w.id = a.workflow_id WHERE a.state = 3 GROUP BY w.kind
"""


class Measure:
    """Reads the database and sets the gauges. Safe to run in every replica at once."""

    def __init__(self, database: Database, metrics: OrchestratorMetrics) -> None:
        self._database = database
        self._metrics = metrics

    async def work(self) -> None:
        """Set the gauges of workflows and orders."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(_GAUGES)
            recent = {item["status"]: item["many"] for item in await connection.fetch(_RECENT)}
        metrics = self._metrics
        if row is not None:
            for gauge in (
                "ready",
                "oldest_ready",
                "calls_oldest_ready",
                "sleeping",
                "parked",
                "parked_oldest",
                "oldest_snapshot",
            ):
                getattr(metrics, gauge).set(row[gauge])
            for state in ("stopped", "crashed"):
                metrics.workflows.labels(state).set(row[state])
        for status in Status:
            metrics.orders.labels(status.value).set(recent.get(status.value, 0))

    async def tables(self) -> None:
        """Set the gauges of table sizes, with indexes and partitions."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_SIZES, TABLES)
            grown = await connection.fetch(_GROWTH, [row["name"] for row in rows], [row["bytes"] for row in rows])
        for row in rows:
            self._metrics.table_bytes.labels(row["name"]).set(row["bytes"])
        for row in grown:
            self._metrics.table_growth.labels(row["name"]).set(row["growth"])

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
            trouble[(metrics.source_label(row["source"]), WorkflowState(row["state"]).name.lower())] += row["many"]
        for source in metrics.sources:
            for status in Status:
                metrics.by_source.labels(source, status.value).set(counts[(source, status.value)])
            for state in ("stopped", "crashed"):
                metrics.troubled_by_source.labels(source, state).set(trouble[(source, state)])
