"""Operators have a past event carried out again: a copy that names the original is appended to its workflow."""

from __future__ import annotations

from typing import Any

from common.errors import Conflict, NotFound
from common.http import Change, ChangeAnswer
from common.postgres import Connection, Record
from common.telemetry import current_traceparent
from orchestrator.engine.model import require_version
from orchestrator.engine.set_aside import make_ready
from orchestrator.engine.views import WorkflowEventView, WorkflowView, workflow_event_view, workflow_view

_LOCK = "SELECT * FROM workflow WHERE id = $1 FOR NO KEY UPDATE"
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
_WAITING = """
SELECT seq FROM workflow_event WHERE workflow_id = $1 AND seq > $2 AND attributes->'reprocess_of' = to_jsonb($3::integer)
"""
_ASIDE = "SELECT EXISTS (SELECT FROM set_aside_event WHERE workflow_id = $1 AND seq = $2)"


class EventReprocessed(ChangeAnswer):
    """The event, its copy that will be carried out, and the workflow after that."""

    dry_run: bool
    original: WorkflowEventView
    appended: WorkflowEventView
    workflow: WorkflowView


async def reprocess_event(
    change: Change, workflow_id: int, seq: int, *, expected_version: int | None
) -> EventReprocessed:
    """Append the copy and record it. Raises ``NotFound``, ``Conflict``, ``StaleVersion``."""
    original, copy, before, after = await append_copy(
        change.connection,
        workflow_id,
        seq,
        actor=change.principal.name,
        reason=change.reason,
        traceparent=current_traceparent(),
    )
    require_version(f"workflow {workflow_id}", at=workflow_view(before).version, expected=expected_version)
    await change.record(
        "workflow_event.reprocess",
        f"workflow:{workflow_id}",
        before={"last_seq": before["last_seq"], "event": f"{workflow_id}-{seq}"},
        after={"last_seq": after["last_seq"], "event": f"{workflow_id}-{copy['seq']}"},
    )
    cursor = {"done_seq": after["done_seq"], "workflow_state": after["state"]}
    return EventReprocessed(
        dry_run=change.dry_run,
        original=workflow_event_view({**original, **cursor}),
        appended=workflow_event_view({**copy, **cursor}),
        workflow=workflow_view(after),
    )


async def append_copy(
    connection: Connection, workflow_id: int, seq: int, *, actor: str, reason: str, traceparent: str | None
) -> tuple[Record, Record, Record, Record]:
    """Append a copy of an event that was carried out, which names the original; a finished workflow runs again.

    Returns the original, the copy, and the workflow before and after. Raises ``NotFound``; ``Conflict`` when the original has not
    been carried out yet (it will be), or when a copy of it still waits.
    """
    workflow = await connection.fetchrow(_LOCK, workflow_id)
    original = await connection.fetchrow(_EVENT, workflow_id, seq)
    if workflow is None or original is None:
        raise NotFound(f"there is no event {workflow_id}-{seq}")
    if seq > workflow["done_seq"]:
        raise Conflict(f"event {workflow_id}-{seq} has not been carried out yet: retry or resume its workflow instead")
    if await connection.fetchval(_ASIDE, workflow_id, seq):
        raise Conflict(f"event {workflow_id}-{seq} has had no effect: retry its workflow, mend the event or skip it")
    waiting = await connection.fetchval(_WAITING, workflow_id, workflow["done_seq"], seq)
    if waiting is not None:
        raise Conflict(f"event {workflow_id}-{waiting} already waits to carry event {workflow_id}-{seq} out again")
    names: dict[str, Any] = {"reprocess_of": seq, "reprocess_by": actor, "reprocess_reason": reason}
    copy = await connection.fetchrow(
        _APPEND_COPY, workflow_id, seq, workflow["last_seq"] + 1, names, traceparent or original["traceparent"]
    )
    after = await connection.fetchrow(_MOVE_LAST, workflow_id)
    await make_ready(connection, workflow_id)
    if copy is None or after is None:
        raise NotFound(f"there is no event {workflow_id}-{seq}")
    return original, copy, workflow, after
