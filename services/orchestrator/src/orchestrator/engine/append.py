"""Appending events to workflows, which are made where they do not exist, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

from common.postgres import Connection
from orchestrator.engine.model import NewEvent

# Chained in one statement: the workflow's row is locked (by the upsert) before its events get their sequence numbers.
# A finished workflow runs again when something late arrives; a stopped or crashed one only collects. One that sleeps is woken (the
# row that is looked at is the newest, not the snapshot's: a timer that is being set right now cannot hide the event); one that waits
# after a failure is not. With $10 the cursor moves with them where nothing else waits: the caller carries them out (ingest_store).
APPEND_EVENTS = """
WITH given AS (
    SELECT *, row_number() OVER (PARTITION BY order_number, kind, key ORDER BY ord) AS place
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::bytea[], $8::text[],
                $9::timestamptz[])
         WITH ORDINALITY AS g (order_number, kind, key, type, event_id, attributes, payload, traceparent, received_at, ord)
), owner AS (
    INSERT INTO workflow AS w (order_number, kind, key, last_seq, done_seq)
    SELECT order_number, kind, key, count(*), CASE WHEN $10::boolean THEN count(*) ELSE 0 END
    FROM given GROUP BY order_number, kind, key ORDER BY order_number, kind, key
    ON CONFLICT (order_number, kind, key) DO UPDATE
       SET last_seq = w.last_seq + excluded.last_seq, updated_at = now(),
           done_seq = w.done_seq + CASE WHEN w.done_seq = w.last_seq AND w.state IN (1, 3) AND w.error IS NULL
                                             AND w.failed_events + w.retried_events = 0 THEN excluded.done_seq ELSE 0 END,
           state = CASE WHEN w.state = 3 THEN 1 ELSE w.state END
    RETURNING w.id, w.order_number, w.kind, w.key, w.last_seq, w.done_seq, w.state
), counted AS (
    SELECT order_number, kind, key, count(*) AS many FROM given GROUP BY order_number, kind, key
), event AS (
    INSERT INTO workflow_event (workflow_id, seq, type, event_id, attributes, payload, traceparent, received_at)
    SELECT o.id, o.last_seq - c.many + g.place, g.type, g.event_id, g.attributes, g.payload, g.traceparent, g.received_at
    FROM given AS g
    JOIN owner AS o USING (order_number, kind, key)
    JOIN counted AS c USING (order_number, kind, key)
)
"""
_MAKE_READY = """
INSERT INTO workflow_ready AS q (workflow_id, lane)
SELECT id, workflow_lane(kind) FROM owner WHERE state = 1 ORDER BY id
ON CONFLICT (workflow_id) DO UPDATE SET ready_at = excluded.ready_at
 WHERE q.owner IS NULL AND q.attempts = 0 AND q.ready_at > excluded.ready_at
"""


def columns(rows: Iterable[object], *names: str) -> list[list[Any]]:
    """Return rows (at least one) as columns of these attributes, for ``unnest``. Names may be dotted; at least two."""
    return [list(column) for column in zip(*map(attrgetter(*names), rows), strict=True)]


async def append_events(connection: Connection, events: Sequence[NewEvent]) -> None:
    """Append events to their workflows, in this order, and make the workflows runnable, in the caller's transaction."""
    if events:
        await connection.execute(APPEND_EVENTS + _MAKE_READY, *event_columns(events), False)


def event_columns(events: Sequence[NewEvent]) -> list[list[Any]]:
    """Return events as what ``APPEND_EVENTS`` is given; whether they are carried out at once comes last."""
    names = ("type", "event_id", "attributes", "payload", "traceparent", "received_at")
    return columns(events, "order_number", "kind", "key", *(f"event.{name}" for name in names))
