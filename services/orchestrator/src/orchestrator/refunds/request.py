"""Operators ask for a refund: of an amount, positions, the tips, or everything captured (docs/requirements.md#standard-recipes)."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from common.contracts.notices import notices_of
from common.contracts.orders import RefundLine
from common.errors import NotFound, Unprocessable
from common.http import AdminChange, Change, ChangeAnswer, PlainDecimal
from common.postgres import Connection
from common.telemetry import current_traceparent, mask_names
from orchestrator.engine.append import append_events
from orchestrator.engine.model import REFUND_REQUEST, new_event, require_version
from orchestrator.engine.views import ExpectedVersion
from orchestrator.orders.store import decode_lines
from orchestrator.refunds.follow import REFUND_REQUESTED
from orchestrator.refunds.messages import refund_requested, refund_wanted
from orchestrator.refunds.model import (
    EVENT_FIELDS,
    AskedBefore,
    GoodsPart,
    NoPayment,
    RefundRequest,
    goods_of,
    worth_of,
)
from orchestrator.refunds.store import (
    add_requests,
    asked_before,
    count_as_change,
    everything_asked,
    lock_order,
    refunded_by_others,
    request_of,
    tips_asked,
)


class Goods(BaseModel):
    """A position that goes back, or a part of it."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1, max_length=255)
    quantity: PlainDecimal = Field(gt=0, max_digits=18, decimal_places=6, allow_inf_nan=False)


class RefundChange(AdminChange):
    """Money goes back: an `amount` in minor units, the worth of `positions`, the `tips`, or, with none of them, everything captured.

    What was rejected, or taken back by the payment system, can be asked for again.
    """

    amount: int | None = Field(default=None, gt=0, le=10**15, strict=True)
    positions: list[Goods] = Field(default_factory=list, max_length=1000)
    tips: bool = Field(default=False, strict=True)
    expected_version: int | None = ExpectedVersion

    @field_validator("positions", "tips")
    @classmethod
    def _one_way(cls, value: bool | list[Goods], said: ValidationInfo) -> bool | list[Goods]:
        if value and any(said.data.get(before) for before in ("amount", "positions")):
            raise PydanticCustomError(
                "more_than_one_way", "a refund is of an amount, or of positions, or of the tips: choose one"
            )
        if isinstance(value, list) and len({item.id for item in value}) < len(value):
            raise PydanticCustomError("named_twice", "a position is named twice")
        return value


class GoodsBack(Goods):
    """A position that goes back, and what it comes to in minor units; null where earlier refunds of it decide that."""

    amount: int | None


AmountIs = Literal["asked", "worth_of_positions", "left_of_positions", "left_of_payment"]


class RefundAsked(ChangeAnswer):
    """A refund that was asked for, or would be. What becomes of it: `GET …/refunds` and the timeline.

    `amount_is` says what the amount is: `asked` for as it is; the `worth_of_positions`; or, where the sum is null because only the refunds
    service can tell it, what is `left_of_positions` after earlier refunds of them, or `left_of_payment`: everything captured and not
    refunded. `tips`: what of it are tips. `lines`: as the refunds service is asked for them.
    """

    number: str
    dry_run: bool
    business_key: str
    payment_id: str
    amount: int | None
    amount_is: AmountIs
    currency: str
    positions: list[GoodsBack]
    tips: int
    lines: list[RefundLine] = Field(default_factory=list)


async def request_refund(
    change: Change, number: str, asked: RefundChange, *, business_key: str, now: datetime
) -> RefundAsked:
    """Ask for a refund, which a workflow then follows, and record it. The same business key asks once.

    Requests of one order are decided one after another, so the same goods do not go back twice. Raises ``NotFound``, ``NoPayment``,
    ``AskedBefore``, ``StaleVersion``, ``Unprocessable``.
    """
    request = await _request(change, number, asked, business_key=business_key, now=now)
    positions = await _priced(change.connection, request)
    worth = [each.amount for each in positions if each.amount is not None]
    known = len(worth) == len(positions)
    amount_is: AmountIs = "asked" if request.amount is not None else "left_of_payment"
    if positions:
        amount_is = "worth_of_positions" if known else "left_of_positions"
    answer = RefundAsked(
        number=number,
        dry_run=change.dry_run,
        business_key=request.business_key,
        payment_id=request.payment_id,
        amount=sum(worth) if positions and known else request.amount,
        amount_is=amount_is,
        currency=request.currency,
        positions=positions,
        tips=request.tips,
        lines=list(refund_wanted(request, source=None).lines),
    )
    await change.record(
        "order.refund", f"order:{number}", after=answer.model_dump(mode="json", exclude={"dry_run", "notices", "lines"})
    )
    return answer


async def _priced(connection: Connection, request: RefundRequest) -> list[GoodsBack]:
    """Return the goods with what each comes to. Of an order that others refund, too, nothing is known before it is done."""
    if not request.goods:
        return []
    before = await asked_before(connection, request.order_number, business_key=request.business_key)
    others = await refunded_by_others(connection, request.order_number)
    return [
        GoodsBack(
            id=part.id,
            quantity=Decimal(part.quantity),
            amount=None if others else worth_of(part, asked_before=before.get(part.id, Decimal(0))),
        )
        for part in request.goods
    ]


async def _request(
    change: Change, number: str, asked: RefundChange, *, business_key: str, now: datetime
) -> RefundRequest:
    connection = change.connection
    order = await lock_order(connection, number)
    if order is None:
        raise NotFound(f"there is no order {number}")
    known = await request_of(connection, business_key)
    if known is not None:
        return known
    require_version(f"order {number}", at=order["version"], expected=asked.expected_version)
    if not order["payment_id"]:
        raise NoPayment(f"order {number} has no payment of ours to refund")
    amount, positions, tips = asked.amount, {item.id: item.quantity for item in asked.positions}, 0
    goods: tuple[GoodsPart, ...] = ()
    if asked.tips:
        amount = tips = await _tips(connection, number, order["tips"])
    elif positions:
        lines = decode_lines(order["document"]["positions"])
        goods = goods_of(lines, positions, await asked_before(connection, number, business_key=business_key))
    elif amount is None:
        standing = await everything_asked(connection, number)
        if standing is not None:
            raise AskedBefore(f"everything is asked for already: {standing}")
    request = RefundRequest(
        business_key=business_key,
        order_number=number,
        payment_id=order["payment_id"],
        amount=amount,
        currency=order["currency"],
        # Kept for good where the money is, which does not know whose it was.
        reason=mask_names(change.reason, [(order["document"].get("customer") or {}).get("name")]) or "",
        requested_by=change.principal.name,
        requested_at=now,
        tips=tips,
        goods=goods,
    )
    await add_requests(connection, [request])
    await count_as_change(connection, number)
    event = new_event(
        number,
        REFUND_REQUEST,
        REFUND_REQUESTED,
        "wanted",
        key=business_key,
        attributes={
            **{name: getattr(request, name) for name in EVENT_FIELDS},
            "tips": tips,
            "goods": [
                asdict(part) | {"amount": 0} for part in goods
            ],  # which the release before reads, and does not use
            "source": order["source"],
        },
        now=now,
        traceparent=current_traceparent(),
    )
    await append_events(connection, [event])
    change.tells(*notices_of([refund_requested(request, source=order["source"], now=now, traceparent=None)]))
    return request


async def _tips(connection: Connection, number: str, now: int) -> int:
    """Return the order's tips in minor units: what was held, else what they are; once asked for, the same sum for ever."""
    standing, before = await tips_asked(connection, number)
    if standing is not None:
        raise AskedBefore(f"the tips are asked for already: {standing}")
    if not (before or now):
        raise Unprocessable(f"order {number} has no tips")
    return before or now
