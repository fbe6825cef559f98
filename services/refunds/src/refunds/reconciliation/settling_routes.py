"""What operators do about refunds and gateways that disagree: check a refund now; see, adopt and acknowledge differences."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from common.errors import InvalidInput, NotFound, Unavailable
from common.http import (
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
    decode_cursor,
    page_of,
    read_route,
)
from refunds.differences.model import (
    CannotBeAdopted,
    Difference,
    DifferenceKind,
    DifferenceSettled,
    StoredDifference,
    UnknownDifference,
)
from refunds.providers.model import GatewayStatus
from refunds.reconciliation.check_refund import CheckRefund
from refunds.reconciliation.settle_difference import SettleDifference, Settling
from refunds.refunds.errors import GatewayNoAnswer, Overtaken, UnknownRefund, VersionMismatch
from refunds.refunds.views import RefundView, view

_Version = Annotated[int, Field(ge=1, le=2**62, strict=True)]
_LARGEST_ID = 2**63


class DifferenceView(BaseModel):
    """What we and a payment system disagree about."""

    kind: str
    gateway: str
    subject: str = Field(description="our refund's id, the payment system's where it is none of ours, or the payment's")
    order_number: str | None
    detail: str


class StoredDifferenceView(DifferenceView):
    """A difference as it is stored. It needs a person until it is over or acknowledged."""

    id: int
    version: int
    payment_id: str | None
    amount: int | None = Field(description="minor units, as the payment system has it; null where it is not stored")
    currency: str | None
    found_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    over_at: datetime | None
    adopted_as: str | None = Field(description="the refund that stands for it, once it was adopted")


class DifferenceQuery(PageQuery):
    """Filters of the list, exact matches."""

    kind: DifferenceKind | None = None
    order: Annotated[str | None, Field(max_length=64, description="the order's number")] = None
    subject: Annotated[str | None, Field(max_length=200)] = None
    open: Annotated[bool | None, Field(description="neither over nor acknowledged")] = None


class CheckBody(AdminChange):
    """Why; `expected_version` refuses when the refund is at another one."""

    expected_version: _Version | None = None


class CheckAnswer(ChangeAnswer):
    """The refund then. `gateway`: what the payment system has of its present attempt; null when it has not been there."""

    dry_run: bool
    gateway: GatewayStatus | None
    refund: RefundView
    difference: DifferenceView | None


class AcknowledgeBody(AdminChange):
    """Why; `expected_version` refuses when the difference is at another one."""

    expected_version: _Version | None = None


class AdoptBody(AcknowledgeBody):
    """As for acknowledging; `order_number` for a refund that is none of ours, of a payment that no refund of ours is of."""

    order_number: Annotated[str | None, Field(min_length=1, max_length=64)] = None


class SettlingAnswer(ChangeAnswer):
    """The difference then and, adopted, the refund that stands for it."""

    dry_run: bool
    difference: StoredDifferenceView
    refund: RefundView | None


class SettlingRoutes:
    """None of them moves money."""

    def __init__(self, changes: Changes, check: CheckRefund, settle: SettleDifference) -> None:
        self._changes = changes
        self._check = check
        self._settle = settle

    async def _check_now(self, request: Request[CheckBody, None]) -> Answer:
        body = request.body
        looked = await self._check.ask(str(request.path_uuid("id")), dry_run=body.dry_run)

        async def work(change: Change) -> CheckAnswer:
            done = await self._check.carry_out(change, looked, expected_version=body.expected_version)
            return CheckAnswer(
                dry_run=change.dry_run,
                gateway=done.gateway,
                refund=view(done.after),
                difference=None if done.difference is None else view_difference(done.difference),
            )

        return await self._changes.carry_out(request, work)

    async def _find(self, request: Request[None, DifferenceQuery]) -> Page[StoredDifferenceView]:
        query = request.query
        position = decode_cursor(query.cursor, int)
        found = await self._settle.page(
            kind=query.kind,
            order=query.order,
            subject=query.subject,
            is_open=query.open,
            before=None if position is None else position[0],
            limit=query.limit + 1,
        )
        return page_of(found, limit=query.limit, item=view_stored, key=lambda one: (one.id,))

    async def _show(self, request: Request[None, None]) -> StoredDifferenceView:
        difference_id = _id_of(request.path["id"])
        return view_stored(await self._settle.find(difference_id))

    async def _adopt(self, request: Request[AdoptBody, None]) -> Answer:
        body, difference_id = request.body, _id_of(request.path["id"])
        asked = await self._settle.ask(difference_id)

        async def work(change: Change) -> SettlingAnswer:
            done = await self._settle.adopt(
                change,
                difference_id,
                expected_version=body.expected_version,
                order_number=body.order_number,
                asked=asked,
            )
            return _answer(done, change)

        return await self._changes.carry_out(request, work)

    async def _acknowledge(self, request: Request[AcknowledgeBody, None]) -> Answer:
        difference_id, version = _id_of(request.path["id"]), request.body.expected_version

        async def work(change: Change) -> SettlingAnswer:
            done = await self._settle.acknowledge(change, difference_id, expected_version=version)
            return _answer(done, change)

        return await self._changes.carry_out(request, work)

    def routes(self) -> list[Route]:
        """Return the routes."""
        settled = (UnknownDifference, DifferenceSettled, VersionMismatch, Unavailable)
        return [
            change_route(
                "POST",
                "/admin/v1/refunds/{id}/check",
                self._check_now,
                "Ask the payment system about a refund now",
                CheckBody,
                CheckAnswer,
                description="What it says is applied, as any other answer of it; a refund that is under way goes on at once. What was "
                "captured is read again too. Without an answer nothing changes (409). Sends nothing by itself.",
                errors=(UnknownRefund, VersionMismatch, GatewayNoAnswer, Overtaken, Unavailable),
            ),
            read_route(
                "/admin/v1/differences",
                self._find,
                "What we and the payment systems disagree about, newest first",
                Page[StoredDifferenceView],
                query=DifferenceQuery,
                errors=(InvalidInput, Unavailable),
            ),
            read_route(
                "/admin/v1/differences/{id}",
                self._show,
                "One difference",
                StoredDifferenceView,
                errors=(UnknownDifference, Unavailable),
            ),
            change_route(
                "POST",
                "/admin/v1/differences/{id}/adopt",
                self._adopt,
                "Take the payment system's side of a difference",
                AdoptBody,
                SettlingAnswer,
                description="`unknown_to_us` becomes a refund in our books, so that its sum counts as spent; `paid_after_all` brings our "
                "refund to SUCCESS. The payment system is asked first. Other kinds need people on both sides (409).",
                errors=(*settled, CannotBeAdopted, GatewayNoAnswer, Overtaken),
            ),
            change_route(
                "POST",
                "/admin/v1/differences/{id}/acknowledge",
                self._acknowledge,
                "Note that people have settled a difference",
                AcknowledgeBody,
                SettlingAnswer,
                description="Its incident ends, and it is not told again as long as it is the same.",
                errors=settled,
            ),
        ]


def view_difference(difference: Difference) -> DifferenceView:
    """Show a difference that is not stored, or not stored yet."""
    return DifferenceView.model_validate(difference, from_attributes=True)


def view_stored(stored: StoredDifference) -> StoredDifferenceView:
    """Show a difference."""
    one = stored.difference
    return StoredDifferenceView(
        **view_difference(one).model_dump(),
        payment_id=one.payment_id,
        amount=one.amount,
        currency=one.currency,
        **{name: getattr(stored, name) for name in (*_OWN, "adopted_as")},
    )


_OWN = ("id", "version", "found_at", "acknowledged_at", "acknowledged_by", "over_at")


def _answer(done: Settling, change: Change) -> SettlingAnswer:
    refund = None if done.refund is None else view(done.refund)
    return SettlingAnswer(dry_run=change.dry_run, difference=view_stored(done.after), refund=refund)


def _id_of(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text[:20]) >= _LARGEST_ID:
        raise NotFound("there is no such difference")
    return int(text)
