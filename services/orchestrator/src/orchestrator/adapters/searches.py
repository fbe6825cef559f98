"""What people and services read. Keyset pages only; each list asks for one row more than it shows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from common.postgres import Database, Record

_ORDER = "SELECT * FROM orders WHERE number = $1"

_ORDERS = """
SELECT * FROM orders
WHERE ($1::text IS NULL OR status = $1) AND ($2::text IS NULL OR aggregate_state = $2) AND ($3::text IS NULL OR source = $3)
  AND ($4::text IS NULL OR store_id = $4) AND ($5::text IS NULL OR external_id = $5)
  AND ($6::timestamptz IS NULL OR created_at >= $6) AND ($7::timestamptz IS NULL OR created_at < $7)
  AND ($8::timestamptz IS NULL OR (created_at, number) < ($8, $9))
ORDER BY created_at DESC, number DESC
LIMIT $10
"""

# Hooks as they arrived, what was done and told by every service, and what people did, in one order. The gateway's recorder tells of
# each delivery itself; until it has (its database may be away), what the orchestrator took in stands in for it.
_TIMELINE = """
WITH own AS (SELECT id FROM workflow WHERE order_number = $1), story AS (
    SELECT e.received_at AS at, 1 AS part, e.workflow_id AS major, e.seq::bigint AS minor, 'webhook-gateway' AS service,
           'hook.received' AS kind, coalesce(e.attributes->>'source', '') AS actor,
           'The hook ' || e.type || ' arrived' AS summary,
           jsonb_strip_nulls(jsonb_build_object('hook', e.type, 'hook_time', e.attributes->>'sent_at',
               'delivery_id', e.attributes->>'delivery_id', 'lane', e.attributes->>'lane', 'event_id', e.event_id)) AS details,
           e.traceparent
    FROM own JOIN workflow_event AS e ON e.workflow_id = own.id
    WHERE e.attributes ? 'body_form' AND NOT EXISTS (
        SELECT FROM timeline AS told
        WHERE told.order_number = $1 AND told.kind = 'hook.received'
          AND told.details->>'delivery_id' = e.attributes->>'delivery_id')
    UNION ALL
    SELECT t.occurred_at, 2, 0, t.id, t.service, t.kind, t.actor, t.summary, t.details, t.traceparent
    FROM timeline AS t WHERE t.order_number = $1
    UNION ALL
    SELECT a.at, 3, 0, a.id, 'orchestrator', a.action, a.actor, a.reason,
           jsonb_build_object('before', a.before, 'after', a.after, 'role', a.role), NULL
    FROM audit_log AS a
    WHERE a.target = 'order:' || $1 OR a.target IN (SELECT 'workflow:' || id FROM own)
)
SELECT * FROM story
WHERE $2::timestamptz IS NULL OR (at, part, major, minor) > ($2, $3, $4, $5)
ORDER BY at, part, major, minor
LIMIT $6
"""
_KNOWN = "SELECT EXISTS (SELECT FROM workflow WHERE order_number = $1) OR EXISTS (SELECT FROM timeline WHERE order_number = $1)"

_STOCK = """
SELECT * FROM stock_movements
WHERE ($1::text IS NULL OR store_id = $1) AND ($2::text IS NULL OR number = $2) AND ($3::bigint IS NULL OR id > $3)
ORDER BY id
LIMIT $4
"""
# With a number its own unique index answers; the planner would otherwise be tempted to walk the primary key.
_STOCK_OF_ORDER = """
WITH moved AS MATERIALIZED (SELECT * FROM stock_movements WHERE number = $2)
SELECT * FROM moved WHERE ($1::text IS NULL OR store_id = $1) AND ($3::bigint IS NULL OR id > $3) ORDER BY id LIMIT $4
"""

_WORKFLOW_COLUMNS = """
w.id, w.order_number, w.kind, w.key, w.state, w.last_seq, w.done_seq, w.error, w.error_stack, w.failed_at, w.created_at,
w.updated_at, r.ready_at, r.attempts, r.owner, r.lease_until
"""
_WORKFLOWS = f"""
SELECT {_WORKFLOW_COLUMNS} FROM workflow AS w LEFT JOIN workflow_ready AS r ON r.workflow_id = w.id
WHERE ($1::smallint IS NULL OR w.state = $1) AND ($2::text IS NULL OR w.order_number = $2)
  AND ($3::text IS NULL OR w.kind = $3) AND ($4::bigint IS NULL OR w.id < $4)
ORDER BY w.id DESC
LIMIT $5
"""  # noqa: S608 - names of columns, from a constant of ours

_EVENTS = """
SELECT e.workflow_id, e.seq, e.type, e.event_id, e.attributes, e.traceparent, e.received_at, e.recorded_at,
       w.done_seq, w.state AS workflow_state
FROM workflow AS w JOIN workflow_event AS e ON e.workflow_id = w.id
WHERE w.id = $1 AND e.seq > $2
ORDER BY e.seq
LIMIT $3
"""

_FLAGS = "SELECT * FROM flag ORDER BY name"
_FLAG = "SELECT * FROM flag WHERE name = $1"


class Searches:
    """Everything that is only read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def order(self, number: str) -> Record | None:
        """Return one order."""
        async with self._database.acquire() as connection:
            return await connection.fetchrow(_ORDER, number)

    async def orders(
        self,
        *,
        status: str | None,
        aggregate_state: str | None,
        source: str | None,
        store_id: str | None,
        external_id: str | None,
        since: datetime | None,
        until: datetime | None,
        after: tuple[Any, ...] | None,
        limit: int,
    ) -> list[Record]:
        """Return orders, the newest first, from after the position (created_at, number)."""
        position = after or (None, None)
        filters = (status, aggregate_state, source, store_id, external_id, since, until)
        async with self._database.acquire() as connection:
            return await connection.fetch(_ORDERS, *filters, *position, limit + 1)

    async def timeline(self, number: str, *, after: tuple[Any, ...] | None, limit: int) -> list[Record] | None:
        """Return what happened to an order, the oldest first, from after the position; None when nothing is known of it."""
        position = after or (None, None, None, None)
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_TIMELINE, number, *position, limit + 1)
            if not rows and not await connection.fetchval(_KNOWN, number):
                return None
        return rows

    async def stock_movements(
        self, *, store_id: str | None, number: str | None, after: int | None, limit: int
    ) -> list[Record]:
        """Return stock movements, the oldest first, with ids above ``after``."""
        query = _STOCK if number is None else _STOCK_OF_ORDER
        async with self._database.acquire() as connection:
            return await connection.fetch(query, store_id, number, after, limit + 1)

    async def workflows(
        self, *, state: int | None, number: str | None, kind: str | None, before: int | None, limit: int
    ) -> list[Record]:
        """Return workflows, the newest first, with ids below ``before``."""
        async with self._database.acquire() as connection:
            return await connection.fetch(_WORKFLOWS, state, number, kind, before, limit + 1)

    async def workflow_events(self, workflow_id: int, *, after: int, limit: int) -> list[Record]:
        """Return a workflow's events in sequence, from after ``after``; payloads are left out."""
        async with self._database.acquire() as connection:
            return await connection.fetch(_EVENTS, workflow_id, after, limit + 1)

    async def flags(self) -> list[Record]:
        """Return all flags."""
        async with self._database.acquire() as connection:
            return await connection.fetch(_FLAGS)

    async def flag(self, name: str) -> Record | None:
        """Return one flag."""
        async with self._database.acquire() as connection:
            return await connection.fetchrow(_FLAG, name)
