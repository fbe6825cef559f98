"""The workflow engine's SQL, each statement for a whole batch.

``WorkflowStore`` claims workflows, completes or fails them, and releases them; ``write_all``, ``add_to_timeline`` and
``request_derivation`` write in the caller's transaction. Locks are taken in one order: workflows by order number (as appending does),
then ready rows, then orders by number. ``workflow_lane`` is in migrations/0120_pre_lanes_and_timers.sql, ``workflow_take`` in
0220_pre_suspects_alone.sql.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from common.errors import Unavailable
from common.messaging import outbox
from common.postgres import Connection, Database, Record, is_transient
from orchestrator.engine.append import append_events, columns
from orchestrator.engine.messages import crashed_again, workflow_crashed
from orchestrator.engine.model import (
    Claim,
    Encoded,
    EventState,
    Failure,
    Outcome,
    TimelineEntry,
    WorkerPool,
    WorkflowEvent,
)

WriteEffects = Callable[[Connection, Sequence[Outcome]], Awaitable[Sequence[Encoded]]]
"""Writes the effects of outcomes in the transaction that accepts them; returns what it adds to the outbox."""

_ADD_TO_TIMELINE = """
INSERT INTO timeline (order_number, occurred_at, service, kind, actor, summary, details, traceparent)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::text[])
"""

# States are spelled as their numbers in SQL (model.WorkflowState).
_CLAIM = "SELECT * FROM workflow_take($1, $2, make_interval(secs => $3), $4, $5)"

# The guard of every result: the ready row must still be this owner's, under this very fence, and the cursor where it was.
# A late result changes nothing. Success moves the cursor; the ready row stays only if more events have come, or as a timer. A workflow
# with failed events does not finish: its events have to stay.
_COMPLETE = """
WITH result AS (
    SELECT * FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::smallint[], $7::timestamptz[], $8::integer[])
        AS r (id, fence, done_seq, upto, state, wake_at, retried)
), held AS (
    SELECT w.id FROM workflow AS w JOIN result AS r ON r.id = w.id
    WHERE w.done_seq = r.done_seq ORDER BY w.order_number, w.kind, w.key FOR NO KEY UPDATE OF w
), mine AS (
    SELECT q.workflow_id AS id FROM workflow_ready AS q JOIN held AS h ON h.id = q.workflow_id JOIN result AS r ON r.id = h.id
    WHERE q.owner = $1 AND q.fence = r.fence ORDER BY q.workflow_id FOR UPDATE OF q
), moved AS (
    UPDATE workflow AS w
       SET done_seq = r.upto, updated_at = now(), retried_events = w.retried_events - r.retried,
           error = CASE WHEN w.failed_events > 0 THEN w.error END, error_stack = CASE WHEN w.failed_events > 0 THEN w.error_stack END,
           state = CASE WHEN w.last_seq > r.upto OR w.failed_events > 0 OR w.retried_events > r.retried THEN 1 ELSE r.state END
      FROM result AS r JOIN mine AS m ON m.id = r.id
     WHERE w.id = r.id
    RETURNING w.id, w.last_seq > r.upto OR w.retried_events > 0 AS more, r.wake_at
), released AS (
    UPDATE workflow_ready AS q
       SET owner = NULL, lease_until = NULL, attempts = 0, suspect = q.suspect AND m.more,
           ready_at = CASE WHEN m.more THEN now() ELSE m.wake_at END
      FROM moved AS m WHERE q.workflow_id = m.id AND (m.more OR m.wake_at IS NOT NULL)
), ended AS (
    DELETE FROM workflow_ready AS q USING moved AS m WHERE q.workflow_id = m.id AND NOT m.more AND m.wake_at IS NULL
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
           attempts = q.attempts + CASE WHEN n.counted THEN 1 ELSE 0 END,
           suspect = q.suspect AND n.counted -- what is put off was carried out so far, and its worker lives
      FROM noted AS n WHERE q.workflow_id = n.id AND n.retry_in IS NOT NULL
), crashed AS (
    DELETE FROM workflow_ready AS q USING noted AS n WHERE q.workflow_id = n.id AND n.retry_in IS NULL
), derived AS (
    INSERT INTO order_aggregate_change (order_number) SELECT order_number FROM noted WHERE retry_in IS NULL
)
SELECT id FROM noted
"""

# A timer that failed becomes an event, unless others have come: they run the workflow.
_APPEND_TIMER = """
WITH result AS (
    SELECT * FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::timestamptz[]) AS r (id, fence, seq, event_id, at)
), held AS (
    SELECT w.id FROM workflow AS w JOIN result AS r ON r.id = w.id WHERE w.last_seq = w.done_seq AND w.done_seq + 1 = r.seq
    ORDER BY w.order_number, w.kind, w.key FOR NO KEY UPDATE OF w
), mine AS (
    SELECT q.workflow_id AS id FROM workflow_ready AS q JOIN held AS h ON h.id = q.workflow_id JOIN result AS r ON r.id = h.id
    WHERE q.owner = $1 AND q.fence = r.fence ORDER BY q.workflow_id FOR UPDATE OF q
), moved AS (
    UPDATE workflow AS w SET last_seq = r.seq FROM result AS r JOIN mine AS m ON m.id = r.id WHERE w.id = r.id RETURNING w.id
)
INSERT INTO workflow_event (workflow_id, seq, type, event_id, attributes, payload, received_at)
SELECT r.id, r.seq, 'timer', r.event_id, '{}', '', r.at FROM result AS r JOIN moved AS v ON v.id = r.id
RETURNING workflow_id AS id
"""

# Guarded as every result is: the ready row must still be this owner's, under this very fence. The cursor moves behind the event. Kinds
# that sleep run once more with no event: what they set their timer to is not known here. A timer itself waits for a person.
_SET_ASIDE = """
WITH result AS (
    SELECT * FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
                         $10::integer[], $11::integer[], $12::integer[])
        AS r (id, fence, seq, type, code, error, stack, source, attempts, retried, more_failed)
), held AS (
    SELECT w.id FROM workflow AS w JOIN result AS r ON r.id = w.id
    ORDER BY w.order_number, w.kind, w.key FOR NO KEY UPDATE OF w
), mine AS (
    SELECT q.workflow_id AS id FROM workflow_ready AS q JOIN held AS h ON h.id = q.workflow_id JOIN result AS r ON r.id = h.id
    WHERE q.owner = $1 AND q.fence = r.fence ORDER BY q.workflow_id FOR UPDATE OF q
), aside AS (
    INSERT INTO set_aside_event AS a (workflow_id, seq, type, source, code, error, error_stack, attempts)
    SELECT r.id, r.seq, r.type, r.source, r.code, r.error, r.stack, r.attempts FROM result AS r JOIN mine AS m ON m.id = r.id
    ON CONFLICT (workflow_id, seq) DO UPDATE
       SET state = 3, code = excluded.code, error = excluded.error, error_stack = excluded.error_stack,
           attempts = a.attempts + excluded.attempts, failed_at = now()
), noted AS (
    UPDATE workflow AS w
       SET done_seq = greatest(w.done_seq, r.seq), failed_events = w.failed_events + r.more_failed,
           retried_events = w.retried_events - r.retried,
           error = r.error, error_stack = r.stack, failed_at = now(), updated_at = now(), revision = w.revision + 1
      FROM result AS r JOIN mine AS m ON m.id = r.id
     WHERE w.id = r.id
    RETURNING w.id, w.order_number,
              w.last_seq > w.done_seq OR w.retried_events > 0 OR (workflow_lane(w.kind) > 0 AND r.type <> 'timer') AS more
), released AS (
    UPDATE workflow_ready AS q SET owner = NULL, lease_until = NULL, attempts = 0, ready_at = now()
      FROM noted AS n WHERE q.workflow_id = n.id AND n.more
), ended AS (
    DELETE FROM workflow_ready AS q USING noted AS n WHERE q.workflow_id = n.id AND NOT n.more
), derived AS (
    INSERT INTO order_aggregate_change (order_number) SELECT order_number FROM noted
)
SELECT id FROM noted
"""
_LAST_RETRY = """
SELECT DISTINCT ON (target) target, actor, at FROM audit_log
WHERE target = ANY($1::text[]) AND action IN ('workflow.retry', 'workflow.resume') ORDER BY target, id DESC
"""
_FORGET_RETRIED = """
DELETE FROM set_aside_event AS a USING unnest($1::bigint[], $2::integer[]) AS d (id, seq)
WHERE a.workflow_id = d.id AND a.seq = d.seq AND a.state = 1
"""

# A child may append to its parent while the parent appends to the child: whoever takes both locks takes them in one order.
_LOCK_APPENDED = """
SELECT FROM workflow AS w
WHERE (w.order_number, w.kind, w.key) IN (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))
ORDER BY w.order_number, w.kind, w.key FOR NO KEY UPDATE
"""

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
   SET owner = NULL, lease_until = NULL, fence = nextval('workflow_fence'), attempts = q.attempts + 1,
       suspect = true, ready_at = now()
  FROM gone WHERE q.workflow_id = gone.workflow_id
"""

_RESULT = ("claim.workflow_id", "claim.fence", "claim.done_seq", "cursor", "state", "wake_at")
"""What ``_COMPLETE`` is given of an outcome."""


class WorkflowStore:
    """Where workflows live. Every method is one transaction and may raise a retryable error when the database is away."""

    def __init__(self, database: Database, pool: WorkerPool = WorkerPool.LIFE, *, events_a_claim: int = 200) -> None:
        """Claim workflows of one pool; everything else works on any."""
        self._database = database
        self._pool = pool
        self._events_a_claim = events_a_claim

    async def claim(self, *, owner: str, limit: int, lease_seconds: float) -> list[Claim]:
        """Take up to ``limit`` runnable workflows, the longest ready first; a suspect alone, with its next event, while no other
        suspect is out (migration 0220).

        No other owner gets them until the lease ends.
        """
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_CLAIM, owner, limit, lease_seconds, self._events_a_claim, int(self._pool))
        return claims_of(rows)

    async def complete(
        self, *, owner: str, outcomes: Sequence[Outcome], failures: Sequence[Failure], write: WriteEffects
    ) -> set[int]:
        """Write everything of those claims that this owner still holds under their fence; return their workflow ids.

        A claim whose lease was lost, or whose workflow was stopped, leaves no trace.
        """
        async with self._database.transaction() as connection:
            accepted: set[int] = set()
            if outcomes:
                await _lock_appended(connection, outcomes)
                retried = [len(item.retried) for item in outcomes]
                rows = await connection.fetch(_COMPLETE, owner, *columns(outcomes, *_RESULT), retried)
                accepted.update(row["id"] for row in rows)
                taken = [item for item in outcomes if item.claim.workflow_id in accepted]
                await _forget_retried(connection, taken)
                await write_all(connection, taken, write)
            if failures:
                accepted |= await _fail(connection, owner, failures)
        return accepted

    async def release(self, *, owner: str) -> None:
        """Give back whatever this owner holds, without counting a failure. Only for an owner that carries nothing out."""
        async with self._database.acquire() as connection:
            await connection.execute(_RELEASE, owner)

    async def release_expired(self) -> int:
        """Free the workflows whose lease has ended, counting a failure each, and return how many there were. They are suspect now."""
        async with self._database.acquire() as connection:
            status: str = await connection.execute(_RELEASE_EXPIRED)
        return int(status.rpartition(" ")[2])


def is_away(error: BaseException) -> bool:
    """Return whether an exception means that the database is only away: whatever it hit is tried again and counts as nobody's failure."""
    return isinstance(error, Unavailable) or is_transient(error)


async def add_to_timeline(
    connection: Connection, entries: Sequence[TimelineEntry], messages: Sequence[Encoded] = ()
) -> None:
    """Add lines to timelines, and messages to the outbox, in the caller's transaction and in one statement."""
    names = ("order_number", "occurred_at", "service", "kind", "actor", "summary", "details", "traceparent")
    lines = (_ADD_TO_TIMELINE, columns(entries, *names)) if entries else None
    await outbox.add_encoded(connection, messages, beside=lines)


async def request_derivation(connection: Connection, numbers: Sequence[str]) -> None:
    """Ask for the aggregate states of orders to be derived again, in the caller's transaction."""
    await connection.execute("INSERT INTO order_aggregate_change (order_number) SELECT unnest($1::text[])", numbers)


def event_of(row: Record) -> WorkflowEvent:
    """Read one event."""
    return WorkflowEvent(
        seq=row["seq"],
        type=row["type"],
        event_id=row["event_id"],
        attributes=row["attributes"],
        payload=row["payload"],
        traceparent=row["traceparent"],
        received_at=row["received_at"],
    )


def claims_of(rows: Sequence[Record]) -> list[Claim]:
    """Gather rows like those of ``workflow_take``, one per event, into claims. They come sorted by workflow and sequence."""
    claims: list[Claim] = []
    events: list[WorkflowEvent] = []
    failed: list[WorkflowEvent] = []
    for index, row in enumerate(rows):
        if row["seq"] is not None:
            (failed if row["aside"] == EventState.FAILED else events).append(event_of(row))
        if index + 1 == len(rows) or rows[index + 1]["workflow_id"] != row["workflow_id"]:
            claims.append(
                Claim(
                    workflow_id=row["workflow_id"],
                    order_number=row["order_number"],
                    kind=row["kind"],
                    key=row["key"],
                    done_seq=row["done_seq"],
                    fence=row["fence"],
                    attempts=row["attempts"],
                    events=tuple(events),
                    failed=tuple(failed),
                )
            )
            events, failed = [], []
    return claims


async def _fail(connection: Connection, owner: str, failures: Sequence[Failure]) -> set[int]:
    """Note failures, and set aside the events that failed for good, where the claim still holds; return the workflows' ids."""
    noted: set[int] = set()
    if whole := [item for item in failures if item.event is None]:
        names = ("claim.workflow_id", "claim.fence", "error", "stack", "retry_in", "counted")
        noted.update(row["id"] for row in await connection.fetch(_FAIL, owner, *columns(whole, *names)))
    appended = await _append_timers(connection, owner, [item for item in failures if item.of_timer])
    if aside := [item for item in failures if item.event is not None and (not item.of_timer or item in appended)]:
        source = [item.event.attributes.get("source") for item in aside if item.event is not None]
        attempts = [item.claim.attempts + 1 for item in aside]
        values = columns(aside, "claim.workflow_id", "claim.fence", "event.seq", "event.type", "code", "error", "stack")
        retried = [int(item.retried) for item in aside]
        more = [int(item.event not in item.claim.failed) for item in aside]
        rows = await connection.fetch(_SET_ASIDE, owner, *values, source, attempts, retried, more)
        noted.update(row["id"] for row in rows)
    await _tell_of(connection, [item for item in failures if item.claim.workflow_id in noted])
    return noted


async def _tell_of(connection: Connection, failures: Sequence[Failure]) -> None:
    """Have people told of failures for good, each once; of what failed again who had it tried, and when, in the order's timeline too."""
    tried = [item.claim.workflow_id for item in failures if item.retried and item.at is not None]
    retries = await last_retries(connection, tried)
    messages = [
        workflow_crashed(
            item.claim,
            item.event,
            code=item.code,
            error=item.error,
            now=item.at,
            retried=retries.get(item.claim.workflow_id),
        )
        for item in failures
        if item.at is not None
    ]
    await outbox.add_encoded(connection, messages)
    again = [item for item in failures if item.claim.workflow_id in retries]
    await add_to_timeline(connection, [crashed_again(item, *retries[item.claim.workflow_id]) for item in again])


async def last_retries(connection: Connection, workflow_ids: Sequence[int]) -> dict[int, tuple[str, datetime]]:
    """Return who had the failed events of each of these workflows tried again last, and when."""
    targets = {f"workflow:{each}": each for each in workflow_ids}
    rows = await connection.fetch(_LAST_RETRY, list(targets)) if targets else []
    return {targets[row["target"]]: (row["actor"], row["at"]) for row in rows}


async def _append_timers(connection: Connection, owner: str, failures: Sequence[Failure]) -> list[Failure]:
    """Make events of timers that failed; return those. Where something has happened meanwhile, it is carried out at once."""
    if not failures:
        return []
    names = ("claim.workflow_id", "claim.fence", "event.seq", "event.event_id", "event.received_at")
    rows = await connection.fetch(_APPEND_TIMER, owner, *columns(failures, *names))
    appended = {row["id"] for row in rows}
    overtaken = [item.claim for item in failures if item.claim.workflow_id not in appended]
    if overtaken:
        outcomes = [Outcome(claim=claim, upto=claim.done_seq) for claim in overtaken]
        await connection.fetch(_COMPLETE, owner, *columns(outcomes, *_RESULT), [0] * len(outcomes))
    return [item for item in failures if item.claim.workflow_id in appended]


async def _forget_retried(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """Forget that events were set aside which have taken effect at a second try. Free where there are none."""
    again = [(item.claim.workflow_id, seq) for item in outcomes for seq in item.retried]
    if again:
        await connection.execute(_FORGET_RETRIED, *map(list, zip(*again, strict=True)))


async def _lock_appended(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """Lock the workflows of these outcomes and those they append to, in the engine's one order. Free where nothing is appended."""
    if not any(item.appends for item in outcomes):
        return
    workflows = [*(item.claim for item in outcomes), *(event for item in outcomes for event in item.appends)]
    await connection.execute(_LOCK_APPENDED, *columns(workflows, "order_number", "kind", "key"))


async def write_all(connection: Connection, outcomes: Sequence[Outcome], write: WriteEffects) -> None:
    """Write everything of outcomes that were accepted, in the transaction that accepted them and holds what they append to.

    Workflows before orders: one that is not there yet cannot have been locked, and somebody else may be about to make it.
    """
    await append_events(connection, [event for item in outcomes for event in item.appends])
    messages = [message for item in outcomes for message in item.messages]
    messages += await write(connection, outcomes)
    await add_to_timeline(connection, [entry for item in outcomes for entry in item.timeline], messages)
