"""What operators do: find refunds, read their history, restart one (M13, M22)."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Protocol
from uuid import UUID

from pydantic import BaseModel, Field

from common.clock import Clock
from common.errors import InvalidInput, Unavailable
from common.http import (
    OPERATOR,
    VIEWER,
    AdminChange,
    Page,
    PageQuery,
    Request,
    Route,
    audit,
    decode_cursor,
    once,
    page_of,
)
from common.postgres import Connection
from refunds.providers.provider import RefundStore, Transactions
from refunds.refunds.errors import (
    ExceedsCaptured,
    GatewayNoAnswer,
    NothingLeft,
    NotInError,
    UnknownRefund,
    VersionMismatch,
)
from refunds.refunds.model import Refund
from refunds.refunds.restart import Restarted, RestartRefund
from refunds.refunds.views import (
    EvidenceView,
    HistoryList,
    RefundView,
    evidence_view,
    history_view,
    state_named,
    view,
)


class Lists(Protocol):
    """Where the list of refunds is read from."""

    async def page(self, *, state: int | None, order: str | None, before: UUID | None, limit: int) -> list[Refund]:
        """Return refunds, newest first, from before the given id."""
        ...

    async def in_error(self, *, order: str | None, error: str | None, limit: int) -> list[Refund]:
        """Return refunds in RS_ERROR, oldest first."""
        ...


class OpensTransactions(Protocol):
    """What the admin operations need of a database: a transaction that change and audit record share, and one to throw away."""

    def acquire(self) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """Open a transaction."""
        ...


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


def admin_routes(
    *,
    lists: Lists,
    transactions: Transactions,
    database: OpensTransactions,
    store_on: Callable[[Connection], RefundStore],
    restart: RestartRefund,
    clock: Clock,
    committed: Callable[[], None],
    restarted: Callable[[str], None],
) -> list[Route]:
    """Return the admin routes of refunds."""

    async def find(request: Request[None, RefundQuery]) -> Page[RefundView]:
        """Answer one page of refunds."""
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
        found = await lists.page(state=state, order=query.order, before=before, limit=query.limit + 1)
        return page_of(found, limit=query.limit, item=view, key=lambda refund: (refund.id,))

    async def history(request: Request[None, None]) -> HistoryList:
        """Answer what happened to one refund, in order."""
        refund_id = str(request.path_uuid("id"))
        async with transactions.begin() as store:
            if await store.find(refund_id) is None:
                raise UnknownRefund(f"there is no refund {refund_id}")
            entries = await store.history(refund_id)
        return HistoryList(items=[history_view(entry) for entry in entries])

    async def evidence_of(request: Request[None, None]) -> EvidenceView:
        """Answer the attempts of one refund, and what was asked and answered."""
        refund_id = str(request.path_uuid("id"))
        async with transactions.begin() as store:
            if await store.find(refund_id) is None:
                raise UnknownRefund(f"there is no refund {refund_id}")
            return evidence_view(await store.attempts(refund_id), await store.calls(refund_id, limit=100))

    async def restart_one(request: Request[RestartBody, None]) -> Any:
        """Restart one refund, audited."""
        refund_id, body = str(request.path_uuid("id")), request.body
        evidence = await restart.ask(refund_id, expected_version=body.expected_version, now=clock.now())

        async def act(connection: Connection) -> tuple[Refund, Refund, Restarted]:
            """Do it once, under the caller's key."""
            return await restart.act(
                store_on(connection),
                refund_id,
                expected_version=body.expected_version,
                evidence=evidence,
                actor=request.principal.name,
                reason=body.reason,
                now=clock.now(),
            )

        if body.dry_run:
            async with database.acquire() as connection:
                trial = connection.transaction()
                await trial.start()
                try:
                    before, _, outcome = await act(connection)
                finally:
                    await trial.rollback()
            return RestartAnswer(outcome=outcome, dry_run=True, refund=view(before))

        async with database.transaction() as connection:

            async def work() -> RestartAnswer:
                """What happens once, however often the request is repeated."""
                before, after, outcome = await act(connection)
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
                return RestartAnswer(outcome=outcome, dry_run=False, refund=view(after))

            answer = await once(connection, request, work)
        if isinstance(answer, RestartAnswer):
            restarted(answer.outcome)
        committed()
        return answer

    return [
        Route(
            method="GET",
            path="/admin/v1/refunds",
            handler=find,
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
            handler=history,
            summary="Every change of state of a refund",
            response=HistoryList,
            errors=(UnknownRefund, Unavailable),
            roles=VIEWER,
            tags=("admin",),
        ),
        Route(
            method="GET",
            path="/admin/v1/refunds/{id}/evidence",
            handler=evidence_of,
            summary="The attempts of a refund, and what the payment system was asked and answered",
            response=EvidenceView,
            errors=(UnknownRefund, Unavailable),
            roles=VIEWER,
            tags=("admin",),
        ),
        Route(
            method="POST",
            path="/admin/v1/refunds/{id}/restart",
            handler=restart_one,
            summary="Restart a refund that is in RS_ERROR",
            description="Asks the gateway first: what was paid or is on its way is adopted, nothing is sent; what is proven not to have "
            "been paid goes back to RS_CREATE with a new attempt. Without an answer of the gateway nothing changes (409).",
            request=RestartBody,
            response=RestartAnswer,
            errors=(
                UnknownRefund,
                NotInError,
                VersionMismatch,
                GatewayNoAnswer,
                ExceedsCaptured,
                NothingLeft,
                Unavailable,
            ),
            roles=OPERATOR,
            idempotent=True,
            tags=("admin",),
        ),
    ]
