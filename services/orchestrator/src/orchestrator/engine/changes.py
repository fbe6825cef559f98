"""How an operator's change is carried out: one transaction with its audit record, once for a key, or rolled back as a preview."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

from common.clock import Clock
from common.http import AdminChange, Reply, Request, audit, once
from common.messaging import outbox
from common.postgres import Connection, Database
from common.telemetry import inject
from orchestrator.engine import messages as workflow_messages
from orchestrator.engine.errors import StaleVersion
from orchestrator.engine.model import WorkflowState
from orchestrator.orders.views import WorkflowView

_DEADLOCK = "40P01"
_DEADLOCKS = 3

Answer = web.StreamResponse | BaseModel | Reply | None

ExpectedVersion: Any = Field(
    default=None, ge=0, lt=2**63, description="the version that the caller looked at; 409 when it is at another one"
)


class WorkflowChange(AdminChange):
    """A change to one workflow."""

    expected_version: int | None = ExpectedVersion


class _DryRunError(Exception):
    """Rolls a dry run back after it has been carried out; ``answer`` says what it would have done."""

    def __init__(self, answer: BaseModel) -> None:
        super().__init__("dry run")
        self.answer = answer


class Changes:
    """Carries out changes. ``committed`` is called after each commit, to wake workers and the outbox relay."""

    def __init__(self, database: Database, *, clock: Clock, committed: Callable[[], None]) -> None:
        self._database = database
        self._clock = clock
        self._committed = committed

    async def carry_out(self, request: Request[Any, Any], work: Callable[[Connection], Awaitable[BaseModel]]) -> Answer:
        """Do ``work`` in a transaction. A dry run is done for real and rolled back, so a preview cannot differ from the deed.

        Whom the database chose as the victim of a deadlock begins anew: its transaction has left nothing.
        """
        for _ in range(_DEADLOCKS):
            try:
                return await self._carry_out(request, work)
            except Exception as error:
                if getattr(error, "sqlstate", None) != _DEADLOCK:
                    raise
        return await self._carry_out(request, work)

    async def _carry_out(
        self, request: Request[Any, Any], work: Callable[[Connection], Awaitable[BaseModel]]
    ) -> Answer:
        try:
            async with self._database.transaction() as connection:

                async def _carried_out() -> BaseModel:
                    answer = await work(connection)
                    _roll_back_preview(request.body, answer)
                    return answer

                reply = await once(connection, request, _carried_out)
        except _DryRunError as preview:
            return preview.answer
        self._committed()
        return reply

    async def note_workflow(
        self,
        connection: Connection,
        request: Request[Any, None],
        *,
        action: str,
        before: WorkflowView,
        after: WorkflowView,
    ) -> None:
        """Leave the audit record of a workflow's new state, and promise the event that tells of it (M8)."""
        shown = {"state", "state_name", "done_seq", "last_seq", "version"}
        await audit.record(
            connection,
            principal=request.principal,
            action=f"workflow.{action}",
            target=f"workflow:{after.id}",
            reason=request.body.reason,
            before=before.model_dump(include=shown),
            after=after.model_dump(include=shown),
            request_id=request.request_id,
        )
        told: dict[str, Any] = {
            "workflow_id": after.id,
            "version": after.version,
            "order_number": after.order_number,
            "actor": request.principal.name,
            "now": self._clock.now(),
            "traceparent": current_trace(),
        }
        if after.state == WorkflowState.STOPPED:
            event = workflow_messages.stopped(**told, kind=after.kind, reason=request.body.reason)
        else:
            event = workflow_messages.goes_on(**told)
        await outbox.add_encoded(connection, [event])


def require_version(what: str, *, at: int, expected: int | None) -> None:
    """Raise ``StaleVersion`` when the caller looked at another version."""
    if expected is not None and at != expected:
        raise StaleVersion(f"{what} is at version {at}, not {expected}")


def current_trace() -> str | None:
    """Return the trace of the request in hand, for what follows from it."""
    headers: dict[str, str] = {}
    inject(headers)
    return headers.get("traceparent")


def _roll_back_preview(change: AdminChange | None, answer: BaseModel) -> None:
    if change is not None and change.dry_run:
        raise _DryRunError(answer)
