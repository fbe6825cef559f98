"""The SQL of taking events in and carrying them out at once; all in one transaction of the caller's, in this order.

``append_locked`` locks the workflows, by order number, for as long as the transaction lasts. Rows of ``workflow_ready`` are made and
deleted by holders of that lock only, so a workflow that has none then is nobody's until the transaction ends: no worker can have it, and
the result of one that had it is refused, because it finds no row of its own. The lock stands for lease and fence. The cursor moves as
the events are appended, in one write of the row; nobody sees that before the commit, and ``make_ready`` takes it back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from common.postgres import Connection
from orchestrator.engine.append import APPEND_EVENTS, columns, event_columns
from orchestrator.engine.model import Claim, NewEvent, Outcome, WorkflowEvent

_APPEND_LOCKED = (
    APPEND_EVENTS
    + """
SELECT o.id, o.order_number, o.kind, o.key, o.last_seq - c.many AS before, o.done_seq, o.done_seq = o.last_seq AS free
FROM owner AS o JOIN counted AS c USING (order_number, kind, key)
"""
)

# A statement of its own: its snapshot sees what was committed before the workflows could be locked. An order's other workflows are locked
# without waiting: whoever has one may be waiting for the order's life, which is locked already.
_LOCK_FOLLOWERS = """
WITH wanted AS (
    SELECT w.id, w.order_number FROM workflow AS w JOIN unnest($1::text[], $2::text[], $3::text[]) AS g (order_number, kind, key)
        USING (order_number, kind, key)
), locked AS (
    SELECT w.id FROM workflow AS w JOIN wanted USING (id) ORDER BY w.order_number, w.kind, w.key FOR NO KEY UPDATE OF w SKIP LOCKED
)
SELECT DISTINCT order_number FROM wanted WHERE id NOT IN (SELECT id FROM locked)
"""

# The cursors have moved already, where they were behind nothing else. Nobody may have the workflow or be to have it: that is seen by a
# snapshot that is younger than the lock. Most go on running: only the others are written a second time.
_COMPLETE_LOCKED = """
WITH mine AS (
    SELECT r.id, r.state FROM unnest($1::bigint[], $2::smallint[]) AS r (id, state)
    WHERE NOT EXISTS (SELECT FROM workflow_ready AS q WHERE q.workflow_id = r.id)
), ended AS (
    UPDATE workflow AS w SET state = m.state FROM mine AS m WHERE w.id = m.id AND m.state <> 1
)
SELECT id FROM mine
"""

# What was not carried out after all waits again behind its cursor.
_MAKE_READY = """
WITH left_over AS (
    SELECT * FROM unnest($1::bigint[], $2::integer[]) AS l (id, done_seq)
), back AS (
    UPDATE workflow AS w SET done_seq = l.done_seq FROM left_over AS l WHERE w.id = l.id AND w.done_seq > l.done_seq
)
INSERT INTO workflow_ready AS q (workflow_id, lane)
SELECT id, workflow_lane(kind) FROM workflow JOIN left_over USING (id) WHERE state = 1 ORDER BY id
ON CONFLICT (workflow_id) DO UPDATE SET ready_at = excluded.ready_at
 WHERE q.owner IS NULL AND q.attempts = 0 AND q.ready_at > excluded.ready_at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """Workflows whose events were appended, locked: by id where each one's cursor stood; ``free`` are those that nothing else is known
    to wait in, lent: their cursors are behind the events already.
    """

    cursors: Mapping[int, int]
    free: Sequence[Claim]


async def append_locked(connection: Connection, events: Sequence[NewEvent]) -> Appended:
    """Append events (at least one) to their workflows, in this order, and lock those. Nobody is told: see ``make_ready``."""
    rows = await connection.fetch(_APPEND_LOCKED, *event_columns(events), True)
    given: dict[tuple[str, str, str], list[WorkflowEvent]] = defaultdict(list)
    for each in events:
        given[each.order_number, each.kind, each.key].append(each.event)
    free = [
        Claim(
            workflow_id=row["id"],
            order_number=row["order_number"],
            kind=row["kind"],
            key=row["key"],
            done_seq=row["before"],
            fence=0,
            attempts=0,
            events=tuple(_numbered(given[row["order_number"], row["kind"], row["key"]], after=row["before"])),
        )
        for row in rows
        if row["free"]
    ]
    cursors = {row["id"]: row["before"] if row["free"] else row["done_seq"] for row in rows}
    return Appended(cursors=cursors, free=free)


async def complete_locked(connection: Connection, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Complete locked workflows and lock what their outcomes append to; return those for which both could be done."""
    appends = [event for item in outcomes for event in item.appends]
    if appends:
        rows = await connection.fetch(_LOCK_FOLLOWERS, *columns(appends, "order_number", "kind", "key"))
        held = {row["order_number"] for row in rows}
        outcomes = [item for item in outcomes if item.claim.order_number not in held]
    # A workflow that is to sleep needs its ready row: a worker's affair.
    outcomes = [item for item in outcomes if item.wake_at is None and item.upto == item.claim.upto]
    if not outcomes:
        return []
    results = columns(outcomes, "claim.workflow_id", "state")
    accepted = {row["id"] for row in await connection.fetch(_COMPLETE_LOCKED, *results)}
    return [item for item in outcomes if item.claim.workflow_id in accepted]


async def make_ready(connection: Connection, cursors: Mapping[int, int]) -> None:
    """Put the cursors of these locked workflows back where they stood, and make those that run ready for the workers."""
    if cursors:
        await connection.execute(_MAKE_READY, list(cursors), list(cursors.values()))


def _numbered(events: Sequence[WorkflowEvent], *, after: int) -> Iterator[WorkflowEvent]:
    for seq, event in enumerate(events, after + 1):
        yield WorkflowEvent(
            type=event.type,
            event_id=event.event_id,
            attributes=event.attributes,
            payload=event.payload,
            traceparent=event.traceparent,
            received_at=event.received_at,
            seq=seq,
        )
