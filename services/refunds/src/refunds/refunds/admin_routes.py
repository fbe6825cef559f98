"""What operators do: find refunds, read their history and evidence, restart one or many, close one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from common.errors import InvalidInput, NotFound, Unavailable
from common.http import (
    BULK_ERRORS,
    AdminChange,
    Answer,
    Change,
    ChangeAnswer,
    Changes,
    Page,
    PageQuery,
    Request,
    Route,
    change_route,
    listed,
    one_listed,
    read_route,
)
from common.postgres import Database
from refunds.payments.model import ExceedsCaptured, NothingLeft
from refunds.refunds.close import CloseOutcome, CloseRefund
from refunds.refunds.errors import GatewayNoAnswer, NotInError, UnknownRefund, VersionMismatch
from refunds.refunds.evidence import Proof
from refunds.refunds.model import Settled
from refunds.refunds.queries import select_payments, select_refunds
from refunds.refunds.restart import RestartRefund
from refunds.refunds.restart_many import (
    MOST,
    ErrorCode,
    OrderNumber,
    PaymentId,
    RefundsRestarted,
    RestartMany,
    RestartRefunds,
    StateName,
)
from refunds.refunds.store import RefundTransactions, refund_of
from refunds.refunds.views import (
    AttemptView,
    CallView,
    EvidenceView,
    HistoryList,
    HistoryView,
    PaymentView,
    RefundView,
    state_named,
    view,
)

_NOT_NOW = (UnknownRefund, NotInError, VersionMismatch, GatewayNoAnswer, ExceedsCaptured, NothingLeft, Unavailable)


class RefundQuery(PageQuery):
    """Filters of the list, exact matches."""

    state: StateName | None = None
    order: OrderNumber | None = None
    error: ErrorCode | None = None
    payment: PaymentId | None = None


class PaymentQuery(PageQuery):
    """Filters of the list of payments, exact matches; all that is given has to hold."""

    payment: PaymentId | None = None
    order: OrderNumber | None = None


class RestartBody(AdminChange):
    """Why, and which version of the refund the operator looked at."""

    expected_version: Annotated[int, Field(ge=1, le=2**62)]


class RestartAnswer(ChangeAnswer):
    """What came of it: ``restarted``, ``adopted_pending`` or ``adopted_success``; with ``dry_run``, what would come of it."""

    outcome: str
    dry_run: bool
    refund: RefundView


class CloseBody(RestartBody):
    """How people settled it: `outside`, the customer has the money by another way; `given_up`, it is not to be paid this way."""

    settled: Settled


class CloseAnswer(ChangeAnswer):
    """What came of it: ``closed``, or ``paid_at_gateway``; with ``dry_run``, what would.

    `gateway`: what is proven of the money, as in a restart. Paid at the gateway: what was to be given up is adopted and not closed; what
    was settled outside is a difference, for the customer may have it twice.
    """

    outcome: CloseOutcome
    gateway: Proof
    dry_run: bool
    refund: RefundView


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

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, Sequence[Any]]:
            """Return the statement of a page and its values."""
            return select_refunds(
                state=None if query.state is None else state_named(query.state),
                order=query.order,
                error=query.error,
                payment=query.payment,
                before=None if after is None else after[0],
                limit=limit,
                newest_first=True,
            )

        return await listed(self._database, query, select, key={"id": UUID}, item=lambda row: view(refund_of(row)))

    async def _payments(self, request: Request[None, PaymentQuery]) -> Page[PaymentView]:
        query = request.query

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, Sequence[Any]]:
            """Return the statement of a page and its values."""
            return select_payments(
                payment=query.payment, order=query.order, after=after[0] if after else None, limit=limit
            )

        return await listed(
            self._database, query, select, key={"payment_id": str}, item=lambda row: PaymentView(**dict(row))
        )

    async def _payment(self, request: Request[None, None]) -> PaymentView:
        name = request.path["id"]
        found = select_payments(payment=name, order=None, after=None, limit=1)
        return await one_listed(
            self._database, found, named={"payment_id": name}, item=lambda row: PaymentView(**dict(row))
        )

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
        evidence = await self._restart.ask(refund_id, expected_version=version, dry_run=request.body.dry_run)

        async def work(change: Change) -> RestartAnswer:
            done = await self._restart.carry_out(change, refund_id, expected_version=version, evidence=evidence)
            return RestartAnswer(outcome=done.outcome, dry_run=change.dry_run, refund=view(done.after))

        return await self._changes.carry_out(request, work)

    async def _close_one(self, request: Request[CloseBody, None]) -> Answer:
        body, refund_id = request.body, str(request.path_uuid("id"))
        evidence = await self._close.ask(refund_id, expected_version=body.expected_version)

        async def work(change: Change) -> CloseAnswer:
            done = await self._close.carry_out(
                change, refund_id, expected_version=body.expected_version, settled=body.settled, evidence=evidence
            )
            return CloseAnswer(
                outcome=done.outcome, gateway=done.proof, dry_run=change.dry_run, refund=view(done.after)
            )

        return await self._changes.carry_out(request, work)

    def routes(self) -> list[Route]:
        """Return the admin routes of refunds."""
        return [
            read_route(
                "/admin/v1/refunds",
                self._find,
                "Refunds by state and order, newest first",
                Page[RefundView],
                query=RefundQuery,
                errors=(InvalidInput, Unavailable),
            ),
            read_route(
                "/admin/v1/payments",
                self._payments,
                "Payments that refunds were asked of: what was captured, and what of it went back",
                Page[PaymentView],
                query=PaymentQuery,
                errors=(InvalidInput, Unavailable),
            ),
            read_route(
                "/admin/v1/payments/{id}",
                self._payment,
                "One payment: what was captured, and what of it went back",
                PaymentView,
                errors=(NotFound, Unavailable),
            ),
            read_route(
                "/admin/v1/refunds/{id}/history",
                self._history,
                "Every change of state of a refund",
                HistoryList,
                errors=(UnknownRefund, Unavailable),
            ),
            read_route(
                "/admin/v1/refunds/{id}/evidence",
                self._evidence,
                "The attempts of a refund, and what the payment system was asked and answered",
                EvidenceView,
                errors=(UnknownRefund, Unavailable),
            ),
            change_route(
                "POST",
                "/admin/v1/refunds/{id}/restart",
                self._restart_one,
                "Restart a refund that is in RS_ERROR",
                RestartBody,
                RestartAnswer,
                description="Asks the gateway first: what was paid or is on its way is adopted, nothing is sent; what is proven not to "
                "have been paid goes back to RS_CREATE with a new attempt. Without an answer of the gateway nothing changes (409).",
                errors=_NOT_NOW,
            ),
            change_route(
                "POST",
                "/admin/v1/refunds/{id}/close",
                self._close_one,
                "End a refund in RS_ERROR that people settled",
                CloseBody,
                CloseAnswer,
                description="Nothing is ever sent for it again. It counts as spent, except what was given up and is proven not to have "
                "been paid. The gateway is asked first, and its silence keeps nobody from closing; what it says later is seen. A closed "
                "refund may be closed again, to correct how it was settled.",
                errors=(UnknownRefund, NotInError, VersionMismatch, Unavailable),
            ),
            change_route(
                "POST",
                "/admin/v1/refunds/restart",
                self._restart_many,
                "Restart many refunds in RS_ERROR, by ids or by a filter",
                RestartRefunds,
                RefundsRestarted,
                description=f"At most {MOST} at a time, item by item; each as in the restart of one: the payment system is asked "
                "first, and a refund that it says nothing certain about is left alone. With `dry_run` nothing changes.",
                errors=(*BULK_ERRORS, Unavailable),
            ),
        ]
