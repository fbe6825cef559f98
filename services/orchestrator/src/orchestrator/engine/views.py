"""Workflows and their events as the interface shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from common.http import ChangeAnswer
from common.postgres import Record, member
from orchestrator.engine.model import EventState, WorkflowState

Row = Record | Mapping[str, Any]

ExpectedVersion: Any = Field(
    default=None, ge=0, lt=2**63, description="the version that the caller looked at; 409 when it is at another one"
)

RUNBOOKS = {WorkflowState.CRASHED: "orchestrator-workflows-crashed"}
"""The pages of `docs/runbooks` about workflows that need a person."""


class WorkflowView(BaseModel):
    """A workflow. `state` is 1 running, 2 stopped, 3 finished, 4 crashed; `pending` events wait to be carried out.

    Crashed: it needs a person. With `failed_events` it goes on all the same: those events are set aside, the others are carried out.
    `error` is of its latest failure. `version` grows with everything that happens to it; an operation may name the one it expects.
    """

    id: int
    order_number: str
    kind: str
    key: str
    state: int
    state_name: str
    version: int
    last_seq: int
    done_seq: int
    pending: int
    failed_events: int
    error: str | None
    error_stack: str | None
    failed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class WorkflowGroup(BaseModel):
    """Workflows that stand still alike: of one kind, in one state (2 stopped, 4 crashed), for one reason.

    `code` and `error` are of the first event that failed; without one, `code` is null and `error` the workflow's own.
    """

    kind: str
    state: int
    state_name: str
    code: str | None
    error: str | None
    workflows: int
    failed_events: int
    first_failed_at: datetime | None
    last_failed_at: datetime | None


class WorkflowGroups(BaseModel):
    """The largest groups first, at most two hundred."""

    items: list[WorkflowGroup]


class EventFailure(BaseModel):
    """Why an event was set aside, after how many attempts, and what became of it: who ended the failure, and which event replaces it."""

    code: str
    error: str
    error_stack: str
    attempts: int
    failed_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    ended_why: str | None
    replaced_by: str | None


class WorkflowEventView(BaseModel):
    """An event of a workflow. `state` is 1 new, 2 done, 3 failed, 4 skipped, 5 superseded, 6 mended.

    `failure` is there of an event that did not take effect when its turn came.
    """

    id: str = Field(description="`<workflow>-<sequence number>`")
    workflow_id: int
    seq: int
    type: str
    event_id: str
    state: int
    state_name: str
    attributes: dict[str, Any]
    received_at: datetime
    recorded_at: datetime
    failure: EventFailure | None = None


class WorkflowAct(BaseModel):
    """What a person did to a workflow or to one of its events."""

    at: datetime
    actor: str
    role: str
    action: str
    reason: str
    before: Any
    after: Any


class WorkflowFound(WorkflowView):
    """A workflow that is looked at, with what cannot be done to it as it is."""

    refusals: dict[str, str] = Field(
        default={}, description="which of stop, resume and retry cannot be done to it as it is, and why"
    )


class WorkflowDetail(WorkflowFound):
    """A workflow with its last events, in sequence, and what people did to it, the newest first; at most 200 of each."""

    runbook: str | None = Field(default=None, description="the page of `docs/runbooks` about its state")
    events: list[WorkflowEventView]
    acts: list[WorkflowAct]


class WorkflowChanged(ChangeAnswer):
    """What an operation did to a workflow, or would do."""

    dry_run: bool
    before: WorkflowView
    after: WorkflowView


def shown_state(row: Row) -> WorkflowState:
    """The state that people see of a workflow's row: one with failed events has crashed, although it goes on. Stopped is stopped."""
    if row["failed_events"] and row["state"] != WorkflowState.STOPPED:
        return WorkflowState.CRASHED
    return member(WorkflowState, row["state"])


def workflow_view(row: Record) -> WorkflowView:
    """Show a workflow's row."""
    state = shown_state(row)
    return WorkflowView.model_validate(
        {
            **row,
            "state": int(state),
            "state_name": state.name.lower(),
            "version": row["last_seq"] + row["done_seq"] + row["revision"],
            "pending": row["last_seq"] - row["done_seq"] + row["retried_events"],
        }
    )


def workflow_event_view(row: Row) -> WorkflowEventView:
    """Show an event: its own columns, its workflow's cursor (``done_seq``, ``workflow_state``), and its failure if it was set aside."""
    workflow_id, aside = row["workflow_id"], row.get("aside")
    if aside is not None:
        state = member(EventState, aside)
    elif row["seq"] <= row["done_seq"]:
        state = EventState.DONE
    elif row["workflow_state"] == WorkflowState.CRASHED and row["seq"] == row["done_seq"] + 1:
        state = EventState.FAILED
    else:
        state = EventState.NEW
    failure = None
    if aside is not None:
        replaced = row["replaced_by"]
        failure = {**row, "replaced_by": None if replaced is None else f"{workflow_id}-{replaced}"}
    return WorkflowEventView.model_validate(
        {
            **row,
            "id": f"{workflow_id}-{row['seq']}",
            "state": int(state),
            "state_name": state.name.lower(),
            "failure": failure,
        }
    )


def workflow_detail(
    row: Record, events: Sequence[Record], acts: Sequence[Record], *, refusals: Mapping[str, str]
) -> WorkflowDetail:
    """Show a workflow with its events, what people did, and what cannot be done to it as it is."""
    return WorkflowDetail(
        **workflow_view(row).model_dump(),
        refusals=dict(refusals),
        runbook=RUNBOOKS.get(shown_state(row)),
        events=[workflow_event_view(event) for event in events],
        acts=[WorkflowAct.model_validate(dict(act)) for act in acts],
    )
