"""What operators do (M9, M10, M13): each operation is one transaction with its audit record, and safe to repeat with a key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, Field

from common.clock import Clock
from common.errors import Conflict, NotFound
from common.http import ADMIN, OPERATOR, AdminChange, Request, Route, audit
from common.postgres import Connection, Database, Record
from orchestrator.engine.changes import Answer, Changes, WorkflowChange, require_version
from orchestrator.engine.lookups import Operations
from orchestrator.orders import views

WorkflowOperation = Callable[[Connection, int], Awaitable[tuple[Record, Record]]]


class FlagChange(AdminChange):
    """A switch's new setting; `share` (hundredths of a percent) stays if left out."""

    enabled: bool
    share: int | None = Field(default=None, ge=0, le=10_000)
    expected_version: int | None = Field(default=None, ge=0, lt=2**63, description="409 when it is at another one")


def operation_routes(
    database: Database, operations: Operations, *, clock: Clock, committed: Callable[[], None]
) -> list[Route]:
    """Return the routes. ``committed`` is called after each commit, to wake workers and the outbox relay."""

    changes = Changes(database, clock=clock, committed=committed)

    def on_workflow(action: str, operation: WorkflowOperation) -> Callable[[Request[WorkflowChange, None]], Any]:
        async def _handle(request: Request[WorkflowChange, None]) -> Answer:
            workflow_id = request.path_int("id")

            async def _work(connection: Connection) -> BaseModel:
                rows = await operation(connection, workflow_id)
                before, after = map(views.workflow_view, rows)
                require_version(f"workflow {workflow_id}", at=before.version, expected=request.body.expected_version)
                await changes.note_workflow(connection, request, action=action, before=before, after=after)
                return views.WorkflowChanged(dry_run=request.body.dry_run, before=before, after=after)

            return await changes.carry_out(request, _work)

        return _handle

    async def recalculate(request: Request[AdminChange, None]) -> Answer:
        """Answer with the aggregate state before and after."""
        number = request.path["number"]

        async def _work(connection: Connection) -> BaseModel:
            before, after = await operations.recalculate_order(connection, number)
            await audit.record(
                connection,
                principal=request.principal,
                action="order.recalculate",
                target=f"order:{number}",
                reason=request.body.reason,
                before={"aggregate_state": before},
                after={"aggregate_state": after},
                request_id=request.request_id,
            )
            return views.Recalculated(number=number, dry_run=request.body.dry_run, before=before, after=after)

        return await changes.carry_out(request, _work)

    async def set_flag(request: Request[FlagChange, None]) -> Answer:
        """Answer with the flag as it is now."""
        name, body = request.path["name"], request.body

        async def _work(connection: Connection) -> BaseModel:
            before, after = await operations.set_flag(
                connection,
                name,
                enabled=body.enabled,
                share=body.share,
                expected_version=body.expected_version,
                actor=request.principal.name,
            )
            shown = {"enabled", "share", "version"}
            answer = views.flag_view(after)
            await audit.record(
                connection,
                principal=request.principal,
                action="flag.set",
                target=f"flag:{name}",
                reason=body.reason,
                before=views.flag_view(before).model_dump(include=shown),
                after=answer.model_dump(include=shown),
                request_id=request.request_id,
            )
            return answer

        return await changes.carry_out(request, _work)

    def workflow_route(action: str, operation: WorkflowOperation, summary: str) -> Route:
        return Route(
            method="POST",
            path=f"/admin/v1/workflows/{{id}}/{action}",
            handler=on_workflow(action, operation),
            summary=summary,
            request=WorkflowChange,
            response=views.WorkflowChanged,
            errors=(NotFound, Conflict),
            roles=OPERATOR,
            tags=("admin",),
            idempotent=True,
        )

    return [
        workflow_route("stop", operations.stop_workflow, "Stop a workflow: it is not carried on with any more"),
        workflow_route("resume", operations.resume_workflow, "Let a stopped workflow go on"),
        workflow_route("retry", operations.retry_workflow, "Let a crashed workflow try again"),
        Route(
            method="POST",
            path="/admin/v1/orders/{number}/recalculate",
            handler=recalculate,
            summary="Derive the order's aggregate state again, through its change table",
            request=AdminChange,
            response=views.Recalculated,
            errors=(NotFound,),
            roles=OPERATOR,
            tags=("admin",),
            idempotent=True,
        ),
        Route(
            method="PUT",
            path="/admin/v1/flags/{name}",
            handler=set_flag,
            summary="Set a switch",
            request=FlagChange,
            response=views.FlagView,
            errors=(NotFound, Conflict),
            roles=ADMIN,
            tags=("admin",),
            idempotent=True,
        ),
    ]
