"""The workflow engine's SQL. Every statement works on a whole batch; locks are taken in one order:
workflows by order number (as the intake's upsert does), then ready rows, then orders by number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from common.messaging import outbox
from common.postgres import Connection, Database
from orchestrator.engine.append import tell
from orchestrator.engine.effects import lock_appended, write_life
from orchestrator.engine.model import Claim, Failure, Lane, OrderRow, Outcome
from orchestrator.orders.rows import ORDER_COLUMNS, claims_of, order_values

# States are spelled as their numbers in SQL (ports.WorkflowState).
_CLAIM = "SELECT * FROM workflow_claim($1, $2, make_interval(secs => $3), $4, $5)"

# The guard of every result: the ready row must still be this owner's, under this very fence, and the cursor where it was.
# A late result changes nothing. Success moves the cursor; the ready row stays only if more events have come, or as a timer.
_COMPLETE = """
WITH result AS (
    SELECT * FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::smallint[], $7::timestamptz[])
        AS r (id, fence, done_seq, upto, state, wake_at)
), held AS (
    SELECT w.id FROM workflow AS w JOIN result AS r ON r.id = w.id
    WHERE w.done_seq = r.done_seq ORDER BY w.order_number, w.kind, w.key FOR NO KEY UPDATE OF w
), mine AS (
    SELECT q.workflow_id AS id FROM workflow_ready AS q JOIN held AS h ON h.id = q.workflow_id JOIN result AS r ON r.id = h.id
    WHERE q.owner = $1 AND q.fence = r.fence ORDER BY q.workflow_id FOR UPDATE OF q
), moved AS (
    UPDATE workflow AS w
       SET done_seq = r.upto, updated_at = now(), error = NULL, error_stack = NULL,
           state = CASE WHEN w.last_seq > r.upto THEN 1 ELSE r.state END
      FROM result AS r JOIN mine AS m ON m.id = r.id
     WHERE w.id = r.id
    RETURNING w.id, CASE WHEN w.last_seq > r.upto THEN now() ELSE r.wake_at END AS again_at
), released AS (
    UPDATE workflow_ready AS q SET owner = NULL, lease_until = NULL, attempts = 0, ready_at = m.again_at
      FROM moved AS m WHERE q.workflow_id = m.id AND m.again_at IS NOT NULL
), ended AS (
    DELETE FROM workflow_ready AS q USING moved AS m WHERE q.workflow_id = m.id AND m.again_at IS NULL
)
SELECT id FROM moved
"""

_FAIL = """
WITH result AS (
    SELECT * FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::float8[], $7::boolean[])
        AS r (id, fence, error, stack, retry_in, counted)
), held AS (
    SELECT w.id FROM workflow AS w JOIN result AS r ON r.id = w.id
    ORDER BY w.order_number, w.kind, w.key FOR NO KEY UPDATE OF w
), mine AS (
    SELECT q.workflow_id AS id FROM workflow_ready AS q JOIN held AS h ON h.id = q.workflow_id JOIN result AS r ON r.id = h.id
    WHERE q.owner = $1 AND q.fence = r.fence ORDER BY q.workflow_id FOR UPDATE OF q
), noted AS (
    UPDATE workflow AS w
       SET error = r.error, error_stack = r.stack, failed_at = now(), updated_at = now(),
           state = CASE WHEN r.retry_in IS NULL THEN 4 ELSE w.state END, revision = w.revision + 1
      FROM result AS r JOIN mine AS m ON m.id = r.id
     WHERE w.id = r.id
    RETURNING w.id, w.order_number, w.kind, r.retry_in, r.counted
), retried AS (
    UPDATE workflow_ready AS q
       SET owner = NULL, lease_until = NULL, ready_at = now() + make_interval(secs => n.retry_in), lane = workflow_lane(n.kind),
           attempts = q.attempts + CASE WHEN n.counted THEN 1 ELSE 0 END
      FROM noted AS n WHERE q.workflow_id = n.id AND n.retry_in IS NOT NULL
), crashed AS (
    DELETE FROM workflow_ready AS q USING noted AS n WHERE q.workflow_id = n.id AND n.retry_in IS NULL
), derived AS (
    INSERT INTO order_aggregate_change (order_number) SELECT order_number FROM noted WHERE retry_in IS NULL
)
SELECT id FROM noted
"""

_ORDER_NAMES = ", ".join(name for name, _ in ORDER_COLUMNS)
_WRITE_ORDERS = f"""
INSERT INTO orders AS o ({_ORDER_NAMES})
SELECT * FROM unnest({", ".join(f"${place}::{kind}[]" for place, (_, kind) in enumerate(ORDER_COLUMNS, 1))})
ON CONFLICT (number) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name, _ in ORDER_COLUMNS if name not in {"number", "aggregate_state"})},
    aggregate_state = CASE WHEN o.aggregate_state IN ('stopped', 'crashed') THEN o.aggregate_state
                           ELSE excluded.aggregate_state END,
    updated_at = now()
"""  # noqa: S608 - names and types of columns, from a constant of ours

_MOVE_STOCK = """
INSERT INTO stock_movements (number, revision, store_id, position_id, quantity, kind, occurred_at)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::numeric[], $6::text[], $7::timestamptz[])
"""

_PARK = """
INSERT INTO parked_order (workflow_id, order_number, source, hook)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[])
ON CONFLICT (workflow_id) DO NOTHING
"""
_UNPARK = "DELETE FROM parked_order WHERE workflow_id = ANY($1::bigint[]) RETURNING workflow_id, alerted_at"

# Sorted, as everybody locks ready rows: an intake may be locking some of them to wake sleepers.
_RELEASE = """
WITH mine AS (SELECT workflow_id FROM workflow_ready WHERE owner = $1 ORDER BY workflow_id FOR UPDATE)
UPDATE workflow_ready AS q SET owner = NULL, lease_until = NULL FROM mine WHERE q.workflow_id = mine.workflow_id
"""
_RELEASE_EXPIRED = """
WITH gone AS (
    SELECT workflow_id FROM workflow_ready WHERE owner IS NOT NULL AND lease_until < clock_timestamp()
    ORDER BY lease_until LIMIT 1000 FOR UPDATE SKIP LOCKED
)
UPDATE workflow_ready AS q
   SET owner = NULL, lease_until = NULL, fence = nextval('workflow_fence'), attempts = q.attempts + 1, ready_at = now()
  FROM gone WHERE q.workflow_id = gone.workflow_id
"""


class PostgresWorkflows:
    """The ``WorkflowStore`` on PostgreSQL."""

    def __init__(self, database: Database, lane: Lane = Lane.LIFE, *, events_a_claim: int = 200) -> None:
        """Claim workflows of one lane; everything else works on any."""
        self._database = database
        self._lane = lane
        self._events_a_claim = events_a_claim

    async def claim(self, *, owner: str, limit: int, lease_seconds: float) -> list[Claim]:
        """See the port."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_CLAIM, owner, limit, lease_seconds, self._events_a_claim, int(self._lane))
        return claims_of(rows)

    async def complete(self, *, owner: str, outcomes: Sequence[Outcome], failures: Sequence[Failure]) -> set[int]:
        """See the port."""
        async with self._database.transaction() as connection:
            accepted: set[int] = set()
            if outcomes:
                await lock_appended(connection, outcomes)
                rows = await connection.fetch(
                    _COMPLETE,
                    owner,
                    [item.claim.workflow_id for item in outcomes],
                    [item.claim.fence for item in outcomes],
                    [item.claim.done_seq for item in outcomes],
                    [item.upto for item in outcomes],
                    [int(item.state) for item in outcomes],
                    [item.wake_at for item in outcomes],
                )
                accepted.update(row["id"] for row in rows)
                await _write_effects(connection, [item for item in outcomes if item.claim.workflow_id in accepted])
            if failures:
                rows = await connection.fetch(
                    _FAIL,
                    owner,
                    [item.claim.workflow_id for item in failures],
                    [item.claim.fence for item in failures],
                    [item.error for item in failures],
                    [item.stack for item in failures],
                    [item.retry_in for item in failures],
                    [item.counted for item in failures],
                )
                noted = {row["id"] for row in rows}
                await outbox.add_encoded(
                    connection,
                    (item.event for item in failures if item.event is not None and item.claim.workflow_id in noted),
                )
                accepted |= noted
        return accepted

    async def release(self, *, owner: str) -> None:
        """See the port."""
        async with self._database.acquire() as connection:
            await connection.execute(_RELEASE, owner)

    async def release_expired(self) -> int:
        """See the port."""
        async with self._database.acquire() as connection:
            status: str = await connection.execute(_RELEASE_EXPIRED)
        return int(status.rpartition(" ")[2])


async def _write_effects(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    orders = sorted((item.order for item in outcomes if item.order is not None), key=lambda order: order.state.number)
    if orders:
        await connection.execute(_WRITE_ORDERS, *_columns(orders))
    moves = [
        (item.order, entry, "correction" if item.stock_corrects else "shipment")
        for item in outcomes
        if item.order is not None
        for entry in item.stock
    ]
    if moves:
        await connection.execute(
            _MOVE_STOCK,
            [order.state.number for order, _, _ in moves],
            [order.revision for order, _, _ in moves],
            [entry.store_id for _, entry, _ in moves],
            [entry.position_id for _, entry, _ in moves],
            [entry.quantity for _, entry, _ in moves],
            [kind for _, _, kind in moves],
            [order.state.shipped_at or order.state.last.moment for order, _, _ in moves],
        )
    await tell(connection, [entry for item in outcomes for entry in item.timeline])
    parked = [(item.claim.workflow_id, item.parked) for item in outcomes if item.parked is not None]
    if parked:
        await connection.execute(
            _PARK,
            [workflow_id for workflow_id, _ in parked],
            [item.order_number for _, item in parked],
            [item.source for _, item in parked],
            [item.hook for _, item in parked],
        )
    events = [event for item in outcomes for event in item.events]
    unparked = {item.claim.workflow_id: item.unparked for item in outcomes if item.unparked is not None}
    if unparked:
        rows = await connection.fetch(_UNPARK, list(unparked))
        events += [unparked[row["workflow_id"]] for row in rows if row["alerted_at"] is not None]
    await outbox.add_encoded(connection, events)
    await write_life(connection, outcomes)


def _columns(orders: Iterable[OrderRow]) -> list[list[Any]]:
    return [list(column) for column in zip(*map(order_values, orders), strict=True)]
