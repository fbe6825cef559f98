"""Workflows and their events as the interface shows them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from typing import Any

from pydantic import BaseModel, Field

from common.postgres import Record
from orchestrator.engine.model import WorkflowState

ExpectedVersion: Any = Field(
    default=None, ge=0, lt=2**63, description="the version that the caller looked at; 409 when it is at another one"
)


class EventState(IntEnum):
    """States of a workflow event, derived from its workflow's cursor."""

    NEW = 1
    DONE = 2
    FAILED = 3


class WorkflowView(BaseModel):
    """A workflow. `state` is 1 running, 2 stopped, 3 finished, 4 crashed; `pending` events wait to be carried out.

    `version` grows with everything that happens to it; an operation may name the one it expects.
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
    error: str | None
    error_stack: str | None
    failed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class WorkflowEventView(BaseModel):
    """An event of a workflow; its state is derived from the workflow's cursor (new = 1, done = 2, failed = 3)."""

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


class WorkflowChanged(BaseModel):
    """What an operation did to a workflow, or would do."""

    dry_run: bool
    before: WorkflowView
    after: WorkflowView


def workflow_view(row: Record) -> WorkflowView:
    """Show a workflow's row."""
    return WorkflowView.model_validate(
        {
            **row,
            "state_name": WorkflowState(row["state"]).name.lower(),
            "version": row["last_seq"] + row["done_seq"] + row["revision"],
            "pending": row["last_seq"] - row["done_seq"],
        }
    )


def workflow_event_view(row: Mapping[str, Any]) -> WorkflowEventView:
    """Show an event, with the state that follows from its workflow's cursor (``done_seq``, ``workflow_state``)."""
    state = EventState.NEW
    if row["seq"] <= row["done_seq"]:
        state = EventState.DONE
    elif row["workflow_state"] == WorkflowState.CRASHED and row["seq"] == row["done_seq"] + 1:
        state = EventState.FAILED
    return WorkflowEventView.model_validate(
        {**row, "id": f"{row['workflow_id']}-{row['seq']}", "state": int(state), "state_name": state.name.lower()}
    )
