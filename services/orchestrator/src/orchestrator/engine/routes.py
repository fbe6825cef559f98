"""Operators and workflows: look them up, stop them, let them go on, carry a past event out again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import partial

from pydantic import Field, field_validator

from common.clock import Clock
from common.errors import Conflict, NotFound
from common.http import AdminChange, Answer, Changes, Page, PageQuery, Request, Route, decode_cursor, page_of
from orchestrator.engine.admin import admin_change, admin_read
from orchestrator.engine.model import WorkflowState
from orchestrator.engine.operate import RESUME, RETRY, STOP, Operation, change_workflow
from orchestrator.engine.reprocess import EventReprocessed, reprocess_event
from orchestrator.engine.search import WorkflowSearch
from orchestrator.engine.stop_many import StopWorkflows, WorkflowsStopped, stop_workflows
from orchestrator.engine.views import (
    EventState,
    ExpectedVersion,
    WorkflowChanged,
    WorkflowEventView,
    WorkflowView,
    workflow_event_view,
    workflow_view,
)


class WorkflowChange(AdminChange):
    """A change to one workflow."""

    expected_version: int | None = ExpectedVersion


class WorkflowsQuery(PageQuery):
    """Filters of the list of workflows. `state` is a number or a name: running 1, stopped 2, finished 3, crashed 4."""

    state: str | None = Field(default=None, max_length=16)
    order_number: str | None = Field(default=None, max_length=255)
    kind: str | None = Field(default=None, max_length=64)

    @field_validator("state")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return _number_of(WorkflowState, value, "a workflow's state is 1 running, 2 stopped, 3 finished or 4 crashed")


class WorkflowEventsQuery(PageQuery):
    """Which events: all, of a workflow, in a state, or both. `state` is a number or a name: new 1, done 2, failed 3."""

    workflow_id: int | None = Field(default=None, ge=1, lt=2**63)
    state: str | None = Field(default=None, max_length=16)

    @field_validator("state")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return _number_of(EventState, value, "an event's state is 1 new, 2 done or 3 failed")


@dataclass(frozen=True, slots=True)
class WorkflowRoutes:
    """The handlers."""

    search: WorkflowSearch
    changes: Changes
    clock: Clock

    def routes(self) -> list[Route]:
        """The table."""
        return [
            admin_read(
                "workflows", self._workflows, "Workflows, the newest first", Page[WorkflowView], query=WorkflowsQuery
            ),
            admin_read(
                "workflow-events",
                self._events,
                "Workflow events, by workflow and sequence",
                Page[WorkflowEventView],
                query=WorkflowEventsQuery,
            ),
            self._operation(STOP, "Stop a workflow: it is not carried on with any more"),
            self._operation(RESUME, "Let a stopped workflow go on"),
            self._operation(RETRY, "Let a crashed workflow try again"),
            admin_change(
                "workflows/stop",
                self._stop_many,
                "Stop many workflows, by ids or by a filter",
                (StopWorkflows, WorkflowsStopped),
            ),
            admin_change(
                "workflow-events/{id}/reprocess",
                self._reprocess,
                "Carry a past event out again: a copy that names it is appended to its workflow",
                (WorkflowChange, EventReprocessed),
                errors=(NotFound, Conflict),
            ),
        ]

    def _operation(self, operation: Operation, summary: str) -> Route:
        return admin_change(
            f"workflows/{{id}}/{operation.name}",
            partial(self._operate, operation),
            summary,
            (WorkflowChange, WorkflowChanged),
            errors=(NotFound, Conflict),
        )

    async def _workflows(self, request: Request[None, WorkflowsQuery]) -> Page[WorkflowView]:
        query = request.query
        position = decode_cursor(query.cursor, int)
        rows = await self.search.workflows(
            state=None if query.state is None else int(query.state),
            number=query.order_number,
            kind=query.kind,
            before=position[0] if position else None,
            limit=query.limit,
        )
        return page_of(rows, limit=query.limit, item=workflow_view, key=lambda row: (row["id"],))

    async def _events(self, request: Request[None, WorkflowEventsQuery]) -> Page[WorkflowEventView]:
        query = request.query
        rows = await self.search.events(
            query.workflow_id,
            state=None if query.state is None else int(query.state),
            after=decode_cursor(query.cursor, int, int),
            limit=query.limit,
        )
        return page_of(
            rows, limit=query.limit, item=workflow_event_view, key=lambda row: (row["workflow_id"], row["seq"])
        )

    async def _operate(self, operation: Operation, request: Request[WorkflowChange, None]) -> Answer:
        work = partial(
            change_workflow,
            workflow_id=request.path_int("id"),
            operation=operation,
            expected_version=request.body.expected_version,
            now=self.clock.now(),
        )
        return await self.changes.carry_out(request, work)

    async def _stop_many(self, request: Request[StopWorkflows, None]) -> Answer:
        work = partial(stop_workflows, asked=request.body, now=self.clock.now())
        return await self.changes.carry_out(request, work)

    async def _reprocess(self, request: Request[WorkflowChange, None]) -> Answer:
        workflow_id, seq = _event_id(request.path["id"])
        work = partial(
            reprocess_event, workflow_id=workflow_id, seq=seq, expected_version=request.body.expected_version
        )
        return await self.changes.carry_out(request, work)


def _event_id(text: str) -> tuple[int, int]:
    """Read ``<workflow>-<sequence number>``. What cannot be one does not exist: ``NotFound``."""
    workflow, _, seq = text.partition("-")
    if all(part.isascii() and part.isdigit() and len(part) <= 18 for part in (workflow, seq)) and int(seq) < 2**31:
        return int(workflow), int(seq)
    raise NotFound(f"there is no event {text}")


def _number_of(states: type[IntEnum], value: str | None, otherwise: str) -> str | None:
    """Return the number of a state that is given by number or by name. Raises ``ValueError``."""
    if value is None:
        return None
    for state in states:
        if value in {str(int(state)), state.name.lower()}:
            return str(int(state))
    raise ValueError(otherwise)
