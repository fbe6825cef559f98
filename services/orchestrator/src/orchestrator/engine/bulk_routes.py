"""What operators do to many at once, and to past events (M9, M10, M13). Bulk answers go item by item; one refused harms no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.clock import Clock
from common.errors import Conflict, NotFound
from common.http import OPERATOR, AdminChange, Moment, Request, Route, audit
from common.postgres import Connection, Database
from common.telemetry import inject
from orchestrator.engine.changes import Answer, Changes, WorkflowChange, require_version
from orchestrator.engine.lookups import BulkOperations
from orchestrator.engine.model import WorkflowState
from orchestrator.orders import views

_MOST = 1000
_SHOWN = 100
_Text = Annotated[str, Field(min_length=1, max_length=255, pattern=r"\A[^\x00]*\z")]
_Numbers = Annotated[list[_Text], Field(min_length=1, max_length=_MOST)]


class WorkflowFilter(BaseModel):
    """Which workflows; all that is given has to hold. At least one thing beside `state` has to be given."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["running", "crashed"] | None = Field(default=None, description="both when left out")
    kind: _Text | None = None
    order_numbers: _Numbers | None = None
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
    workflow: views.WorkflowView | None = None


class WorkflowsStopped(BaseModel):
    """What became of each, in the order asked. `more`: the filter matches more than `limit`."""

    dry_run: bool
    stopped: int
    more: bool
    items: list[StoppedWorkflow]


class EventReprocessed(BaseModel):
    """The event, its copy that will be carried out, and the workflow after that."""

    dry_run: bool
    original: views.WorkflowEventView
    appended: views.WorkflowEventView
    workflow: views.WorkflowView


class RecalculateOrders(AdminChange):
    """Which orders: some, or all of them."""

    numbers: _Numbers | None = None
    all: bool = False

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.numbers is None) != self.all:
            raise ValueError("say which: numbers, or all")
        return self


class RecalculatedOrder(BaseModel):
    """An order's aggregate state as stored and as derived; both null when there is no such order."""

    number: str
    before: str | None
    after: str | None


class OrdersRecalculated(BaseModel):
    """How many orders were looked at, how many were stored otherwise than derived, and which (of all: the first hundred).

    With `all` and no `dry_run` the orders were put into the change table, `queued`; a job works it off within minutes.
    """

    dry_run: bool
    orders: int
    differing: int
    queued: int
    items: list[RecalculatedOrder]


def bulk_routes(
    database: Database, operations: BulkOperations, *, clock: Clock, committed: Callable[[], None]
) -> list[Route]:
    """Return the routes. ``committed`` is called after each commit, to wake workers and the outbox relay."""
    changes = Changes(database, clock=clock, committed=committed)

    async def _chosen(connection: Connection, body: StopWorkflows) -> tuple[list[int], bool]:
        if body.ids is not None:
            return list(dict.fromkeys(body.ids)), False
        wanted = body.filter or WorkflowFilter()
        states = (
            [WorkflowState[wanted.state.upper()]] if wanted.state else [WorkflowState.RUNNING, WorkflowState.CRASHED]
        )
        found = await operations.matching_workflows(
            connection, states=states, limit=body.limit + 1, **wanted.model_dump(exclude={"state"})
        )
        return found[: body.limit], len(found) > body.limit

    async def stop(request: Request[StopWorkflows, None]) -> Answer:
        """Answer with what became of each."""

        async def _work(connection: Connection) -> BaseModel:
            ids, more = await _chosen(connection, request.body)
            items: list[StoppedWorkflow] = []
            for workflow_id, before, after in await operations.stop_workflows(connection, ids):
                if before is None:
                    items.append(
                        StoppedWorkflow(id=workflow_id, outcome="not_found", detail="there is no such workflow")
                    )
                elif after is None:
                    view = views.workflow_view(before)
                    detail = f"it is {view.state_name}: only a running or crashed one can be stopped"
                    items.append(StoppedWorkflow(id=workflow_id, outcome="refused", detail=detail, workflow=view))
                else:
                    view = views.workflow_view(after)
                    await changes.note_workflow(
                        connection, request, action="stop", before=views.workflow_view(before), after=view
                    )
                    items.append(StoppedWorkflow(id=workflow_id, outcome="stopped", workflow=view))
            stopped = sum(item.outcome == "stopped" for item in items)
            return WorkflowsStopped(dry_run=request.body.dry_run, stopped=stopped, more=more, items=items)

        return await changes.carry_out(request, _work)

    async def reprocess(request: Request[WorkflowChange, None]) -> Answer:
        """Answer with the event and its copy."""
        workflow_id, seq = _event_id(request.path["id"])
        body = request.body

        async def _work(connection: Connection) -> BaseModel:
            headers: dict[str, str] = {}
            inject(headers)
            original, copy, before, after = await operations.reprocess_event(
                connection,
                workflow_id,
                seq,
                actor=request.principal.name,
                reason=body.reason,
                traceparent=headers.get("traceparent"),
            )
            seen = views.workflow_view(before)
            require_version(f"workflow {workflow_id}", at=seen.version, expected=body.expected_version)
            await audit.record(
                connection,
                principal=request.principal,
                action="workflow_event.reprocess",
                target=f"workflow:{workflow_id}",
                reason=body.reason,
                before={"last_seq": before["last_seq"], "event": f"{workflow_id}-{seq}"},
                after={"last_seq": after["last_seq"], "event": f"{workflow_id}-{copy['seq']}"},
                request_id=request.request_id,
            )
            cursor = {"done_seq": after["done_seq"], "workflow_state": after["state"]}
            return EventReprocessed(
                dry_run=body.dry_run,
                original=views.workflow_event_view({**original, **cursor}),
                appended=views.workflow_event_view({**copy, **cursor}),
                workflow=views.workflow_view(after),
            )

        return await changes.carry_out(request, _work)

    async def recalculate(request: Request[RecalculateOrders, None]) -> Answer:
        """Answer with what differs."""
        body = request.body

        async def _some(connection: Connection, numbers: list[str]) -> OrdersRecalculated:
            found = await operations.recalculate_orders(connection, list(dict.fromkeys(numbers)))
            items = [RecalculatedOrder(number=number, before=before, after=after) for number, before, after in found]
            differing = [item for item in items if item.before != item.after]
            for item in items:
                if item.before is None:
                    continue
                await _note(connection, f"order:{item.number}", item.before, item.after)
            return OrdersRecalculated(
                dry_run=body.dry_run, orders=len(items), differing=len(differing), queued=0, items=items
            )

        async def _all(connection: Connection) -> OrdersRecalculated:
            orders, differing, found = await operations.differences(connection, limit=_SHOWN)
            queued = 0 if body.dry_run else await operations.ask_for_all(connection)
            await _note(connection, "orders:all", None, f"{queued} asked for")
            items = [RecalculatedOrder(number=number, before=before, after=after) for number, before, after in found]
            return OrdersRecalculated(
                dry_run=body.dry_run, orders=orders, differing=differing, queued=queued, items=items
            )

        async def _note(connection: Connection, target: str, before: str | None, after: str | None) -> None:
            await audit.record(
                connection,
                principal=request.principal,
                action="order.recalculate",
                target=target,
                reason=body.reason,
                before={"aggregate_state": before},
                after={"aggregate_state": after},
                request_id=request.request_id,
            )

        async def _work(connection: Connection) -> BaseModel:
            return await (_all(connection) if body.numbers is None else _some(connection, body.numbers))

        return await changes.carry_out(request, _work)

    return [
        Route(
            method="POST",
            path="/admin/v1/workflows/stop",
            handler=stop,
            summary="Stop many workflows, by ids or by a filter",
            request=StopWorkflows,
            response=WorkflowsStopped,
            roles=OPERATOR,
            tags=("admin",),
            idempotent=True,
        ),
        Route(
            method="POST",
            path="/admin/v1/workflow-events/{id}/reprocess",
            handler=reprocess,
            summary="Carry a past event out again: a copy that names it is appended to its workflow",
            request=WorkflowChange,
            response=EventReprocessed,
            errors=(NotFound, Conflict),
            roles=OPERATOR,
            tags=("admin",),
            idempotent=True,
        ),
        Route(
            method="POST",
            path="/admin/v1/orders/recalculate",
            handler=recalculate,
            summary="Derive aggregate states again, for many orders or for all",
            request=RecalculateOrders,
            response=OrdersRecalculated,
            roles=OPERATOR,
            tags=("admin",),
            idempotent=True,
        ),
    ]


def _event_id(text: str) -> tuple[int, int]:
    """Read ``<workflow>-<sequence number>``. What cannot be one does not exist: ``NotFound``."""
    workflow, _, seq = text.partition("-")
    if all(part.isascii() and part.isdigit() and len(part) <= 18 for part in (workflow, seq)) and int(seq) < 2**31:
        return int(workflow), int(seq)
    raise NotFound(f"there is no event {text}")
