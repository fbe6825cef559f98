"""``POST /refunds/v1/refunds`` and ``GET /refunds/v1/refunds/{id}``."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from common.clock import Clock
from common.errors import InvalidInput, Unavailable, Unprocessable
from common.http import (
    INTERNAL,
    OPERATOR,
    VIEWER,
    AdminChange,
    Answer,
    Change,
    Changes,
    PlainDecimal,
    Request,
    Route,
    change_route,
    read_route,
)
from common.money import exponent
from common.telemetry import current_traceparent, scrub_text
from refunds.payments.model import (
    CurrencyMismatch,
    DoesNotFit,
    ExceedsCaptured,
    GatewayRoutes,
    NothingCaptured,
    NothingLeft,
    fit,
    is_cancellation,
)
from refunds.providers.model import PaymentInfo
from refunds.refunds.captured import RereadCaptured
from refunds.refunds.errors import BusinessKeyReused, LineConflict, LinesDoNotAddUp, NoPayment, UnknownRefund
from refunds.refunds.lines import LineKind, RequestedLine
from refunds.refunds.request import RefundRequest, priced, request_refund
from refunds.refunds.settle import save_captured
from refunds.refunds.store import RefundStore, RefundTransactions
from refunds.refunds.views import RefundAccepted, RefundView, view

_REFUSALS = (
    *(InvalidInput, Unprocessable, Unavailable, NoPayment, BusinessKeyReused, LineConflict, LinesDoNotAddUp),
    *(ExceedsCaptured, NothingLeft, NothingCaptured, CurrencyMismatch),
)
_Quantity = Annotated[PlainDecimal, Field(gt=0, le=10**6, max_digits=12, decimal_places=3)]


class LineBody(BaseModel):
    """A part of a line of the order: `quantity` of the `of_quantity` that `paid` was paid for. Tips are a line of their own."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(min_length=1, max_length=128)]
    kind: LineKind = LineKind.POSITION
    quantity: _Quantity = Decimal(1)
    of_quantity: _Quantity = Decimal(1)
    paid: Annotated[int, Field(ge=0, le=10**15, strict=True, description="minor units, for the whole line")]


class RefundBody(AdminChange):
    """What is to go back, and why."""

    order_number: Annotated[str, Field(min_length=1, max_length=64)]
    payment_id: Annotated[str | None, Field(max_length=128)] = None
    amount: Annotated[int, Field(gt=0, le=10**15, strict=True, description="minor units")] | None = Field(
        default=None,
        description="null: the sum of the lines; without lines, everything that is captured and not refunded",
    )
    lines: Annotated[
        tuple[LineBody, ...],
        Field(
            max_length=500, description="for a refund by lines: each part is rounded so that all parts add up to `paid`"
        ),
    ] = ()
    source: Annotated[str | None, Field(max_length=64, description="the order's source")] = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")]
    business_key: Annotated[str, Field(min_length=1, max_length=200, description="the same key gives the same refund")]

    @field_validator("business_key")
    @classmethod
    def _bare(cls, value: str) -> str:
        # Neither two keys nor one: the release before, which may run beside this one, took the blanks as part of it and has paid under it.
        if value != value.strip():
            raise ValueError("blanks stand around it")
        return value

    @field_validator("currency")
    @classmethod
    def _known(cls, value: str) -> str:
        exponent(value)
        return value


class RefundRoutes:
    """What other services and operators call."""

    def __init__(
        self,
        transactions: RefundTransactions,
        changes: Changes,
        reread: RereadCaptured,
        clock: Clock,
        *,
        gateways: GatewayRoutes,
    ) -> None:
        self._transactions = transactions
        self._changes = changes
        self._reread = reread
        self._clock = clock
        self._gateways = gateways

    async def _request(self, request: Request[RefundBody, None]) -> Answer:
        body = request.body
        lines = tuple(RequestedLine(**line.model_dump()) for line in body.lines)
        fields = body.model_dump(exclude={"lines", "dry_run"}) | {"reason": scrub_text(body.reason)}  # kept for years
        asked = RefundRequest(**fields, lines=lines, traceparent=current_traceparent())

        rehearsed = await self._asked_first(asked) if body.dry_run else None

        async def work(change: Change) -> RefundAccepted:
            store, now = self._transactions.store_in(change), self._clock.now()
            if rehearsed is not None:
                await self._settle_first(store, asked, rehearsed, now=now)
            refund = await request_refund(store, asked, gateways=self._gateways, actor=change.principal.name, now=now)
            if refund.created_at == now:
                after = view(refund).model_dump(mode="json", exclude={"reason"})
                await change.record("refund.request", f"refund:{refund.id}", after=after)
            return RefundAccepted.model_validate(refund, from_attributes=True)

        try:
            return await self._changes.carry_out(request, work)
        except DoesNotFit:
            # Refused by what was captured when it was asked last; the payment may have changed since.
            if body.dry_run or not body.payment_id or not await self._reread.if_old(body.payment_id):
                raise
        return await self._changes.carry_out(request, work)

    async def _asked_first(self, asked: RefundRequest) -> PaymentInfo | None:
        """Ask what was captured before a rehearsal, as the refund itself would before anything is sent."""
        if not asked.payment_id:
            return None
        gateway = self._gateways.choose(asked.payment_id, source=asked.source)
        return await self._reread.for_rehearsal(asked.payment_id, gateway=gateway)

    async def _settle_first(
        self, store: RefundStore, asked: RefundRequest, info: PaymentInfo, *, now: datetime
    ) -> None:
        """Take what was captured down, to be rolled back with the rehearsal. Raises ``DoesNotFit`` where nothing was.

        A key that stands for a refund is answered by that one, whatever was captured since.
        """
        assert asked.payment_id  # noqa: S101 - only such a payment is asked about
        if await store.by_business_key(asked.business_key) is not None:
            return
        gateway = self._gateways.choose(asked.payment_id, source=asked.source)
        await store.payments.ensure(asked.payment_id, gateway=gateway)
        await save_captured(store, asked.payment_id, info, now=now)
        if info.captured:
            return
        amount = sum(line.amount for line in await priced(store, asked, asked.payment_id)) or asked.amount
        if is_cancellation(info, amount=amount, currency=asked.currency):
            return
        nothing = replace(await store.payments.lock(asked.payment_id), captured=0, currency=info.currency)
        if isinstance(fitting := fit(nothing, amount=amount, currency=asked.currency), DoesNotFit):
            raise fitting

    async def _show(self, request: Request[None, None]) -> RefundView:
        refund_id = str(request.path_uuid("id"))
        async with self._transactions.begin() as store:
            refund = await store.find(refund_id)
            lines = await store.lines(refund_id)
        if refund is None:
            raise UnknownRefund(f"there is no refund {refund_id}")
        return view(refund, lines)

    def routes(self) -> list[Route]:
        """Return the two routes."""
        return [
            change_route(
                "POST",
                "/refunds/v1/refunds",
                self._request,
                "Give money back, once",
                RefundBody,
                RefundAccepted,
                description="Answers when the request is committed; the money moves afterwards. The same `business_key` gives the same "
                "refund, and with another sum, currency or lines it is 409. When what was captured is known, a sum that does not fit is "
                "refused at once; otherwise before anything is sent. A dry run asks what was captured. What the orchestrator has not asked "
                "for is rejected before anything is sent, unless callers are believed by setting.",
                status=202,
                errors=_REFUSALS,
                roles=INTERNAL | OPERATOR,
                tags=("refunds",),
            ),
            read_route(
                "/refunds/v1/refunds/{id}",
                self._show,
                "One refund",
                RefundView,
                errors=(UnknownRefund, Unavailable),
                roles=INTERNAL | VIEWER,
                tags=("refunds",),
            ),
        ]
