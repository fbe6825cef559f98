"""Operators skip an event that cannot be carried out: it never takes effect, and its failure is over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel

from common.contracts.orders import OrderDifference
from common.errors import NotFound
from common.http import Change, ChangeAnswer
from common.postgres import Connection, Record
from common.service import publish
from common.telemetry import current_traceparent
from orchestrator.engine.model import TIMER, EventState, require_version
from orchestrator.engine.search import EVENTS
from orchestrator.engine.set_aside import end_failure, let_go_on
from orchestrator.engine.views import WorkflowEventView, WorkflowView, workflow_event_view, workflow_view

_LOCK = "SELECT * FROM workflow WHERE id = $1 FOR NO KEY UPDATE"
_EVENT = f"{EVENTS} WHERE w.id = $1 AND e.workflow_id = $1 AND e.seq = $2"


class EventEffect(BaseModel):
    """What an event does to its order as that stands: in the words of the timeline, and what it adds, removes and changes, or would if
    the order were not closed. The customer is masked, as in messages; sums are in `currency`.
    """

    summary: str
    currency: str
    difference: OrderDifference


class FailureEnded(ChangeAnswer):
    """The event as it is now, the one that takes its place (when it was mended), and the workflow, which goes on.

    `effect` is what the mended event does to its order; null where that cannot be told, or nothing was mended.
    """

    dry_run: bool
    event: WorkflowEventView
    appended: WorkflowEventView | None = None
    effect: EventEffect | None = None
    workflow: WorkflowView


async def skip_event(
    change: Change, workflow_id: int, seq: int, *, expected_version: int | None, now: datetime
) -> FailureEnded:
    """Skip it and record it. Raises ``NotFound``, ``StaleVersion``, and ``Conflict`` where the event has not failed."""
    before = await lock_workflow_of(change.connection, workflow_id, seq, expected_version=expected_version)
    after = await end_failure(
        change.connection, before, seq, EventState.SKIPPED, actor=change.principal.name, why=change.reason
    )
    return await failure_ended(change, "skip", before, after, seq, now=now)


async def lock_workflow_of(
    connection: Connection, workflow_id: int, seq: int, *, expected_version: int | None
) -> Record:
    """Lock the workflow of an event, in the caller's transaction. Raises ``NotFound``, ``StaleVersion``."""
    workflow = await connection.fetchrow(_LOCK, workflow_id)
    if workflow is None or await connection.fetchrow(_EVENT, workflow_id, seq) is None:
        raise NotFound(f"there is no event {workflow_id}-{seq}")
    require_version(f"workflow {workflow_id}", at=workflow_view(workflow).version, expected=expected_version)
    return workflow


async def failure_ended(
    change: Change,
    act: str,
    before: Record,
    after: Record,
    seq: int,
    *,
    now: datetime,
    appended: int | None = None,
    effect: EventEffect | None = None,
    said: Mapping[str, str] | None = None,
) -> FailureEnded:
    """Record that a person ended the failure of an event, and let its workflow go on. ``said``: its effect in words, to be kept."""
    workflow_id, connection = after["id"], change.connection
    await change.record(
        f"workflow_event.{act}",
        f"workflow:{workflow_id}",
        before={"event": f"{workflow_id}-{seq}", "failed_events": before["failed_events"]},
        after={
            "event": f"{workflow_id}-{seq if appended is None else appended}",
            "failed_events": after["failed_events"],
            **({} if said is None else {"changes": said}),
        },
    )
    shown: list[WorkflowEventView] = []
    for place in (seq, *(() if appended is None else (appended,))):
        row = await connection.fetchrow(_EVENT, workflow_id, place)
        if row is None:
            raise NotFound(f"there is no event {workflow_id}-{place}")
        shown.append(workflow_event_view(row))
    over = await let_go_on(
        connection,
        after,
        actor=change.principal.name,
        now=now,
        traceparent=current_traceparent(),
        run=shown[0].type != TIMER,  # it would be the timer again
        skipped=act == "skip",
    )
    await publish(change, *over)
    return FailureEnded(
        dry_run=change.dry_run,
        event=shown[0],
        appended=shown[1] if len(shown) > 1 else None,
        effect=effect,
        workflow=workflow_view(after),
    )
