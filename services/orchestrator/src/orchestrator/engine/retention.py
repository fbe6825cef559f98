"""Deletes old rows: events of workflows that finished long ago, and timelines of orders that were over long ago.

Orders, stock movements, documents, refunds and the audit log stay. The events of an order that is not finished stay too, however old
they are: the order is computed from all of them again when a late one arrives. So does its timeline.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial

from common.clock import Clock
from common.postgres import Connection, Database
from common.telemetry import get_logger
from orchestrator.metrics import OrchestratorMetrics

_log = get_logger()

_BATCH = 2000
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('orchestrator.retention'))"
# Walks the primary key, window by window; a workflow is locked before its events go, so that nothing late gets in between.
_WINDOW = "SELECT id, created_at FROM workflow WHERE id > $1 ORDER BY id LIMIT $2"
_PRUNE = """
WITH old AS (
    SELECT id, done_seq FROM workflow
    WHERE id > $1 AND id <= $2 AND state = 3 AND updated_at < $3 AND done_seq = last_seq AND pruned_seq < done_seq
      AND failed_events + retried_events = 0
    ORDER BY order_number, kind, key FOR NO KEY UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM workflow_event AS e USING old WHERE e.workflow_id = old.id AND e.seq <= old.done_seq RETURNING 1
), forgotten AS (
    DELETE FROM set_aside_event AS a USING old WHERE a.workflow_id = old.id
), marked AS (
    UPDATE workflow AS w SET pruned_seq = old.done_seq FROM old WHERE w.id = old.id
)
SELECT count(*) FROM gone
"""
# The story of an order stays whole until nothing has happened to the order for so long.
_FORGET_TIMELINE = """
WITH gone AS (
    DELETE FROM timeline WHERE ctid = ANY (ARRAY(
        SELECT t.ctid FROM timeline AS t
        WHERE t.occurred_at < $1 AND NOT EXISTS (
            SELECT FROM workflow AS w WHERE w.order_number = t.order_number AND (w.state <> 3 OR w.updated_at >= $1))
        LIMIT $2
    )) RETURNING 1
) SELECT count(*) FROM gone
"""
_FORGET_SHADOW = """
WITH gone AS (
    DELETE FROM tips_shadow WHERE ctid = ANY (ARRAY(SELECT ctid FROM tips_shadow WHERE last_at < $1 LIMIT $2)) RETURNING 1
) SELECT count(*) FROM gone
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many rows were deleted."""

    events: int
    timeline: int
    comparisons: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Deletes what is older than the operator's settings, in small transactions. Safe to run in every replica: one works at a time."""

    database: Database
    keep_events: timedelta
    keep_timeline: timedelta
    clock: Clock
    metrics: OrchestratorMetrics

    async def __call__(self) -> Pruned:
        """Delete what is due."""
        now = self.clock.now()
        pruned = Pruned(
            events=await self._events(now - self.keep_events),
            timeline=await self._batches(partial(_forget, _FORGET_TIMELINE, before=now - self.keep_timeline)),
            comparisons=await self._batches(partial(_forget, _FORGET_SHADOW, before=now - self.keep_timeline)),
        )
        if any(asdict(pruned).values()):
            _log.info("rows_pruned", **asdict(pruned))
        self.metrics.pruned.inc(pruned.events)
        return pruned

    async def _events(self, cutoff: datetime) -> int:
        last, total = 0, 0
        while True:
            async with self.database.transaction() as connection:
                if not await connection.fetchval(_LOCK):
                    return total
                window = await connection.fetch(_WINDOW, last, _BATCH)
                if not window:
                    return total
                upto = window[-1]["id"]
                total += int(await connection.fetchval(_PRUNE, last, upto, cutoff))
                last = upto
            if window[0]["created_at"] >= cutoff:
                return total  # ids grow with time: all that follow are younger

    async def _batches(self, delete: Callable[[Connection], Awaitable[int]]) -> int:
        total, done = 0, _BATCH
        while done == _BATCH:
            async with self.database.transaction() as connection:
                done = await delete(connection)
            total += done
        return total


async def _forget(statement: str, connection: Connection, *, before: datetime) -> int:
    """Delete some rows, unless another replica is at it."""
    if not await connection.fetchval(_LOCK):
        return 0
    return int(await connection.fetchval(statement, before, _BATCH))
