"""Events that cannot be carried out fail alone: they are set aside, tried again, and their failure ends.

The workflow's row is always locked first: whoever changes what was set aside holds it. A row here is ``failed`` until a person skips or
mends its event, a good one takes its place, or it takes effect at another try. ``workflow.failed_events`` counts those that wait for a
person, ``retried_events`` those that are about to be tried again; both are changed in the same transaction as their rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from common.errors import Conflict
from common.postgres import Connection, Record, member
from orchestrator.engine.messages import workflow_goes_on
from orchestrator.engine.model import SERVICE, Encoded, EventState, Outcome, WorkflowState
from orchestrator.engine.store import last_retries, request_derivation
from orchestrator.engine.views import workflow_view

_SUPERSEDE = """
WITH over AS (
    UPDATE set_aside_event AS a
       SET state = 5, ended_at = now(), ended_by = $4, ended_why = 'another event took its place', replaced_by = g.good
      FROM unnest($1::bigint[], $2::integer[], $3::integer[], $5::smallint[], $6::boolean[]) AS g (id, seq, good, state, certain)
     WHERE a.workflow_id = g.id AND a.seq = g.seq AND a.state = 3 AND (g.certain OR a.code = 'unreadable_hook')
    RETURNING a.workflow_id AS id, g.state
)
UPDATE workflow AS w
   SET failed_events = w.failed_events - o.many, revision = w.revision + 1,
       state = CASE WHEN w.failed_events > o.many OR w.retried_events > 0 OR w.last_seq > w.done_seq THEN w.state ELSE o.state END,
       error = CASE WHEN w.failed_events > o.many THEN w.error END,
       error_stack = CASE WHEN w.failed_events > o.many THEN w.error_stack END
  FROM (SELECT id, state, count(*)::integer AS many FROM over GROUP BY id, state) AS o WHERE w.id = o.id
RETURNING w.*
"""
_TRY_AGAIN = """
WITH again AS (
    UPDATE set_aside_event SET state = 1 WHERE workflow_id = ANY($1::bigint[]) AND state = 3 RETURNING workflow_id AS id
)
UPDATE workflow AS w SET failed_events = w.failed_events - a.many, retried_events = w.retried_events + a.many
  FROM (SELECT id, count(*)::integer AS many FROM again GROUP BY id) AS a WHERE w.id = a.id
"""
_RETRIED_WELL = """
SELECT w.* FROM workflow AS w JOIN unnest($1::bigint[], $2::integer[]) AS t (id, done) USING (id)
WHERE w.failed_events = 0 AND w.retried_events = t.done AND w.state <> 2
"""
_ASIDE = "SELECT * FROM set_aside_event WHERE workflow_id = $1 AND seq = $2"
_END = """
UPDATE set_aside_event SET state = $3, ended_at = now(), ended_by = $4, ended_why = $5, replaced_by = $6
WHERE workflow_id = $1 AND seq = $2
"""
_ONE_LESS = """
UPDATE workflow
   SET failed_events = failed_events - 1, revision = revision + 1, updated_at = now(),
       error = CASE WHEN failed_events > 1 THEN error END, error_stack = CASE WHEN failed_events > 1 THEN error_stack END
 WHERE id = $1 RETURNING *
"""
# A workflow of an earlier release stands still in front of the event on which it crashed: the cursor moves behind it now.
_END_CRASH = """
WITH ended AS (
    INSERT INTO set_aside_event (workflow_id, seq, type, source, code, error, error_stack, attempts, failed_at, state, ended_at, ended_by,
                                 ended_why, replaced_by)
    SELECT e.workflow_id, e.seq, e.type, e.attributes->>'source', 'crashed', coalesce(w.error, ''), coalesce(w.error_stack, ''), 0,
           coalesce(w.failed_at, now()), $3, now(), $4, $5, $6
    FROM workflow_event AS e JOIN workflow AS w ON w.id = e.workflow_id WHERE e.workflow_id = $1 AND e.seq = $2
)
UPDATE workflow SET state = 1, done_seq = $2, error = NULL, error_stack = NULL, revision = revision + 1, updated_at = now()
WHERE id = $1 RETURNING *
"""
# Run once, with events or without: whether the workflow has finished is for its handler to say.
_RUN = """
INSERT INTO workflow_ready AS q (workflow_id, lane) SELECT id, workflow_lane(kind) FROM workflow WHERE id = $1 AND state = 1
ON CONFLICT (workflow_id) DO UPDATE SET ready_at = excluded.ready_at
 WHERE q.owner IS NULL AND q.attempts = 0 AND q.ready_at > excluded.ready_at
"""


async def supersede(
    connection: Connection, outcomes: Sequence[Outcome], *, now: datetime, foreseen: bool = False
) -> list[Encoded]:
    """End failures whose place events of these accepted outcomes have taken; return what the caller is to publish.

    The incident of a workflow ends, too, whose failed events have all taken effect at another try. Their workflows are locked (by the
    completion). ``foreseen``: they are not completed, and nothing of it will stay.
    """
    touched = [item for item in outcomes if item.retried or item.claim.failed]
    if not touched:
        return []
    messages = await _retried_well(connection, [item for item in touched if item.retried], now, foreseen)
    over = [
        (item.claim.workflow_id, seq, good, int(item.state), certain)
        for item in touched
        for places, certain in ((item.superseded, True), (item.superseded_if_unreadable, False))
        for seq, good in places.items()
    ]
    if over:
        ids, failed, good, states, certain = map(list, zip(*over, strict=True))
        rows = await connection.fetch(_SUPERSEDE, ids, failed, good, SERVICE, states, certain)
        traces = {item.claim.workflow_id: item.claim.traceparent for item in touched}
        for row in rows:
            messages += await let_go_on(
                connection, row, actor="a good event", now=now, traceparent=traces[row["id"]], run=False
            )
    # An order that has just come into being is not known to have a failed event.
    await request_derivation(connection, sorted({item.claim.order_number for item in touched}))
    return messages


async def _retried_well(
    connection: Connection, outcomes: Sequence[Outcome], now: datetime, foreseen: bool
) -> list[Encoded]:
    """Return the ends of the incidents of workflows in which nothing has failed or is tried again any more."""
    if not outcomes:
        return []
    claims = {item.claim.workflow_id: item.claim for item in outcomes}
    done = [len(item.retried) if foreseen else 0 for item in outcomes]
    rows = await connection.fetch(_RETRIED_WELL, list(claims), done)
    retries = await last_retries(connection, [row["id"] for row in rows])
    return [
        workflow_goes_on(
            workflow_view(row),
            actor=retries[row["id"]][0] if row["id"] in retries else SERVICE,
            now=now,
            traceparent=claims[row["id"]].traceparent,
        )
        for row in rows
    ]


async def try_again(connection: Connection, workflow_ids: Sequence[int]) -> None:
    """Have the failed events of these workflows carried out again. The caller has locked the workflows and makes them ready."""
    await connection.execute(_TRY_AGAIN, workflow_ids)


async def end_failure(
    connection: Connection,
    workflow: Record,
    seq: int,
    ending: EventState,
    *,
    actor: str,
    why: str,
    replaced_by: int | None = None,
) -> Record:
    """End the failure of one event of a workflow whose row the caller has locked; return the workflow's row after it.

    Raises ``Conflict`` where the event did not fail: it waits for its turn, took effect, or somebody was faster.
    """
    name, workflow_id = f"event {workflow['id']}-{seq}", workflow["id"]
    aside = await connection.fetchrow(_ASIDE, workflow_id, seq)
    values = (workflow_id, seq, int(ending), actor, why, replaced_by)
    if aside is None:
        if seq <= workflow["done_seq"]:
            raise Conflict(f"{name} has not failed: it took effect")
        if workflow["state"] != WorkflowState.CRASHED or seq != workflow["done_seq"] + 1:
            raise Conflict(f"{name} has not failed: it waits for its turn")
        after = await connection.fetchrow(_END_CRASH, *values)
    elif aside["state"] == EventState.NEW:
        raise Conflict(f"{name} is about to be tried again")
    elif aside["state"] != EventState.FAILED:
        raise Conflict(f"{name} was {member(EventState, aside['state']).name.lower()} by {aside['ended_by']}")
    else:
        await connection.execute(_END, *values)
        after = await connection.fetchrow(_ONE_LESS, workflow_id)
    if after is None:
        raise Conflict(f"there is no workflow {workflow_id}")
    return after


async def make_ready(connection: Connection, workflow_id: int) -> None:
    """Have a workflow that runs be claimed at once, unless it waits after a failure."""
    await connection.execute(_RUN, workflow_id)


async def let_go_on(
    connection: Connection,
    workflow: Record,
    *,
    actor: str,
    now: datetime,
    traceparent: str | None,
    run: bool = True,
    skipped: bool = False,
) -> list[Encoded]:
    """Let a workflow whose failures have ended go on; ``workflow`` is its row now. Returns the end of its incident, to be published.

    ``run`` False: whether and when it runs is known.
    """
    if run:
        await make_ready(connection, workflow["id"])
    await request_derivation(connection, [workflow["order_number"]])
    if workflow["failed_events"] or workflow["retried_events"] or workflow["state"] == WorkflowState.STOPPED:
        return []
    return [workflow_goes_on(workflow_view(workflow), actor=actor, now=now, traceparent=traceparent, skipped=skipped)]
