"""What the operations on tickets take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.http import AdminChange, PageQuery

_BIGINT = 2**63 - 1
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Queue = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,14}$")]
_Key = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,14}-[0-9]{1,12}$", examples=["TRAVELBACK-17"])]


class TicketQuery(PageQuery):
    """Filters of the tickets."""

    queue: Annotated[str | None, Field(max_length=20)] = None
    state: Literal["open", "closed"] | None = None
    order: Annotated[str | None, Field(max_length=200, description="an order's number")] = None
    incident: Annotated[int | None, Field(ge=1, le=_BIGINT)] = None


class TicketCommentView(BaseModel):
    """A remark."""

    id: int
    author: str
    text: str
    at: datetime


class TicketView(BaseModel):
    """A ticket. `key` is null until the outside tracker has given it; then `id` names it."""

    id: int
    key: str | None
    queue: str
    state: str
    kind: str
    summary: str
    description: str
    order_number: str | None
    incident_id: int | None
    development_ticket: str | None
    created_by: str
    created_at: datetime
    closed_at: datetime | None
    outside: str
    reason: str | None
    comments: list[TicketCommentView]


class NewTicketBody(AdminChange):
    """A person's request, opened by support (TRAVELSUP unless another queue is named)."""

    summary: str = Field(min_length=3, max_length=250)
    text: str = Field(default="", max_length=5000)
    queue: _Queue | None = None
    order_number: _Name | None = None


class TicketOpened(BaseModel):
    """The ticket; a dry run has none."""

    id: int | None
    key: str | None
    queue: str
    dry_run: bool


class CommentBody(BaseModel):
    """A remark to a ticket. Said by somebody who could be called, "Звонить не нужно." takes the incident. `reason` alone is the remark."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(default=None, min_length=1, max_length=5000)
    reason: str | None = Field(default=None, min_length=3, max_length=1000)
    tell_customer: bool = Field(default=False, description="tag the senior operators: they tell the customer")
    dry_run: bool = False

    @model_validator(mode="after")
    def _something(self) -> CommentBody:
        if not ((self.text or "").strip() or (self.reason or "").strip()):
            raise ValueError("text or reason is needed")
        return self

    @property
    def said(self) -> str:
        """The remark."""
        return (self.text or "").strip() or (self.reason or "").strip()


class Commented(BaseModel):
    """The remark, and whether it took the incident."""

    id: int | None
    ticket: str
    acknowledged: bool
    dry_run: bool


class LinkBody(AdminChange):
    """The development ticket that mends the cause."""

    development_ticket: _Key


class Linked(BaseModel):
    """Before and after."""

    ticket: str
    before: str | None
    after: str
    dry_run: bool


class InstructionView(BaseModel):
    """What operators do about a kind of problem."""

    kind: str
    text: str
    call: bool
    queue: str | None
    version: int
    updated_at: datetime
    updated_by: str


class InstructionList(BaseModel):
    """All instructions."""

    items: list[InstructionView]


class InstructionBody(AdminChange):
    """`text` null removes the instruction: then operators phone the person on duty. `call`: they do so in any case."""

    text: str | None = Field(max_length=4000)
    call: bool = False
    queue: _Queue | None = None

    @model_validator(mode="after")
    def _instructive(self) -> InstructionBody:
        if self.text is not None and not self.text.strip():
            raise ValueError("an instruction is not blank; null removes it")
        return self


class InstructionChanged(BaseModel):
    """Before and after; null where there is none."""

    kind: str
    before: InstructionView | None
    after: InstructionView | None
    dry_run: bool
