"""Operators and an order's money and document (M13): give money back, issue the document again, see what came of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.clock import Clock
from common.errors import Conflict, NotFound, Unprocessable
from common.http import (
    OPERATOR,
    VIEWER,
    AdminChange,
    Page,
    PageQuery,
    PlainDecimal,
    Request,
    Route,
    audit,
    decode_cursor,
    page_of,
)
from common.ids import derived_id, new_id
from common.postgres import Connection, Database
from common.postgres import Record as Row
from orchestrator.engine.changes import Answer, Changes, ExpectedVersion, current_trace
from orchestrator.engine.lookups import LifeLookups, Money


class Goods(BaseModel):
    """A position that goes back, or a part of it."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1, max_length=255)
    quantity: PlainDecimal = Field(gt=0, max_digits=18, decimal_places=6, allow_inf_nan=False)


class RefundChange(AdminChange):
    """Money goes back: an `amount` in minor units, or the worth of `positions`, or, with neither, everything captured."""

    amount: int | None = Field(default=None, gt=0, le=10**15, strict=True)
    positions: list[Goods] = Field(default_factory=list, max_length=1000)
    expected_version: int | None = ExpectedVersion

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.amount is not None and self.positions:
            raise ValueError("either an amount or positions")
        if len({item.id for item in self.positions}) < len(self.positions):
            raise ValueError("a position is named twice")
        return self


class ReissueChange(AdminChange):
    """The document is issued again."""

    expected_version: int | None = ExpectedVersion


class RefundAsked(BaseModel):
    """A refund that was asked for. `amount` null: everything captured. What becomes of it: `GET …/refunds` and the timeline."""

    number: str
    dry_run: bool
    business_key: str
    payment_id: str
    amount: int | None
    currency: str
    positions: list[Goods]


class RefundRequestView(BaseModel):
    """A refund that this service asked for, and how far it has come; `state` is null until the refunds service answers."""

    business_key: str
    payment_id: str
    amount: int | None
    currency: str
    reason: str
    requested_by: str
    requested_at: datetime
    rejected: str | None
    refund_id: str | None
    state: str | None


class RefundRequests(BaseModel):
    """All refunds that were asked for, the oldest first."""

    items: list[RefundRequestView]


class ReissueTaken(BaseModel):
    """A new version will be issued; `replaces` is the version of now, 0 for none."""

    number: str
    dry_run: bool
    replaces: int


class DocumentVersion(BaseModel):
    """One version of an order's document. Equal contents have equal digests."""

    version: int
    digest: str
    issued_at: datetime
    issued_by: str
    reason: str


class DocumentView(DocumentVersion):
    """A document with its content."""

    number: str
    content_type: str
    content: str
    order_revision: int


class DocumentQuery(BaseModel):
    """Which version; the newest if none is named."""

    model_config = ConfigDict(extra="ignore")

    version: int | None = Field(default=None, ge=1, lt=2**31)


class TransactionsView(BaseModel):
    """What `update_transactions` worked out last; sums in minor units. `next_check_at` null: nothing is left to check."""

    number: str
    sum_to_pay: int
    refunded: int
    tips: int
    currency: str
    decided_by: str
    fallback: str | None
    iterations: int
    computed_at: datetime
    next_check_at: datetime | None


def money_admin_routes(
    database: Database, money: Money, lookups: LifeLookups, *, clock: Clock, committed: Callable[[], None]
) -> list[Route]:
    """Return the routes."""
    changes = Changes(database, clock=clock, committed=committed)

    async def refund(request: Request[RefundChange, None]) -> Answer:
        """Ask for a refund; it is followed by a workflow."""
        number, body = request.path["number"], request.body

        async def _work(connection: Connection) -> BaseModel:
            wish = await money.refund(
                connection,
                number,
                amount=body.amount,
                positions={item.id: item.quantity for item in body.positions},
                business_key=_business_key(number, request),
                reason=body.reason,
                actor=request.principal.name,
                expected_version=body.expected_version,
                now=clock.now(),
                traceparent=current_trace(),
            )
            answer = RefundAsked(
                number=number,
                dry_run=body.dry_run,
                business_key=wish.business_key,
                payment_id=wish.payment_id,
                amount=wish.amount,
                currency=wish.currency,
                positions=[Goods(id=name, quantity=Decimal(quantity)) for name, quantity in wish.positions],
            )
            await audit.record(
                connection,
                principal=request.principal,
                action="order.refund",
                target=f"order:{number}",
                reason=body.reason,
                before=None,
                after=answer.model_dump(mode="json", exclude={"dry_run"}),
                request_id=request.request_id,
            )
            return answer

        return await changes.carry_out(request, _work)

    async def reissue(request: Request[ReissueChange, None]) -> Answer:
        """Have the document issued again."""
        number, body = request.path["number"], request.body

        async def _work(connection: Connection) -> BaseModel:
            version = await money.reissue_document(
                connection,
                number,
                reason=body.reason,
                actor=request.principal.name,
                expected_version=body.expected_version,
                now=clock.now(),
                traceparent=current_trace(),
            )
            await audit.record(
                connection,
                principal=request.principal,
                action="order.document.reissue",
                target=f"order:{number}",
                reason=body.reason,
                before={"version": version},
                after={"version": version + 1},
                request_id=request.request_id,
            )
            return ReissueTaken(number=number, dry_run=body.dry_run, replaces=version)

        return await changes.carry_out(request, _work)

    async def document(request: Request[None, DocumentQuery]) -> DocumentView:
        """One version of the document."""
        number = request.path["number"]
        row = await lookups.document(number, request.query.version)
        if row is None:
            raise NotFound(f"order {number} has no such document")
        names = set(DocumentView.model_fields) - {"number"}
        return DocumentView(number=row["order_number"], **{name: row[name] for name in names})

    async def versions(request: Request[None, PageQuery]) -> Page[DocumentVersion]:
        """One page of versions; 404 for an unknown order."""
        query = request.query
        position = decode_cursor(query.cursor, int)
        before = None if position is None else min(max(position[0], 0), 2**31 - 1)
        number = request.path["number"]
        rows = await lookups.document_versions(number, before=before, limit=query.limit)
        if rows is None:
            raise NotFound(f"there is no order {number}")
        return page_of(
            rows,
            limit=query.limit,
            item=lambda row: DocumentVersion(**{name: row[name] for name in DocumentVersion.model_fields}),
            key=lambda row: (row["version"],),
        )

    async def refunds(request: Request[None, None]) -> RefundRequests:
        """All refunds that were asked for; 404 for an unknown order."""
        number = request.path["number"]
        rows = await lookups.refund_requests(number)
        if rows is None:
            raise NotFound(f"there is no order {number}")
        return RefundRequests(items=[_request(row) for row in rows])

    async def transactions(request: Request[None, None]) -> TransactionsView:
        """The sum to pay and the tips."""
        number = request.path["number"]
        row = await lookups.transactions(number)
        if row is None:
            raise NotFound(f"nothing was worked out for an order {number} yet")
        return TransactionsView(**{name: row[name] for name in TransactionsView.model_fields})

    def post(path: str, handler: Any, summary: str, models: tuple[type[BaseModel], type[BaseModel]]) -> Route:
        return Route(
            method="POST",
            path=f"/admin/v1/orders/{{number}}/{path}",
            handler=handler,
            summary=summary,
            request=models[0],
            response=models[1],
            status=202,
            errors=(NotFound, Conflict, Unprocessable),
            roles=OPERATOR,
            tags=("admin",),
            idempotent=True,
        )

    def get(
        path: str, handler: Any, summary: str, response: type[BaseModel], query: type[BaseModel] | None = None
    ) -> Route:
        return Route(
            method="GET",
            path=f"/admin/v1/orders/{{number}}/{path}",
            handler=handler,
            summary=summary,
            response=response,
            errors=(NotFound,),
            roles=VIEWER,
            tags=("admin",),
            query=query,
        )

    return [
        post("refund", refund, "Give money back", (RefundChange, RefundAsked)),
        post("document/reissue", reissue, "Issue the order's document again", (ReissueChange, ReissueTaken)),
        get("refunds", refunds, "Refunds that were asked for, and what became of them", RefundRequests),
        get("transactions", transactions, "The sum to pay and the tips", TransactionsView),
        get("document", document, "The order's document", DocumentView, DocumentQuery),
        get(
            "document/versions",
            versions,
            "All versions of the order's document, the newest first",
            Page[DocumentVersion],
            PageQuery,
        ),
    ]


def _business_key(number: str, request: Request[Any, Any]) -> str:
    """The same ``Idempotency-Key`` of the same caller is the same refund for ever, also after the key was forgotten."""
    key = request.idempotency_key
    own = new_id() if key is None else derived_id(request.idempotency_scope, key)
    return f"{number}:operator:{own}"


def _request(row: Row) -> RefundRequestView:
    names = (
        "business_key",
        "payment_id",
        "currency",
        "reason",
        "requested_by",
        "requested_at",
        "rejected",
        "refund_id",
    )
    amount = row["amount"] if row["refund_amount"] is None else row["refund_amount"]
    return RefundRequestView(**{name: row[name] for name in names}, amount=amount, state=row["state_name"])
