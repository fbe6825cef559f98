"""What operators do to many refunds at once: restart those in RS_ERROR, and reconcile with the payment systems."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from common.clock import Clock
from common.errors import Conflict, InvalidInput, NotFound, SuiteError, Unavailable, Unprocessable
from common.http import OPERATOR, AdminChange, Request, Route, audit, once
from common.postgres import Connection
from refunds.providers.provider import RefundStore
from refunds.reconciliation.reconcile import Reconcile, Reconciliation
from refunds.refunds.admin_routes import Lists, OpensTransactions
from refunds.refunds.errors import UnknownRefund
from refunds.refunds.model import Refund
from refunds.refunds.restart import Evidence, RestartRefund
from refunds.refunds.views import RefundView, view

_AT_ONCE = 8
_MOST = 100


class RestartManyBody(AdminChange):
    """Which refunds, all of them in RS_ERROR: of one order, named ones, or those with one error code, oldest first."""

    order: Annotated[str | None, Field(min_length=1, max_length=64, description="the order's number")] = None
    ids: Annotated[tuple[UUID, ...], Field(max_length=_MOST)] = ()
    error: Annotated[str | None, Field(min_length=1, max_length=64, description="`gateway_silent`, `declined`, …")] = (
        None
    )
    limit: Annotated[int, Field(ge=1, le=_MOST)] = _MOST

    @model_validator(mode="after")
    def _one_choice(self) -> RestartManyBody:
        if sum((self.order is not None, bool(self.ids), self.error is not None)) != 1:
            raise ValueError("name an order, ids, or an error: exactly one of them")
        return self


class RestartedItem(BaseModel):
    """One refund: what came of it (with `dry_run`: would come of it), or the code why nothing did."""

    refund_id: str
    outcome: str | None = Field(description="`restarted`, `adopted_pending`, `adopted_success`; null when refused")
    code: str | None = Field(description="why it was refused")
    detail: str | None
    refund: RefundView | None


class RestartedMany(BaseModel):
    """Item by item. A refused item leaves the others alone."""

    dry_run: bool
    items: list[RestartedItem]


class ReconcileBody(AdminChange):
    """How far back; refunds that changed, and what the registers have, in that time."""

    days: Annotated[int, Field(ge=1, le=365)] = 2


class DifferenceView(BaseModel):
    """What we and a payment system disagree about."""

    kind: str
    gateway: str
    subject: str = Field(description="our refund's id, or the payment system's where it is none of ours")
    order_number: str | None
    detail: str


class ReconciliationView(BaseModel):
    """What was found. `registers`: by payment system `compared`, `none kept` or `no answer`; our side is walked in any case."""

    dry_run: bool
    since: datetime
    until: datetime
    registers: dict[str, str]
    examined: int
    advanced: int = Field(description="refunds whose state followed the payment system")
    unanswered: int
    differences: list[DifferenceView]


def bulk_routes(
    *,
    lists: Lists,
    database: OpensTransactions,
    store_on: Callable[[Connection], RefundStore],
    restart: RestartRefund,
    reconcile: Reconcile,
    clock: Clock,
    committed: Callable[[], None],
    restarted: Callable[[str], None],
    reconciled: Callable[[Reconciliation], None],
) -> list[Route]:
    """Return the two routes."""

    async def restart_many(request: Request[RestartManyBody, None]) -> Any:
        """Ask the gateway about each, then restart them in one transaction, a refused one rolled back alone."""
        body = request.body
        chosen = await _choose(lists, body)
        room = asyncio.Semaphore(_AT_ONCE)

        async def ask(refund_id: str) -> Evidence | SuiteError | None:
            """What the gateway says, or why it cannot be restarted."""
            async with room:
                try:
                    return await restart.ask(refund_id, expected_version=None, now=clock.now())
                except (Conflict, NotFound) as error:
                    return error

        found = dict(zip(chosen, await asyncio.gather(*map(ask, chosen)), strict=True))

        async def act(connection: Connection, refund_id: str) -> RestartedItem:
            """Restart one inside a savepoint."""
            evidence = found[refund_id]
            try:
                if isinstance(evidence, SuiteError):
                    raise evidence
                async with connection.transaction():
                    before, after, outcome = await restart.act(
                        store_on(connection),
                        refund_id,
                        expected_version=evidence.version if evidence is not None else None,
                        evidence=evidence,
                        actor=request.principal.name,
                        reason=body.reason,
                        now=clock.now(),
                    )
                    await audit.record(
                        connection,
                        principal=request.principal,
                        action="refund.restart",
                        target=f"refund:{refund_id}",
                        reason=body.reason,
                        before=view(before),
                        after=view(after),
                        request_id=request.request_id,
                    )
            except (Conflict, NotFound, Unprocessable) as error:
                return RestartedItem(
                    refund_id=refund_id, outcome=None, code=error.code, detail=error.detail, refund=None
                )
            shown = view(before if body.dry_run else after)
            return RestartedItem(refund_id=refund_id, outcome=outcome, code=None, detail=None, refund=shown)

        async def act_all(connection: Connection) -> RestartedMany:
            """Restart each, in one order of locking."""
            items = [await act(connection, refund_id) for refund_id in chosen]
            return RestartedMany(dry_run=body.dry_run, items=items)

        if body.dry_run:
            async with database.acquire() as connection:
                trial = connection.transaction()
                await trial.start()
                try:
                    return await act_all(connection)
                finally:
                    await trial.rollback()
        async with database.transaction() as connection:
            answer = await once(connection, request, lambda: act_all(connection))
        if isinstance(answer, RestartedMany):
            for item in answer.items:
                if item.outcome is not None:
                    restarted(item.outcome)
        committed()
        return answer

    async def reconcile_now(request: Request[ReconcileBody, None]) -> Any:
        """Reconcile both ways, then keep the answer and the audit record."""
        body, until = request.body, clock.now()
        found = await reconcile(since=until - timedelta(days=body.days), until=until, dry_run=body.dry_run)
        shown = reconciliation_view(found, dry_run=body.dry_run)
        if body.dry_run:
            return shown
        reconciled(found)

        async with database.transaction() as connection:

            async def work() -> ReconciliationView:
                """Record it once; reconciling again for a repeated request does no harm."""
                await audit.record(
                    connection,
                    principal=request.principal,
                    action="refunds.reconcile",
                    target="refunds",
                    reason=body.reason,
                    before=None,
                    after=shown,
                    request_id=request.request_id,
                )
                return shown

            answer = await once(connection, request, work)
        committed()
        return answer

    return [
        Route(
            method="POST",
            path="/admin/v1/refunds/restart",
            handler=restart_many,
            summary="Restart refunds in RS_ERROR, by order, by name or by error",
            description=f"At most {_MOST} at a time, item by item; each as in the restart of one: the payment system is asked first, and "
            "a refund that it says nothing certain about is left alone. With `dry_run` nothing changes.",
            request=RestartManyBody,
            response=RestartedMany,
            errors=(InvalidInput, UnknownRefund, Unavailable),
            roles=OPERATOR,
            idempotent=True,
            tags=("admin",),
        ),
        Route(
            method="POST",
            path="/admin/v1/reconciliation",
            handler=reconcile_now,
            summary="Compare our refunds with the payment systems', both ways",
            description="Finished refunds too. States follow the payment system; what still differs is an incident. Moves no money.",
            request=ReconcileBody,
            response=ReconciliationView,
            errors=(InvalidInput, Unavailable),
            roles=OPERATOR,
            idempotent=True,
            tags=("admin",),
        ),
    ]


async def _choose(lists: Lists, body: RestartManyBody) -> list[str]:
    if body.ids:
        return [str(one) for one in dict.fromkeys(body.ids)][: body.limit]
    found: list[Refund] = await lists.in_error(order=body.order, error=body.error, limit=body.limit)
    # One order of locking payments, or two operators could wait for each other.
    return [refund.id for refund in sorted(found, key=lambda refund: (refund.payment_id, refund.id))]


def reconciliation_view(found: Reconciliation, *, dry_run: bool) -> ReconciliationView:
    """Show what a reconciliation found."""
    return ReconciliationView(
        dry_run=dry_run,
        since=found.since,
        until=found.until,
        registers=found.registers,
        examined=found.examined,
        advanced=found.advanced,
        unanswered=found.unanswered,
        differences=[
            DifferenceView(
                kind=one.kind,
                gateway=one.gateway,
                subject=one.subject,
                order_number=one.order_number,
                detail=one.detail,
            )
            for one in found.differences
        ],
    )
