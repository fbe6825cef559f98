"""Operators stop, resume and retry many workflows at once, by ids or by a filter; one that is refused harms no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Self

from pydantic import model_validator

from common.clock import Clock
from common.http import Bulk, BulkAnswer, BulkChange, BulkDone, BulkItem, Change, RowId
from common.postgres import Connection
from orchestrator.engine.foresee import Foretellers, tell_what_follows
from orchestrator.engine.operate import Operation, change_workflow
from orchestrator.engine.select import WorkflowFilter, find_workflows
from orchestrator.engine.views import WorkflowView

# In the engine's order. The version is `views.workflow_view`'s.
_LOCK = """
SELECT id, last_seq + done_seq + revision AS version FROM workflow WHERE id = ANY($1::bigint[])
ORDER BY order_number, kind, key FOR NO KEY UPDATE
"""
_DONE = {"stop": "stopped", "resume": "resumed", "retry": "retried"}


class OperateWorkflows(BulkChange[RowId, WorkflowFilter]):
    """Which workflows: by ids or by a filter. With a filter without state those in which it can be done at all."""


class StopWorkflows(OperateWorkflows):
    """Which workflows to stop. A filter has to name more than that they run."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.filter is not None and self.filter.model_fields_set <= {"state"} and self.filter.state == "1":
            raise ValueError("a filter that names no more would stop everything that runs")
        return self


class OperatedWorkflow(BulkItem):
    """What became of one, and the workflow as it is then; null where nothing was done."""

    workflow: WorkflowView | None = None


class WorkflowsOperated(BulkAnswer):
    """What became of each."""

    items: list[OperatedWorkflow]  # type: ignore[assignment]  # narrower than the base's, and only ever read


class WorkflowsStopped(WorkflowsOperated):
    """What became of each; `stopped` counts those that were."""

    stopped: int = 0

    @model_validator(mode="after")
    def _counted(self) -> Self:
        self.stopped = sum(item.outcome == "stopped" for item in self.items)
        return self


def bulk_of(operation: Operation, clock: Clock, foretellers: Foretellers) -> Bulk[int]:
    """Return an operation on many workflows."""
    return Bulk(
        operation=f"workflow.{operation.name}",
        find=partial(find_workflows, allowed=operation.allowed),
        lock=_lock,
        work=partial(_operate, operation=operation, clock=clock, foretellers=foretellers),
        answer=WorkflowsStopped if operation.name == "stop" else WorkflowsOperated,
    )


async def _lock(connection: Connection, ids: Sequence[int]) -> Mapping[int, int]:
    return {row["id"]: row["version"] for row in await connection.fetch(_LOCK, ids)}


async def _operate(
    change: Change, workflow_id: int, *, operation: Operation, clock: Clock, foretellers: Foretellers
) -> BulkDone:
    now: datetime = clock.now()
    changed = await change_workflow(change, workflow_id, operation, expected_version=None, now=now)
    await tell_what_follows(change, changed.after, foretellers)
    return BulkDone(outcome=_DONE[operation.name], extra={"workflow": changed.after.model_dump(mode="json")})
