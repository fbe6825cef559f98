"""Operations on many workflows and orders at once, and on past events: each in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from common.errors import Conflict, NotFound
from common.postgres import Connection, Record
from orchestrator.engine.filters import Filters
from orchestrator.engine.model import WorkflowState
from orchestrator.orders.measure import ask_to_derive

_STOPPABLE = (WorkflowState.RUNNING, WorkflowState.CRASHED)

# Locks in the engine's order: workflows by order number, then ready rows by workflow.
_LOCK = "SELECT * FROM workflow WHERE id = ANY($1::bigint[]) ORDER BY order_number, kind, key FOR NO KEY UPDATE"
_FORGET_READY = """
WITH held AS (SELECT workflow_id FROM workflow_ready WHERE workflow_id = ANY($1::bigint[]) ORDER BY workflow_id FOR UPDATE)
DELETE FROM workflow_ready AS q USING held WHERE q.workflow_id = held.workflow_id
"""
_STOP = """
UPDATE workflow SET state = 2, updated_at = now(), revision = revision + 1 WHERE id = ANY($1::bigint[]) RETURNING *
"""

_LOCK_ONE = "SELECT * FROM workflow WHERE id = $1 FOR NO KEY UPDATE"
_EVENT = """
SELECT e.workflow_id, e.seq, e.type, e.event_id, e.attributes, e.traceparent, e.received_at, e.recorded_at
FROM workflow_event AS e WHERE e.workflow_id = $1 AND e.seq = $2
"""
# The copy keeps the original's event_id and receipt: the fold takes it for the repeat that it is and works everything out again.
_APPEND_COPY = """
INSERT INTO workflow_event (workflow_id, seq, type, event_id, attributes, payload, traceparent, received_at)
SELECT workflow_id, $3, type, event_id, attributes || $4::jsonb, payload, $5, received_at
FROM workflow_event WHERE workflow_id = $1 AND seq = $2
RETURNING workflow_id, seq, type, event_id, attributes, traceparent, received_at, recorded_at
"""
_MOVE_LAST = """
UPDATE workflow SET last_seq = last_seq + 1, updated_at = now(), state = CASE WHEN state = 3 THEN 1 ELSE state END
WHERE id = $1 RETURNING *
"""
_MAKE_READY = """
INSERT INTO workflow_ready AS q (workflow_id, lane) SELECT id, workflow_lane(kind) FROM workflow WHERE id = $1 AND state = 1
ON CONFLICT (workflow_id) DO UPDATE SET ready_at = excluded.ready_at
 WHERE q.owner IS NULL AND q.attempts = 0 AND q.ready_at > excluded.ready_at
"""

_KNOWN = "SELECT number, aggregate_state FROM orders WHERE number = ANY($1::text[]) ORDER BY number FOR NO KEY UPDATE"
_DERIVE = """
WITH asked AS (DELETE FROM order_aggregate_change WHERE order_number = ANY($1::text[]))
UPDATE orders SET aggregate_state = order_aggregate_state(number, status) WHERE number = ANY($1::text[])
RETURNING number, aggregate_state
"""
_ASK_ALL = """
WITH asked AS (INSERT INTO order_aggregate_change (order_number) SELECT number FROM orders RETURNING 1)
SELECT count(*) FROM asked
"""
# All orders at once: one pass over both tables, never a look-up an order.
_DIFFERENCES = """
WITH troubled AS (
    SELECT order_number, bool_or(state = 4) AS crashed FROM workflow WHERE state IN (2, 4) GROUP BY order_number
), derived AS (
    SELECT o.number, o.aggregate_state AS before,
           CASE WHEN t.crashed THEN 'crashed' WHEN t.crashed IS NOT NULL THEN 'stopped' WHEN o.status = 'cancelled' THEN 'cancelled'
                WHEN o.status = 'delivered' THEN 'finished' ELSE 'in_progress' END AS after
    FROM orders AS o LEFT JOIN troubled AS t ON t.order_number = o.number
)
SELECT number, before, after, count(*) OVER () AS total, (SELECT count(*) FROM derived) AS orders
FROM derived WHERE before <> after ORDER BY number LIMIT $1
"""
_COUNT = "SELECT count(*) FROM orders"


class PostgresBulk:
    """The operations."""

    async def matching_workflows(
        self,
        connection: Connection,
        *,
        states: Sequence[int],
        kind: str | None,
        order_numbers: Sequence[str] | None,
        source: str | None,
        store_id: str | None,
        created_after: datetime | None,
        created_before: datetime | None,
        limit: int,
    ) -> list[int]:
        """Return the ids of workflows that match, the oldest first, at most ``limit``. Finished ones never match."""
        filters = Filters()
        filters.add(f"w.state IN ({', '.join(str(int(state)) for state in states)}) AND w.state <> 3")
        filters.add_given("w.kind = {}", kind)
        filters.add_given("w.order_number = ANY({}::text[])", order_numbers)
        filters.add_given("o.source = {}", source)
        filters.add_given("o.store_id = {}", store_id)
        filters.add_given("w.created_at >= {}", created_after)
        filters.add_given("w.created_at < {}", created_before)
        # By source or store only orders that exist are found; one that crashed on its `created` has neither yet.
        joined = "" if source is None and store_id is None else "JOIN orders AS o ON o.number = w.order_number"
        query = f"SELECT w.id FROM workflow AS w {joined} {filters.where} ORDER BY w.id LIMIT {filters.place(limit)}"  # noqa: S608 - constants and parameters
        return [row["id"] for row in await connection.fetch(query, *filters.values)]

    async def stop_workflows(
        self, connection: Connection, ids: Sequence[int]
    ) -> list[tuple[int, Record | None, Record | None]]:
        """Stop all that can be stopped (M9): running and crashed ones; claims in flight are refused.

        Returns, in the order of ``ids``, each with its row before (None: unknown) and after (None: left as it is).
        """
        found: Mapping[int, Record] = {row["id"]: row for row in await connection.fetch(_LOCK, ids)}
        chosen = [key for key, row in found.items() if row["state"] in _STOPPABLE]
        await connection.execute(_FORGET_READY, chosen)
        stopped: Mapping[int, Record] = {row["id"]: row for row in await connection.fetch(_STOP, chosen)}
        await ask_to_derive(connection, sorted({row["order_number"] for row in stopped.values()}))
        return [(key, found.get(key), stopped.get(key)) for key in ids]

    async def reprocess_event(
        self, connection: Connection, workflow_id: int, seq: int, *, actor: str, reason: str, traceparent: str | None
    ) -> tuple[Record, Record, Record, Record]:
        """Append a copy of an event that was carried out, which names the original; a finished workflow runs again (M13).

        Returns the original, the copy, and the workflow before and after. Raises ``NotFound``; ``Conflict`` when the original has not
        been carried out yet (it will be), or when a copy of it still waits.
        """
        workflow = await connection.fetchrow(_LOCK_ONE, workflow_id)
        original = await connection.fetchrow(_EVENT, workflow_id, seq)
        if workflow is None or original is None:
            raise NotFound(f"there is no event {workflow_id}-{seq}")
        if seq > workflow["done_seq"]:
            raise Conflict(
                f"event {workflow_id}-{seq} has not been carried out yet: retry or resume its workflow instead"
            )
        waiting = await connection.fetchval(
            "SELECT seq FROM workflow_event WHERE workflow_id = $1 AND seq > $2 AND attributes->'reprocess_of' = to_jsonb($3::integer)",
            workflow_id,
            workflow["done_seq"],
            seq,
        )
        if waiting is not None:
            raise Conflict(f"event {workflow_id}-{waiting} already waits to carry event {workflow_id}-{seq} out again")
        names: dict[str, Any] = {"reprocess_of": seq, "reprocess_by": actor, "reprocess_reason": reason}
        copy = await connection.fetchrow(
            _APPEND_COPY, workflow_id, seq, workflow["last_seq"] + 1, names, traceparent or original["traceparent"]
        )
        after = await connection.fetchrow(_MOVE_LAST, workflow_id)
        await connection.execute(_MAKE_READY, workflow_id)
        if copy is None or after is None:
            raise NotFound(f"there is no event {workflow_id}-{seq}")
        return original, copy, workflow, after

    async def recalculate_orders(
        self, connection: Connection, numbers: Sequence[str]
    ) -> list[tuple[str, str | None, str | None]]:
        """Derive the aggregate states of these orders again (M10); return each with its state before and after, None: unknown."""
        before = {row["number"]: row["aggregate_state"] for row in await connection.fetch(_KNOWN, numbers)}
        known = sorted(before)
        await ask_to_derive(connection, known)
        after = {row["number"]: row["aggregate_state"] for row in await connection.fetch(_DERIVE, known)}
        return [(number, before.get(number), after.get(number)) for number in numbers]

    async def differences(self, connection: Connection, *, limit: int) -> tuple[int, int, list[tuple[str, str, str]]]:
        """Return how many orders there are, how many of them are stored otherwise than derived, and the first of those."""
        rows = await connection.fetch(_DIFFERENCES, limit)
        if not rows:
            return await connection.fetchval(_COUNT), 0, []
        found = [(row["number"], row["before"], row["after"]) for row in rows]
        return rows[0]["orders"], rows[0]["total"], found

    async def ask_for_all(self, connection: Connection) -> int:
        """Put every order into the change table; the job works it off. Returns how many there are."""
        count: int = await connection.fetchval(_ASK_ALL)
        return count
