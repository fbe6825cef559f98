"""Operators and workflows: look them up, stop them, let them go on; carry a past event out again, skip or mend a failed one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

from pydantic import BaseModel, Field, field_validator, model_validator

from common.clock import Clock
from common.errors import Conflict, NotFound
from common.http import (
    BULK_ERRORS,
    AdminChange,
    Answer,
    Bulk,
    BulkAnswer,
    Change,
    ChangeAnswer,
    Changes,
    JsonObject,
    Page,
    PageQuery,
    Request,
    Route,
    TraceId,
    change_route,
    listed,
    one_listed,
    read_route,
)
from common.postgres import Record, member
from orchestrator.engine.foresee import Foretellers, tell_what_follows
from orchestrator.engine.mend import Mender, mend_event
from orchestrator.engine.model import EventState, WorkflowState
from orchestrator.engine.operate import RESUME, RETRY, STOP, Operation, change_workflow, refusals
from orchestrator.engine.operate_many import (
    OperateWorkflows,
    StopWorkflows,
    WorkflowsOperated,
    WorkflowsStopped,
    bulk_of,
)
from orchestrator.engine.reprocess import EventReprocessed, reprocess_event
from orchestrator.engine.search import WorkflowSearch
from orchestrator.engine.select import WorkflowConditions, add_conditions, number_of
from orchestrator.engine.skip import FailureEnded, skip_event
from orchestrator.engine.skip_many import SkipEvents, skip_many
from orchestrator.engine.views import (
    ExpectedVersion,
    WorkflowChanged,
    WorkflowDetail,
    WorkflowEventView,
    WorkflowFound,
    WorkflowGroup,
    WorkflowGroups,
    WorkflowView,
    shown_state,
    workflow_detail,
    workflow_event_view,
    workflow_view,
)

_SHOWN = 200
"""Events and acts of one workflow that are shown with it: the last ones."""
_MOST_GROUPS = 200

AnswerT = TypeVar("AnswerT", bound=ChangeAnswer)


class WorkflowChange(AdminChange):
    """A change to one workflow."""

    expected_version: int | None = ExpectedVersion


class MendEvent(WorkflowChange):
    """A mended event: its payload (the hook's payload object, or the whole hook), and whether it happens now.

    `as_of_now` is the way out for a late event whose order's earlier events are no longer kept: it takes effect on the order as it is.
    """

    payload: JsonObject | None = None
    as_of_now: bool = False

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.payload is None and not self.as_of_now:
            raise ValueError("say what is mended: a payload, or that it happens as of now")
        return self


class WorkflowsQuery(PageQuery, WorkflowConditions):
    """Filters of the list of workflows; all that is given has to hold."""


class WorkflowEventsQuery(PageQuery):
    """Which events: all that is given has to hold.

    `state` is a number or a name: new 1, done 2, failed 3, skipped 4, superseded 5, mended 6.
    """

    workflow_id: int | None = Field(default=None, ge=1, lt=2**63)
    order_number: str | None = Field(default=None, min_length=1, max_length=255)
    state: str | None = Field(default=None, max_length=16)
    trace: TraceId | None = None

    @field_validator("state")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return number_of(
            EventState, value, "an event's state is 1 new, 2 done, 3 failed, 4 skipped, 5 superseded or 6 mended"
        )


@dataclass(frozen=True, slots=True)
class WorkflowRoutes:
    """The handlers."""

    search: WorkflowSearch
    changes: Changes
    clock: Clock
    menders: Mapping[str, Mender]
    foretellers: Foretellers

    def routes(self) -> list[Route]:
        """The table."""
        return [
            read_route(
                "/admin/v1/workflows",
                self._workflows,
                "Workflows, the newest first",
                Page[WorkflowFound],
                query=WorkflowsQuery,
            ),
            read_route(
                "/admin/v1/workflow-groups",
                self._groups,
                "Crashed and stopped workflows by kind and error, the most first",
                WorkflowGroups,
            ),
            read_route(
                "/admin/v1/workflows/{id}",
                self._workflow,
                "A workflow with its last events and what people did to it",
                WorkflowDetail,
                errors=(NotFound,),
            ),
            read_route(
                "/admin/v1/workflow-events",
                self._events,
                "Workflow events, by workflow and sequence",
                Page[WorkflowEventView],
                query=WorkflowEventsQuery,
            ),
            read_route(
                "/admin/v1/workflow-events/{id}",
                self._event,
                "A workflow event and how it stands",
                WorkflowEventView,
                errors=(NotFound,),
            ),
            self._operation(STOP, "Stop a workflow: it is not carried on with any more"),
            self._operation(RESUME, "Let a stopped workflow go on"),
            self._operation(RETRY, "Let a crashed workflow try again"),
            self._operation_on_many(STOP, "Stop many workflows", (StopWorkflows, WorkflowsStopped)),
            self._operation_on_many(RESUME, "Let many stopped workflows go on", (OperateWorkflows, WorkflowsOperated)),
            self._operation_on_many(
                RETRY, "Let many crashed workflows try again", (OperateWorkflows, WorkflowsOperated)
            ),
            change_route(
                "POST",
                "/admin/v1/workflow-events/skip",
                self._skip_many,
                "Skip many events that cannot be carried out, by ids or by a filter",
                SkipEvents,
                BulkAnswer,
                errors=BULK_ERRORS,
            ),
            change_route(
                "POST",
                "/admin/v1/workflow-events/{id}/reprocess",
                self._reprocess,
                "Carry a past event out again: a copy that names it is appended to its workflow",
                WorkflowChange,
                EventReprocessed,
                errors=(NotFound, Conflict),
            ),
            change_route(
                "POST",
                "/admin/v1/workflow-events/{id}/skip",
                self._skip,
                "Skip an event that cannot be carried out: it never takes effect, and its failure is over",
                WorkflowChange,
                FailureEnded,
                errors=(NotFound, Conflict),
            ),
            change_route(
                "POST",
                "/admin/v1/workflow-events/{id}/mend",
                self._mend,
                "Mend an event that cannot be carried out: a copy with another payload takes its place and time",
                MendEvent,
                FailureEnded,
                errors=(NotFound, Conflict),
            ),
        ]

    def _operation(self, operation: Operation, summary: str) -> Route:
        return change_route(
            "POST",
            f"/admin/v1/workflows/{{id}}/{operation.name}",
            partial(self._operate, operation),
            summary,
            WorkflowChange,
            WorkflowChanged,
            errors=(NotFound, Conflict),
        )

    def _operation_on_many(
        self, operation: Operation, summary: str, models: tuple[type[BaseModel], type[BaseModel]]
    ) -> Route:
        return change_route(
            "POST",
            f"/admin/v1/workflows/{operation.name}",
            partial(self._on_many, bulk_of(operation, self.clock, self.foretellers)),
            f"{summary}, by ids or by a filter",
            *models,
            errors=BULK_ERRORS,
        )

    async def _workflows(self, request: Request[None, WorkflowsQuery]) -> Page[WorkflowFound]:
        query = request.query

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
            """Return the statement of a page and its values."""
            wanted = partial(add_conditions, wanted=query)
            return self.search.workflows(wanted, before=after[0] if after else None, limit=limit)

        return await listed(self.search.database, query, select, key={"id": int}, item=_found)

    async def _groups(self, request: Request[None, None]) -> WorkflowGroups:
        rows = await self.search.groups(limit=_MOST_GROUPS)
        named = ({**row, "state_name": member(WorkflowState, row["state"]).name.lower()} for row in rows)
        return WorkflowGroups(items=[WorkflowGroup(**row) for row in named])

    async def _events(self, request: Request[None, WorkflowEventsQuery]) -> Page[WorkflowEventView]:
        query = request.query
        state = None if query.state is None else int(query.state)

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
            """Return the statement of a page and its values."""
            return self.search.events(
                query.workflow_id,
                order_number=query.order_number,
                state=state,
                trace=query.trace,
                after=after,
                limit=limit,
            )

        key = {"workflow_id": int, "seq": int}
        return await listed(self.search.database, query, select, key=key, item=workflow_event_view)

    async def _event(self, request: Request[None, None]) -> WorkflowEventView:
        workflow_id, seq = _event_id(request.path["id"])
        found = self.search.events(workflow_id, state=None, after=(workflow_id, seq - 1), limit=1)
        named = {"workflow_id": workflow_id, "seq": seq}
        return await one_listed(self.search.database, found, named=named, item=workflow_event_view)

    async def _workflow(self, request: Request[None, None]) -> WorkflowDetail:
        workflow_id = request.path_int("id")
        found = await self.search.workflow(workflow_id, events=_SHOWN)
        if found is None:
            raise NotFound(f"there is no workflow {workflow_id}")
        return workflow_detail(*found, refusals=refusals(shown_state(found[0])))

    async def _operate(self, operation: Operation, request: Request[WorkflowChange, None]) -> Answer:
        work = partial(
            change_workflow,
            workflow_id=request.path_int("id"),
            operation=operation,
            expected_version=request.body.expected_version,
            now=self.clock.now(),
        )
        return await self._carry_out(request, work, lambda changed: changed.after)

    async def _on_many(self, bulk: Bulk[int], request: Request[OperateWorkflows, None]) -> Answer:
        return await bulk.carry_out(self.changes, request)

    async def _skip_many(self, request: Request[SkipEvents, None]) -> Answer:
        return await skip_many(self.clock, self.foretellers).carry_out(self.changes, request)

    async def _reprocess(self, request: Request[WorkflowChange, None]) -> Answer:
        workflow_id, seq = _event_id(request.path["id"])
        work = partial(
            reprocess_event, workflow_id=workflow_id, seq=seq, expected_version=request.body.expected_version
        )
        return await self._carry_out(request, work, lambda done: done.workflow)

    async def _skip(self, request: Request[WorkflowChange, None]) -> Answer:
        workflow_id, seq = _event_id(request.path["id"])
        work = partial(
            skip_event,
            workflow_id=workflow_id,
            seq=seq,
            expected_version=request.body.expected_version,
            now=self.clock.now(),
        )
        return await self._carry_out(request, work, lambda ended: ended.workflow)

    async def _mend(self, request: Request[MendEvent, None]) -> Answer:
        workflow_id, seq = _event_id(request.path["id"])
        work = partial(
            mend_event,
            workflow_id=workflow_id,
            seq=seq,
            payload=request.body.payload,
            as_of_now=request.body.as_of_now,
            menders=self.menders,
            expected_version=request.body.expected_version,
            now=self.clock.now(),
        )
        return await self._carry_out(request, work, lambda ended: ended.workflow)

    async def _carry_out(
        self,
        request: Request[Any, None],
        work: Callable[[Change], Awaitable[AnswerT]],
        workflow: Callable[[AnswerT], WorkflowView],
    ) -> Answer:
        """Change one workflow, and name what follows once it goes on."""

        async def _work(change: Change) -> AnswerT:
            answer = await work(change)
            await tell_what_follows(change, workflow(answer), self.foretellers)
            return answer

        return await self.changes.carry_out(request, _work)


def _found(row: Record) -> WorkflowFound:
    """Show a workflow of a list."""
    return WorkflowFound(**workflow_view(row).model_dump(), refusals=refusals(shown_state(row)))


def _event_id(text: str) -> tuple[int, int]:
    """Read ``<workflow>-<sequence number>``. What cannot be one does not exist: ``NotFound``."""
    workflow, _, seq = text.partition("-")
    if all(part.isascii() and part.isdigit() and len(part) <= 18 for part in (workflow, seq)) and int(seq) < 2**31:
        return int(workflow), int(seq)
    raise NotFound(f"there is no event {text}")
