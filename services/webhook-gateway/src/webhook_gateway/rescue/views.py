"""What people who save endangered orders send and see."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from common.http import (
    CONTACT,
    CONTENT,
    NAME,
    AdminChange,
    BulkAnswer,
    BulkChange,
    BulkFilter,
    BulkItem,
    ChangeAnswer,
    JsonObject,
    Moment,
    PageQuery,
    UuidText,
)
from common.reading import line_total
from webhook_gateway.rescue.model import Duplicate
from webhook_gateway.website.model import WebsiteOrder

CategoryName = Literal["front_end", "back_end", "banned", "manager_bypass_broken", "key_reused", "customer_network"]

ExpectedVersion = Annotated[
    int | None,
    Field(
        ge=0,
        lt=2**63,
        description="the version that the body was made of; at another one it is left alone (409 `changed_since`)",
    ),
]


def _is_none(value: object) -> bool:
    return value is None


class EndangeredFilter(BaseModel):
    """Which endangered orders; all that is given must hold. State `open` is everything whose customer is still to be saved."""

    model_config = ConfigDict(populate_by_name=True)

    q: Annotated[str | None, CONTENT] = Field(
        default=None,
        min_length=2,
        max_length=200,
        description="anything that a customer says: phone (or its last digits), mail, part of the name, number, external id",
    )
    phone: Annotated[str | None, CONTACT] = Field(default=None, max_length=64, description="in any spelling")
    email: Annotated[str | None, CONTACT] = Field(default=None, max_length=255)
    name: Annotated[str | None, NAME] = Field(
        default=None, min_length=2, max_length=200, description="a part of it, in any case"
    )
    number: str | None = Field(default=None, max_length=64)
    external_id: str | None = Field(default=None, max_length=255)
    source: str | None = Field(default=None, max_length=64, description="`website`, `website:kz`")
    state: Literal["open", "new", "mended", "resubmitted", "reported", "closed"] | None = None
    category: CategoryName | None = None
    network: str | None = Field(default=None, max_length=64, description="/24 or /64 that it came from; `unknown`")
    anonymous: bool | None = Field(default=None, description="no valid token came with it")
    outcome: Literal["done", "own_test"] | None = Field(default=None, description="of a closed one")
    since: Moment | None = Field(default=None, alias="from", description="received at or after")
    until: Moment | None = Field(default=None, alias="to", description="received before")


class EndangeredQuery(PageQuery, EndangeredFilter):
    """Filters of the list of endangered orders."""

    id: str | None = Field(default=None, max_length=64, description="only this one")


class EndangeredChoice(BulkFilter, EndangeredFilter):
    """Which endangered orders a bulk change takes."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Customer(BaseModel):
    """Who ordered, as far as it could be read."""

    name: Annotated[str | None, NAME] = Field(default=None, exclude_if=_is_none)
    phone: Annotated[str | None, CONTACT] = Field(default=None, exclude_if=_is_none)
    email: Annotated[str | None, CONTACT] = Field(default=None, exclude_if=_is_none)


class LikelyDuplicate(BaseModel):
    """Another order that may be the same customer's same wish; `same` names what both have: name, phone, email, basket.

    One that was taken has a `number`, an endangered one an `id` and a `state`.
    """

    same: list[str]
    received_at: datetime
    number: str | None
    id: str | None
    state: str | None

    @classmethod
    def of(cls, one: Duplicate) -> LikelyDuplicate:
        """Show it."""
        return cls(same=list(one.same), received_at=one.received_at, number=one.number, id=one.id, state=one.state)


class Fault(BaseModel):
    """What cannot be read of a body: where (`positions.0.price`; empty: the whole), a stable code, and a sentence."""

    field: str
    code: str
    message: str


class EndangeredOrder(BaseModel):
    """A website order that was not answered 201, with what is needed to get the customer back.

    `body` is the request as it came (null when the bytes are no UTF-8 text), `mended` what a person made of it. `origin` says who saw it
    fail: the server, or the front end by way of Sentry (`link` leads there). `number` is the real order that it has become;
    `arrived_at` says that the customer sent it again and it was taken. `outcome` says why it was closed. `version` grows with each change.
    `called_at`, `called_by`, `reached`: the last call to the customer that somebody noted, and whether she answered.
    `anonymous`: no valid token came with it. `network` is the sender's /24 or /64.
    """

    id: str
    version: int
    source: str
    received_at: datetime
    status: int
    category: str
    origin: str
    link: str | None
    answer: Any
    customer: Customer
    address: Annotated[str | None, CONTENT]
    basket: Annotated[list[Any], CONTENT]
    body: Annotated[str | None, CONTENT]
    mended: Annotated[str | None, CONTENT]
    external_id: str | None
    replica: str
    network: str | None
    anonymous: bool
    state: str
    outcome: str | None
    number: str | None
    report_id: str | None
    mended_at: datetime | None
    resubmitted_at: datetime | None
    reported_at: datetime | None
    closed_at: datetime | None
    arrived_at: datetime | None
    called_at: datetime | None
    called_by: str | None
    reached: bool | None


class WholeEndangeredOrder(EndangeredOrder):
    """One endangered order. `faults`: what the suite cannot read of what is to be sent (`mended`, else `body`); `duplicates`: orders
    within a day that look like it.
    """

    faults: list[Fault]
    duplicates: list[LikelyDuplicate]


class Call(AdminChange):
    """Somebody has called the customer; `reached`: she answered. `reason` says what came of it."""

    reached: bool


class Mend(AdminChange):
    """A mended body, kept beside the original."""

    body: JsonObject
    expected_version: ExpectedVersion = None


class Close(AdminChange):
    """Nothing more is to be done: it is settled, or it was one's own test."""

    outcome: Literal["done", "own_test"] = "done"


class GoodsUnderstood(BaseModel):
    """A position: how many, the price of one and what they come to, in minor units; null is what the body does not say."""

    id: str
    name: str | None
    quantity: str | None
    price: int | None
    amount: int | None


class Understood(BaseModel):
    """What a body comes to, in minor units. `total` is its own, else its positions added up; left out where one of them has no price."""

    goods: list[GoodsUnderstood] | None = Field(default=None, exclude_if=_is_none)
    total: int | None = Field(default=None, exclude_if=_is_none)
    currency: str | None = Field(default=None, exclude_if=_is_none)

    @classmethod
    def of(cls, order: WebsiteOrder) -> Understood:
        """Say each position, and the whole."""
        said, lines = order.content, order.content.lines or ()
        goods = [
            GoodsUnderstood(
                id=line.id,
                name=line.name,
                quantity=None if line.pieces is None else format(line.pieces.normalize(), "f"),
                price=line.price if line.discount_price is None else line.discount_price,
                amount=line_total(line),
            )
            for line in lines
        ]
        sums = [each for each in map(line_total, lines) if each is not None]
        own = said.total_price if said.total_discount_price is None else said.total_discount_price
        total = sum(sums) if own is None and sums and len(sums) == len(lines) else own
        return cls(goods=goods, total=total, currency=order.currency)


class Rescued(ChangeAnswer, Understood):
    """The endangered order's new state, and how a mended body is understood."""

    id: str
    state: str
    outcome: str | None = None
    dry_run: bool


class Resubmit(AdminChange):
    """Make a real order of it. `body`, if given, replaces what was kept."""

    body: JsonObject | None = None
    expected_version: ExpectedVersion = None
    despite_duplicates: bool = Field(default=False, description="do it although other orders look like this one")


class Resubmitted(ChangeAnswer, Understood):
    """The real order: a delivery of its own, as it is understood, with the order's number. `duplicates` are orders that look like it."""

    id: str
    state: str
    delivery_id: str
    event: str
    number: str
    duplicates: list[LikelyDuplicate]
    dry_run: bool


class ResubmitMany(BulkChange[UuidText, EndangeredChoice]):
    """Make real orders of them, as they are or as they were mended. One with likely duplicates is left alone."""

    despite_duplicates: bool = Field(default=False, description="also those that other orders look like")


class ResubmittedOrder(BulkItem, Understood):
    """What became of one, and how it is understood. `warnings` name the orders within a day that look like it."""

    warnings: list[str] = Field(default=[])


class OrdersResubmitted(BulkAnswer):
    """What became of each."""

    items: list[ResubmittedOrder]  # type: ignore[assignment]  # narrower than the base's, and only ever read


class CloseMany(BulkChange[UuidText, EndangeredChoice]):
    """Nothing more is to be done with them."""

    outcome: Literal["done", "own_test"] = "done"


class CauseAndRemedy(BaseModel):
    """What a person fills in: the cause in plain language, and what was or will be done about it."""

    cause: str = Field(
        min_length=10, max_length=5000, description="not `fails schema validation` but what we did not think of"
    )
    remedy: str = Field(min_length=10, max_length=5000)

    @field_validator("cause", "remedy")
    @classmethod
    def _said(cls, value: str) -> str:
        if len(value.strip()) < 10:
            raise ValueError("needs ten characters that are not blanks")
        return value.strip()


class WriteReport(AdminChange, CauseAndRemedy):
    """The report on one order."""


class ReportMany(BulkChange[UuidText, EndangeredChoice], CauseAndRemedy):
    """One report on many orders: one letter."""


class WrittenReport(ChangeAnswer):
    """The report as it goes, or as it would go (`dry_run`; then it has no `id`). `state` says what became of the mail later."""

    id: str | None
    endangered_id: str
    state: str
    message_id: str | None
    sender: str
    recipient: str | None
    copies: list[str]
    subject: str
    text: Annotated[str, CONTENT]
    dry_run: bool


class SentReport(BaseModel):
    """A report as it was kept: what was written, to whom, and what became of the mail."""

    id: str
    created_at: datetime
    created_by: str
    cause: str
    remedy: str
    sender: str
    recipient: str
    copies: list[str]
    subject: str
    text: Annotated[str, CONTENT]
    message_id: str
    state: str
    orders: int = Field(description="how many it covers")
    attempts: int
    last_error: str | None
    sent_at: datetime | None


class Draft(BaseModel):
    """The letter as the suite drafts it; what a person has to fill in stands in angle brackets."""

    recipient: str | None
    copies: list[str]
    subject: str
    text: Annotated[str, CONTENT]


class ReportFile(BaseModel):
    """The draft, and the reports that were written, the newest first."""

    draft: Draft
    reports: list[SentReport]


def text_or_none(raw: bytes) -> str | None:
    """Return the bytes as text; None when they are no UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None
