"""What operators do: find refunds, read their history and evidence, restart one or many, close one."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from common.errors import InvalidInput, Unavailable
from common.http import (
    OPERATOR,
    VIEWER,
    AdminChange,
    Answer,
    Change,
    Changes,
    Done,
    NotDone,
    Page,
    PageQuery,
    Request,
    Route,
    decode_cursor,
    page_of,
)
from common.postgres import Database
from refunds.payments.model import ExceedsCaptured, NothingLeft
from refunds.refunds.close import CloseOutcome, CloseRefund
from refunds.refunds.errors import GatewayNoAnswer, NotInError, UnknownRefund, VersionMismatch
from refunds.refunds.evidence import Proof
from refunds.refunds.model import Settled
from refunds.refunds.queries import find_page
from refunds.refunds.restart import Restart, RestartRefund
from refunds.refunds.restart_many import RestartMany
from refunds.refunds.store import RefundTransactions
from refunds.refunds.views import (
    AttemptView,
    CallView,
    EvidenceView,
    HistoryList,
    HistoryView,
    RefundView,
    state_named,
    view,
)

_MOST = 100
_NOT_NOW = (UnknownRefund, NotInError, VersionMismatch, GatewayNoAnswer, ExceedsCaptured, NothingLeft, Unavailable)


class RefundQuery(PageQuery):
    """Filters of the list, exact matches."""

    state: Annotated[str | None, Field(max_length=16, description="number or name: `7`, `ERROR`, `RS_ERROR`")] = None
    order: Annotated[str | None, Field(max_length=64, description="the order's number")] = None


class RestartBody(AdminChange):
    """Why, and which version of the refund the operator looked at."""

    expected_version: Annotated[int, Field(ge=1, le=2**62)]


class RestartAnswer(BaseModel):
    """What came of it: ``restarted``, ``adopted_pending`` or ``adopted_success``; with ``dry_run``, what would come of it."""

    outcome: str
    dry_run: bool
    refund: RefundView


class CloseBody(RestartBody):
    """How people settled it: `outside`, the customer has the money by another way; `given_up`, it is not to be paid this way."""

    settled: Settled


class CloseAnswer(BaseModel):
    """What came of it: ``closed``, or ``paid_at_gateway``; with ``dry_run``, what would.

    `gateway`: what is proven of the money, as in a restart. Paid at the gateway: what was to be given up is adopted and not closed; what
    was settled outside is a difference, for the customer may have it twice.
    """

    outcome: CloseOutcome
    gateway: Proof
    dry_run: bool
    refund: RefundView


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


class RefundAdminRoutes:
    """Refunds as operators see and restart them."""

    def __init__(
        self,
        database: Database,
        transactions: RefundTransactions,
        changes: Changes,
        restart: RestartRefund,
        restart_many: RestartMany,
        close: CloseRefund,
    ) -> None:
        self._database = database
        self._transactions = transactions
        self._changes = changes
        self._restart = restart
        self._restart_many = restart_many
        self._close = close

    async def _find(self, request: Request[None, RefundQuery]) -> Page[RefundView]:
        query = request.query
        state = None
        if query.state is not None:
            state = state_named(query.state)
            if state is None:
                raise InvalidInput(f"there is no state {query.state}")
        position = decode_cursor(query.cursor, str)
        try:
            before = None if position is None else UUID(position[0])
        except ValueError:
            raise InvalidInput("the cursor is malformed") from None
        found = await find_page(self._database, state=state, order=query.order, before=before, limit=query.limit + 1)
        return page_of(found, limit=query.limit, item=view, key=lambda refund: (refund.id,))

    async def _history(self, request: Request[None, None]) -> HistoryList:
        refund_id = str(request.path_uuid("id"))
        async with self._transactions.begin() as store:
            if await store.find(refund_id) is None:
                raise UnknownRefund(f"there is no refund {refund_id}")
            entries = await store.history(refund_id)
        return HistoryList(items=[HistoryView.model_validate(entry, from_attributes=True) for entry in entries])

    async def _evidence(self, request: Request[None, None]) -> EvidenceView:
        refund_id = str(request.path_uuid("id"))
        async with self._transactions.begin() as store:
            if await store.find(refund_id) is None:
                raise UnknownRefund(f"there is no refund {refund_id}")
            attempts, calls = await store.attempts(refund_id), await store.calls(refund_id, limit=100)
        return EvidenceView(
            attempts=[AttemptView.model_validate(attempt, from_attributes=True) for attempt in attempts],
            calls=[CallView.model_validate(call, from_attributes=True) for call in calls],
        )

    async def _restart_one(self, request: Request[RestartBody, None]) -> Answer:
        refund_id, version = str(request.path_uuid("id")), request.body.expected_version
        evidence = await self._restart.ask(refund_id, expected_version=version)

        async def work(change: Change) -> RestartAnswer:
            done = await self._restart.carry_out(change, refund_id, expected_version=version, evidence=evidence)
            return RestartAnswer(outcome=done.outcome, dry_run=change.dry_run, refund=_shown(done, change))

        return await self._changes.carry_out(request, work)

    async def _close_one(self, request: Request[CloseBody, None]) -> Answer:
        body, refund_id = request.body, str(request.path_uuid("id"))
        evidence = await self._close.ask(refund_id, expected_version=body.expected_version)

        async def work(change: Change) -> CloseAnswer:
            done = await self._close.carry_out(
                change, refund_id, expected_version=body.expected_version, settled=body.settled, evidence=evidence
            )
            return CloseAnswer(
                outcome=done.outcome,
                gateway=done.proof,
                dry_run=change.dry_run,
                refund=view(done.before if change.dry_run else done.after),
            )

        return await self._changes.carry_out(request, work)

    async def _restart_chosen(self, request: Request[RestartManyBody, None]) -> Answer:
        """Ask the gateway about each, then restart them in one transaction, a refused one rolled back alone."""
        body = request.body
        chosen = await self._restart_many.choose(ids=body.ids, order=body.order, error=body.error, limit=body.limit)
        found = await self._restart_many.ask(chosen)

        async def work(change: Change) -> RestartedMany:
            items = await self._restart_many.carry_out(change, found)
            return RestartedMany(dry_run=change.dry_run, items=[_item(item, change) for item in items])

        return await self._changes.carry_out(request, work)

    def routes(self) -> list[Route]:
        """Return the admin routes of refunds."""
        return [
            Route(
                method="GET",
                path="/admin/v1/refunds",
                handler=self._find,
                summary="Refunds by state and order, newest first",
                query=RefundQuery,
                response=Page[RefundView],
                errors=(InvalidInput, Unavailable),
                roles=VIEWER,
                tags=("admin",),
            ),
            Route(
                method="GET",
                path="/admin/v1/refunds/{id}/history",
                handler=self._history,
                summary="Every change of state of a refund",
                response=HistoryList,
                errors=(UnknownRefund, Unavailable),
                roles=VIEWER,
                tags=("admin",),
            ),
            Route(
                method="GET",
                path="/admin/v1/refunds/{id}/evidence",
                handler=self._evidence,
                summary="The attempts of a refund, and what the payment system was asked and answered",
                response=EvidenceView,
                errors=(UnknownRefund, Unavailable),
                roles=VIEWER,
                tags=("admin",),
            ),
            Route(
                method="POST",
                path="/admin/v1/refunds/{id}/restart",
                handler=self._restart_one,
                summary="Restart a refund that is in RS_ERROR",
                description="Asks the gateway first: what was paid or is on its way is adopted, nothing is sent; what is proven not to "
                "have been paid goes back to RS_CREATE with a new attempt. Without an answer of the gateway nothing changes (409).",
                request=RestartBody,
                response=RestartAnswer,
                errors=_NOT_NOW,
                roles=OPERATOR,
                idempotent=True,
                tags=("admin",),
            ),
            Route(
                method="POST",
                path="/admin/v1/refunds/{id}/close",
                handler=self._close_one,
                summary="End a refund in RS_ERROR that people settled",
                description="Nothing is ever sent for it again. It counts as spent, except what was given up and is proven not to have "
                "been paid. The gateway is asked first, and its silence keeps nobody from closing; what it says later is seen. A closed "
                "refund may be closed again, to correct how it was settled.",
                request=CloseBody,
                response=CloseAnswer,
                errors=(UnknownRefund, NotInError, VersionMismatch, Unavailable),
                roles=OPERATOR,
                idempotent=True,
                tags=("admin",),
            ),
            Route(
                method="POST",
                path="/admin/v1/refunds/restart",
                handler=self._restart_chosen,
                summary="Restart refunds in RS_ERROR, by order, by name or by error",
                description=f"At most {_MOST} at a time, item by item; each as in the restart of one: the payment system is asked "
                "first, and a refund that it says nothing certain about is left alone. With `dry_run` nothing changes.",
                request=RestartManyBody,
                response=RestartedMany,
                errors=(InvalidInput, UnknownRefund, Unavailable),
                roles=OPERATOR,
                idempotent=True,
                tags=("admin",),
            ),
        ]


def _shown(done: Restart, change: Change) -> RefundView:
    return view(done.before if change.dry_run else done.after)


def _item(item: Done[str, Restart] | NotDone[str], change: Change) -> RestartedItem:
    if isinstance(item, NotDone):
        return RestartedItem(refund_id=item.key, outcome=None, code=item.code, detail=item.detail, refund=None)
    restarted = item.answer
    return RestartedItem(
        refund_id=item.key, outcome=restarted.outcome, code=None, detail=None, refund=_shown(restarted, change)
    )
