"""Operators stop many workflows at once, by ids or by a filter; one that is refused harms no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.http import AdminChange, Change, Moment
from common.postgres import Connection, Record
from orchestrator.engine.model import WorkflowState
from orchestrator.engine.operate import record_operation
from orchestrator.engine.search import Filters
from orchestrator.engine.store import request_derivation
from orchestrator.engine.views import WorkflowView, workflow_view

_STOPPABLE = (WorkflowState.RUNNING, WorkflowState.CRASHED)
_MOST = 1000

# Locks in the engine's order: workflows by order number, then ready rows by workflow.
_LOCK = "SELECT * FROM workflow WHERE id = ANY($1::bigint[]) ORDER BY order_number, kind, key FOR NO KEY UPDATE"
_FORGET_READY = """
WITH held AS (SELECT workflow_id FROM workflow_ready WHERE workflow_id = ANY($1::bigint[]) ORDER BY workflow_id FOR UPDATE)
DELETE FROM workflow_ready AS q USING held WHERE q.workflow_id = held.workflow_id
"""
_STOP = """
UPDATE workflow SET state = 2, updated_at = now(), revision = revision + 1 WHERE id = ANY($1::bigint[]) RETURNING *
"""

_Text = Annotated[str, Field(min_length=1, max_length=255, pattern=r"\A[^\x00]*\z")]
OrderNumbers = Annotated[list[_Text], Field(min_length=1, max_length=_MOST)]


class WorkflowFilter(BaseModel):
    """Which workflows; all that is given has to hold. At least one thing beside `state` has to be given."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["running", "crashed"] | None = Field(default=None, description="both when left out")
    kind: _Text | None = None
    order_numbers: OrderNumbers | None = None
    source: _Text | None = None
    store_id: _Text | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if all(value is None for name, value in self if name != "state") and self.state != "crashed":
            raise ValueError("a filter that names nothing would stop everything that runs")
        return self


class StopWorkflows(AdminChange):
    """Which workflows to stop: by ids or by a filter."""

    ids: list[Annotated[int, Field(ge=1, lt=2**63)]] | None = Field(default=None, min_length=1, max_length=_MOST)
    filter: WorkflowFilter | None = None
    limit: int = Field(default=100, ge=1, le=_MOST, description="at most so many of those that match, the oldest first")

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("say which: by ids or by a filter, not both")
        return self


class StoppedWorkflow(BaseModel):
    """What became of one: stopped, refused (it has finished or was stopped before), or not found."""

    id: int
    outcome: Literal["stopped", "refused", "not_found"]
    detail: str | None = None
    workflow: WorkflowView | None = None


class WorkflowsStopped(BaseModel):
    """What became of each, in the order asked. `more`: the filter matches more than `limit`."""

    dry_run: bool
    stopped: int
    more: bool
    items: list[StoppedWorkflow]


async def stop_workflows(change: Change, asked: StopWorkflows, *, now: datetime) -> WorkflowsStopped:
    """Stop those that are running or crashed, record each and publish it."""
    if asked.ids is not None:
        ids, more = list(dict.fromkeys(asked.ids)), False
    else:
        found = await matching_workflows(change.connection, asked.filter or WorkflowFilter(), limit=asked.limit + 1)
        ids, more = found[: asked.limit], len(found) > asked.limit
    items: list[StoppedWorkflow] = []
    for workflow_id, before, after in await stop_all(change.connection, ids):
        if before is None:
            item = StoppedWorkflow(id=workflow_id, outcome="not_found", detail="there is no such workflow")
        elif after is None:
            view = workflow_view(before)
            detail = f"it is {view.state_name}: only a running or crashed one can be stopped"
            item = StoppedWorkflow(id=workflow_id, outcome="refused", detail=detail, workflow=view)
        else:
            view = workflow_view(after)
            await record_operation(change, "stop", workflow_view(before), view, now=now)
            item = StoppedWorkflow(id=workflow_id, outcome="stopped", workflow=view)
        items.append(item)
    stopped = sum(item.outcome == "stopped" for item in items)
    return WorkflowsStopped(dry_run=change.dry_run, stopped=stopped, more=more, items=items)


async def matching_workflows(connection: Connection, wanted: WorkflowFilter, *, limit: int) -> list[int]:
    """Return the ids of workflows that match, the oldest first, at most ``limit``. Finished ones never match."""
    states = (WorkflowState[wanted.state.upper()],) if wanted.state else _STOPPABLE
    filters = Filters()
    filters.add(f"w.state IN ({', '.join(str(int(state)) for state in states)}) AND w.state <> 3")
    filters.add_given("w.kind = {}", wanted.kind)
    filters.add_given("w.order_number = ANY({}::text[])", wanted.order_numbers)
    filters.add_given("o.source = {}", wanted.source)
    filters.add_given("o.store_id = {}", wanted.store_id)
    filters.add_given("w.created_at >= {}", wanted.created_after)
    filters.add_given("w.created_at < {}", wanted.created_before)
    # By source or store only orders that exist are found; one that crashed on its `created` has neither yet.
    by_order = wanted.source is not None or wanted.store_id is not None
    joined = "JOIN orders AS o ON o.number = w.order_number" if by_order else ""
    query = f"SELECT w.id FROM workflow AS w {joined} {filters.where} ORDER BY w.id LIMIT {filters.place(limit)}"  # noqa: S608 - constants and parameters
    return [row["id"] for row in await connection.fetch(query, *filters.values)]


async def stop_all(connection: Connection, ids: Sequence[int]) -> list[tuple[int, Record | None, Record | None]]:
    """Stop all that can be stopped: running and crashed ones; claims in flight are refused.

    Returns, in the order of ``ids``, each with its row before (None: unknown) and after (None: left as it is).
    """
    found: Mapping[int, Record] = {row["id"]: row for row in await connection.fetch(_LOCK, ids)}
    chosen = [key for key, row in found.items() if row["state"] in _STOPPABLE]
    await connection.execute(_FORGET_READY, chosen)
    stopped: Mapping[int, Record] = {row["id"]: row for row in await connection.fetch(_STOP, chosen)}
    await request_derivation(connection, sorted({row["order_number"] for row in stopped.values()}))
    return [(key, found.get(key), stopped.get(key)) for key in ids]
