"""Operators stop, resume and retry one workflow (docs/requirements.md#stopping-a-workflow)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from common.errors import Conflict, NotFound
from common.http import Change
from common.postgres import Connection, Record
from common.service import publish
from common.telemetry import current_traceparent
from orchestrator.engine.messages import workflow_goes_on, workflow_stopped
from orchestrator.engine.model import WorkflowState, require_version
from orchestrator.engine.set_aside import try_again
from orchestrator.engine.store import request_derivation
from orchestrator.engine.views import WorkflowChanged, WorkflowView, shown_state, workflow_view

_LOCK = "SELECT * FROM workflow WHERE id = $1 FOR NO KEY UPDATE"
_SET_STATE = "UPDATE workflow SET state = $2, updated_at = now(), revision = revision + 1 WHERE id = $1 RETURNING *"
# A claim in flight loses its ready row, and with it the fence: its result will be refused.
_FORGET_READY = "DELETE FROM workflow_ready WHERE workflow_id = $1"
# Kinds that sleep run once with no event and set their timer again.
_MAKE_READY = """
INSERT INTO workflow_ready (workflow_id, lane)
SELECT id, workflow_lane(kind) FROM workflow
WHERE id = $1 AND (last_seq > done_seq OR retried_events > 0 OR workflow_lane(kind) > 0)
ON CONFLICT (workflow_id) DO UPDATE SET attempts = 0, ready_at = now()
"""
_AUDITED = {"state", "state_name", "done_seq", "last_seq", "failed_events", "version"}


@dataclass(frozen=True, slots=True)
class Operation:
    """What may be done to a workflow that is in one of the states ``allowed``, and the state that follows."""

    name: str
    allowed: frozenset[WorkflowState]
    becomes: WorkflowState
    refusal: str


STOP = Operation(
    "stop",
    frozenset({WorkflowState.RUNNING, WorkflowState.CRASHED}),
    WorkflowState.STOPPED,
    "only a running or crashed one can be stopped",
)
"""It is not claimed any more; a claim in flight is refused."""
RESUME = Operation(
    "resume", frozenset({WorkflowState.STOPPED}), WorkflowState.RUNNING, "only a stopped one can be resumed"
)
"""It goes on with the events that have gathered, and tries those again that failed."""
RETRY = Operation(
    "retry", frozenset({WorkflowState.CRASHED}), WorkflowState.RUNNING, "only a crashed one can be retried"
)
"""It tries the events again that failed."""


def refusals(state: WorkflowState) -> dict[str, str]:
    """Return what cannot be done to a workflow that people see in this state, and why."""
    return {each.name: each.refusal for each in (STOP, RESUME, RETRY) if state not in each.allowed}


async def change_workflow(
    change: Change, workflow_id: int, operation: Operation, *, expected_version: int | None, now: datetime
) -> WorkflowChanged:
    """Carry an operation out, record it and publish it. Raises ``NotFound``, ``Conflict``, ``StaleVersion``."""
    rows = await operate(change.connection, workflow_id, operation)
    before, after = map(workflow_view, rows)
    require_version(f"workflow {workflow_id}", at=before.version, expected=expected_version)
    await record_operation(change, operation.name, before, after, now=now, tries_again=rows[1]["retried_events"] > 0)
    return WorkflowChanged(dry_run=change.dry_run, before=before, after=after)


async def operate(connection: Connection, workflow_id: int, operation: Operation) -> tuple[Record, Record]:
    """Bring a workflow into its new state, in the caller's transaction; return its row before and after.

    Raises ``NotFound``, or ``Conflict`` when it is in a state in which this cannot be done.
    """
    before = await connection.fetchrow(_LOCK, workflow_id)
    if before is None:
        raise NotFound(f"there is no workflow {workflow_id}")
    state = shown_state(before)
    if state not in operation.allowed:
        raise Conflict(f"workflow {workflow_id} is {state.name.lower()}: {operation.refusal}")
    if operation.becomes is WorkflowState.STOPPED:
        await connection.execute(_FORGET_READY, workflow_id)
    else:
        await try_again(connection, [workflow_id])
    after = await connection.fetchrow(_SET_STATE, workflow_id, int(operation.becomes))
    await request_derivation(connection, [before["order_number"]])
    if after is None:
        raise NotFound(f"there is no workflow {workflow_id}")
    if operation.becomes is WorkflowState.RUNNING:
        await connection.execute(_MAKE_READY, workflow_id)
    return before, after


async def record_operation(
    change: Change,
    operation: str,
    before: WorkflowView,
    after: WorkflowView,
    *,
    now: datetime,
    tries_again: bool = False,
) -> None:
    """Leave the audit record of a workflow's new state, and put the message about it into the outbox.

    ``tries_again``: events that failed are carried out anew. Whether that ends the incident their outcome says (``supersede``).
    """
    await change.record(
        f"workflow.{operation}",
        f"workflow:{after.id}",
        before=before.model_dump(include=_AUDITED),
        after=after.model_dump(include=_AUDITED),
    )
    actor, trace = change.principal.name, current_traceparent()
    if after.state == WorkflowState.STOPPED:
        message = workflow_stopped(after, actor=actor, reason=change.reason, now=now, traceparent=trace)
    elif tries_again:
        return
    else:
        message = workflow_goes_on(after, actor=actor, now=now, traceparent=trace)
    await publish(change, message)
