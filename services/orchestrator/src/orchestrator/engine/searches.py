"""What people and services read. Keyset pages only; each list asks for one row more than it shows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from common.postgres import Database, Record
from orchestrator.engine.filters import Filters
from orchestrator.engine.model import ORDER_LIFE, WorkflowState

_NEW, _DONE, _FAILED = 1, 2, 3
_ORDER = "SELECT * FROM orders WHERE number = $1"

# Orders in trouble are few among many: they are found by their workflows.
_TROUBLED = "number = ANY(ARRAY(SELECT w.order_number FROM workflow AS w WHERE w.state = {state}))"
_TROUBLE = {"stopped": WorkflowState.STOPPED, "crashed": WorkflowState.CRASHED}

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
    WHERE a.target = ANY(ARRAY(SELECT 'order:' || $1 UNION ALL SELECT 'workflow:' || id FROM own))
)
SELECT * FROM story
WHERE $2::timestamptz IS NULL OR (at, part, major, minor) > ($2, $3, $4, $5)
ORDER BY at, part, major, minor
LIMIT $6
"""
_KNOWN = "SELECT EXISTS (SELECT FROM workflow WHERE order_number = $1) OR EXISTS (SELECT FROM timeline WHERE order_number = $1)"

# With a number its own unique index answers; the planner would otherwise be tempted to walk the primary key.
_STOCK_OF_ORDER = "(SELECT * FROM stock_movements WHERE number = {} OFFSET 0) AS moved"

_WORKFLOW_COLUMNS = """
w.id, w.order_number, w.kind, w.key, w.state, w.last_seq, w.done_seq, w.revision, w.error, w.error_stack, w.failed_at,
w.created_at,
w.updated_at, r.ready_at, r.attempts, r.owner, r.lease_until
"""
_EVENT_COLUMNS = """
e.workflow_id, e.seq, e.type, e.event_id, e.attributes, e.traceparent, e.received_at, e.recorded_at, w.done_seq,
w.state AS workflow_state
"""
# Workflows with events that are not carried out: runnable ones have a ready row, the others stand still.
_PENDING = """
SELECT q.workflow_id AS id FROM workflow_ready AS q
UNION SELECT p.id FROM workflow AS p WHERE p.state IN (2, 4) AND p.state <> 3 AND p.last_seq > p.done_seq
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
        filters = Filters()
        filters.add_given("status = {}", status)
        filters.add_given("aggregate_state = {}", aggregate_state)
        if aggregate_state in _TROUBLE:
            filters.add(_TROUBLED.format(state=int(_TROUBLE[aggregate_state])))
        filters.add_given("source = {}", source)
        filters.add_given("store_id = {}", store_id)
        filters.add_given("external_id = {}", external_id)
        filters.add_given("created_at >= {}", since)
        filters.add_given("created_at < {}", until)
        if after is not None:
            filters.add("(created_at, number) < ({}, {})", *after)
        return await self._fetch("SELECT * FROM orders", filters, "created_at DESC, number DESC", limit)

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
        filters = Filters()
        source = "stock_movements" if number is None else _STOCK_OF_ORDER.format(filters.place(number))
        filters.add_given("store_id = {}", store_id)
        filters.add_given("id > {}", after)
        return await self._fetch(f"SELECT * FROM {source}", filters, "id", limit)  # noqa: S608 - constants of ours

    async def workflows(
        self, *, state: int | None, number: str | None, kind: str | None, before: int | None, limit: int
    ) -> list[Record]:
        """Return workflows, the newest first, with ids below ``before``."""
        filters = Filters()
        # Numbers and kinds are spelled out where an index is only for some of them (migrations 0110 and 0111).
        if state is not None:
            filters.add(f"w.state = {state:d}")
        filters.add_given("w.order_number = {}", number)
        filters.add_given("w.kind = {}", kind)
        if kind is not None and kind != ORDER_LIFE:
            filters.add(f"w.kind <> '{ORDER_LIFE}'")
        filters.add_given("w.id < {}", before)
        query = f"SELECT {_WORKFLOW_COLUMNS} FROM workflow AS w LEFT JOIN workflow_ready AS r ON r.workflow_id = w.id"  # noqa: S608 - a constant of ours
        return await self._fetch(query, filters, "w.id DESC", limit)

    async def workflow_events(
        self, workflow_id: int | None, *, state: int | None, after: tuple[int, int] | None, limit: int
    ) -> list[Record]:
        """Return events by workflow and sequence, from after the position; payloads are left out.

        ``state`` follows from the cursor: 1 new, 2 done, 3 failed (it crashed its workflow). Without a workflow, new and failed ones
        are looked for in the workflows that are runnable, stopped or crashed; the others are most of the table, met as it is walked.
        """
        filters = Filters()
        if workflow_id is not None:
            filters.add("w.id = {}", workflow_id)
        elif state == _FAILED:
            filters.add("w.state = 4")
        elif state == _NEW:
            filters.add(f"w.id = ANY(ARRAY({_PENDING}))")
        if state == _DONE:
            filters.add("e.seq <= w.done_seq")
        elif state == _FAILED:
            filters.add("w.state = 4 AND e.seq = w.done_seq + 1")
        elif state is not None:
            filters.add("e.seq > w.done_seq AND NOT (w.state = 4 AND e.seq = w.done_seq + 1)")
        if after is not None:
            filters.add("e.workflow_id >= {0} AND (e.workflow_id, e.seq) > ({0}, {1})", *after)
        query = f"SELECT {_EVENT_COLUMNS} FROM workflow AS w JOIN workflow_event AS e ON e.workflow_id = w.id"  # noqa: S608 - a constant of ours
        return await self._fetch(query, filters, "e.workflow_id, e.seq", limit)

    async def _fetch(self, query: str, filters: Filters, order: str, limit: int) -> list[Record]:
        statement = f"{query} {filters.where} ORDER BY {order} LIMIT {filters.place(limit + 1)}"
        async with self._database.acquire() as connection:
            return await connection.fetch(statement, *filters.values)

    async def flags(self) -> list[Record]:
        """Return all flags."""
        async with self._database.acquire() as connection:
            return await connection.fetch(_FLAGS)

    async def flag(self, name: str) -> Record | None:
        """Return one flag."""
        async with self._database.acquire() as connection:
            return await connection.fetchrow(_FLAG, name)
