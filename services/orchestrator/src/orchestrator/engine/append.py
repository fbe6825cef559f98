"""Taking in what other services send: hooks into workflows, journal entries into timelines, states of refunds."""

from __future__ import annotations

from collections.abc import Sequence

from common.contracts.refunds import RefundStateChangedV1
from common.postgres import Connection
from orchestrator.engine.model import NewEvent, TimelineEntry

# Chained in one statement: the workflow's row is locked (by the upsert) before its events get their sequence numbers.
# A finished workflow runs again when something late arrives; a stopped or crashed one only collects. One that sleeps is woken (the
# row that is looked at is the newest, not the snapshot's: a timer that is being set right now cannot hide the event); one that waits
# after a failure is not.
_INGEST = """
WITH given AS (
    SELECT *, row_number() OVER (PARTITION BY order_number, kind, key ORDER BY ord) AS place
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::bytea[], $8::text[],
                $9::timestamptz[])
         WITH ORDINALITY AS g (order_number, kind, key, type, event_id, attributes, payload, traceparent, received_at, ord)
), owner AS (
    INSERT INTO workflow AS w (order_number, kind, key, last_seq)
    SELECT order_number, kind, key, count(*) FROM given GROUP BY order_number, kind, key ORDER BY order_number, kind, key
    ON CONFLICT (order_number, kind, key) DO UPDATE
       SET last_seq = w.last_seq + excluded.last_seq, updated_at = now(),
           state = CASE WHEN w.state = 3 THEN 1 ELSE w.state END
    RETURNING w.id, w.order_number, w.kind, w.key, w.last_seq, w.state
), counted AS (
    SELECT order_number, kind, key, count(*) AS many FROM given GROUP BY order_number, kind, key
), event AS (
    INSERT INTO workflow_event (workflow_id, seq, type, event_id, attributes, payload, traceparent, received_at)
    SELECT o.id, o.last_seq - c.many + g.place, g.type, g.event_id, g.attributes, g.payload, g.traceparent, g.received_at
    FROM given AS g
    JOIN owner AS o USING (order_number, kind, key)
    JOIN counted AS c USING (order_number, kind, key)
)
INSERT INTO workflow_ready AS q (workflow_id, lane)
SELECT id, workflow_lane(kind) FROM owner WHERE state = 1 ORDER BY id
ON CONFLICT (workflow_id) DO UPDATE SET ready_at = excluded.ready_at
 WHERE q.owner IS NULL AND q.attempts = 0 AND q.ready_at > excluded.ready_at
"""

_TELL = """
INSERT INTO timeline (order_number, occurred_at, service, kind, actor, summary, details, traceparent)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::text[])
"""

_STORE = """
INSERT INTO order_refund AS r (refund_id, order_number, payment_id, business_key, state, state_name, version, amount, currency,
                               updated_at)
SELECT DISTINCT ON (g.refund_id) g.* FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::text[],
    $7::bigint[], $8::bigint[], $9::text[], $10::timestamptz[])
    AS g (refund_id, order_number, payment_id, business_key, state, state_name, version, amount, currency, updated_at)
ORDER BY g.refund_id, g.version DESC
ON CONFLICT (refund_id) DO UPDATE
   SET state = excluded.state, state_name = excluded.state_name, version = excluded.version, amount = excluded.amount,
       updated_at = excluded.updated_at
 WHERE r.version < excluded.version
"""

# Refunded is an order whose whole cost went back. Tips depend on it, so the version that tips compare grows with it.
_MARK = """
WITH sums AS (
    SELECT r.order_number, coalesce(sum(r.amount) FILTER (WHERE r.state_name = 'SUCCESS'), 0) AS amount
    FROM order_refund AS r WHERE r.order_number = ANY($1::text[]) GROUP BY r.order_number
), target AS (
    SELECT o.number, s.amount > 0 AND s.amount >= coalesce(o.cost_total, 0) AS refunded
    FROM orders AS o JOIN sums AS s ON s.order_number = o.number ORDER BY o.number FOR NO KEY UPDATE OF o
)
UPDATE orders AS o SET refunded = t.refunded, tips_revision = o.tips_revision + 1, updated_at = now()
  FROM target AS t WHERE o.number = t.number AND o.refunded <> t.refunded
RETURNING o.number, o.refunded
"""


class PostgresIntake:
    """Everything works on a whole batch, in the caller's transaction."""

    async def ingest(self, connection: Connection, events: Sequence[NewEvent]) -> None:
        """Append events to their workflows, in this order, and make the workflows runnable, in the caller's transaction."""
        await ingest(connection, events)

    async def tell(self, connection: Connection, entries: Sequence[TimelineEntry]) -> None:
        """Add lines to timelines."""
        await tell(connection, entries)

    async def store_refunds(self, connection: Connection, messages: Sequence[RefundStateChangedV1]) -> list[str]:
        """Keep the newest state of each refund, whatever the order of arrival, in the caller's transaction.

        Returns the numbers of the orders that are refunded in full from now on.
        """
        if not messages:
            return []
        await connection.execute(
            _STORE,
            [item.refund_id for item in messages],
            [item.order_number for item in messages],
            [item.payment_id for item in messages],
            [item.business_key for item in messages],
            [item.state for item in messages],
            [item.state_name for item in messages],
            [item.version for item in messages],
            [item.amount for item in messages],
            [item.currency for item in messages],
            [item.occurred_at for item in messages],
        )
        rows = await connection.fetch(_MARK, sorted({item.order_number for item in messages}))
        return [row["number"] for row in rows if row["refunded"]]


async def ingest(connection: Connection, events: Sequence[NewEvent]) -> None:
    """Append events to their workflows, which are made where they do not exist, in the caller's transaction."""
    if events:
        await connection.execute(
            _INGEST,
            [event.order_number for event in events],
            [event.kind for event in events],
            [event.key for event in events],
            [event.type for event in events],
            [event.event_id for event in events],
            [event.attributes for event in events],
            [event.payload for event in events],
            [event.traceparent for event in events],
            [event.received_at for event in events],
        )


async def tell(connection: Connection, entries: Sequence[TimelineEntry]) -> None:
    """Add lines to timelines, in the caller's transaction."""
    if entries:
        await connection.execute(
            _TELL,
            [entry.order_number for entry in entries],
            [entry.occurred_at for entry in entries],
            [entry.service for entry in entries],
            [entry.kind for entry in entries],
            [entry.actor for entry in entries],
            [entry.summary for entry in entries],
            [entry.details for entry in entries],
            [entry.traceparent for entry in entries],
        )
