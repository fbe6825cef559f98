"""What the operations on tickets take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.http import AdminChange, ChangeAnswer, PageQuery
from notifier.routing.file import Match

_BIGINT = 2**63 - 1
KNOWN_DEFECT: Any = Field(
    default=None,
    description="whether problems like the ticket's own say so by themselves from now on; unless given, when the problem tells an error",
)
_Version = Annotated[
    int | None,
    Field(default=None, ge=0, le=_BIGINT, description="the version that was looked at; 409 when it is at another one"),
]
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
    """A ticket. `key` is null until the outside tracker has given it; then `id` names it.

    `version` grows with what people do to it or say of it.
    """

    id: int
    version: int
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
    assignee: str | None
    summons_id: int | None = Field(description="the incident by which the on-call person was summoned last")
    links: list[str] = Field(description="other tickets, those that were made of it or of which it was made, too")
    comments: list[TicketCommentView]


class NewTicketBody(AdminChange):
    """A person's request, opened by support (TRAVELSUP unless another queue is named)."""

    summary: str = Field(min_length=3, max_length=250)
    text: str = Field(default="", max_length=5000)
    queue: _Queue | None = None
    order_number: _Name | None = None


class TicketOpened(ChangeAnswer):
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


class Commented(ChangeAnswer):
    """The remark, and whether it took the incident."""

    id: int | None
    ticket: str
    acknowledged: bool
    dry_run: bool


class LinkBody(AdminChange):
    """The development ticket that mends the cause."""

    development_ticket: _Key
    expected_version: _Version = None


class Linked(ChangeAnswer):
    """Before and after."""

    ticket: str
    before: str | None
    after: str
    dry_run: bool


class LinkTicketBody(AdminChange):
    """Either the development ticket that mends the cause, or any other ticket that belongs to it."""

    development_ticket: _Key | None = None
    ticket: _Key | None = None
    known_defect: bool | None = KNOWN_DEFECT
    expected_version: _Version = None

    @model_validator(mode="after")
    def _one_of_them(self) -> LinkTicketBody:
        if (self.development_ticket is None) == (self.ticket is None):
            raise ValueError("name a development_ticket or a ticket")
        return self


class TicketLinked(ChangeAnswer):
    """What is linked now; `known_defect`: problems of this kind say so from now on."""

    ticket: str
    linked: str
    before: str | None = None
    known_defect: bool = False
    dry_run: bool


class AssignBody(AdminChange):
    """Whose it is, by the id in the people file; null is nobody."""

    assignee: _Name | None
    expected_version: _Version = None


class Assigned(ChangeAnswer):
    """Before and after."""

    ticket: str
    before: str | None
    after: str | None
    dry_run: bool


class Summoned(ChangeAnswer):
    """The incident by which the on-call person is told, phoned if need be, and answers (`ack`); `people` are on duty now."""

    ticket: str
    incident_id: int | None
    people: list[str]
    dry_run: bool


class Closed(ChangeAnswer):
    """The ticket is closed; these incidents were resolved with it."""

    ticket: str
    incidents: list[int]
    dry_run: bool


class DevelopBody(AdminChange):
    """What the developers are told; `reason` is the text. The summary is the ticket's own unless given."""

    summary: Annotated[str | None, Field(min_length=3, max_length=250)] = None
    queue: _Queue | None = None
    known_defect: bool | None = KNOWN_DEFECT


class Developed(ChangeAnswer):
    """The development ticket. `development_ticket` is null until the outside tracker has given its key; then it is linked."""

    ticket: str
    id: int | None
    development_ticket: str | None
    known_defect: bool
    dry_run: bool


class DefectBody(AdminChange):
    """Problems that fit `match` (as in routes) and whose error reads like `cause` say that this ticket is about them."""

    match: Annotated[Match, Field(min_length=1, examples=[{"kind": ["workflow.crashed"]}])]
    cause: Annotated[str | None, Field(min_length=1, max_length=1000)] = None
    development_ticket: _Key


class DefectView(BaseModel):
    """A known defect. `cause` is how its error reads, apart from numbers, ids and case; null fits every error."""

    id: int
    match: dict[str, list[str]]
    cause: str | None
    development_ticket: str | None
    reason: str
    created_by: str
    created_at: datetime
    ended_at: datetime | None
    ended_by: str | None


class DefectKept(ChangeAnswer):
    """The known defect, as it is now (or would be)."""

    defect: DefectView
    dry_run: bool


class DefectQuery(PageQuery):
    """Which known defects."""

    over: bool = Field(default=False, description="also those that are mended")


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
    """`text` null removes the instruction: then operators phone the person on duty. `call`: they do so in any case.

    Where there is none, it is at version 0.
    """

    text: str | None = Field(max_length=4000)
    call: bool = False
    queue: _Queue | None = None
    expected_version: _Version = None

    @model_validator(mode="after")
    def _instructive(self) -> InstructionBody:
        if self.text is not None and not self.text.strip():
            raise ValueError("an instruction is not blank; null removes it")
        return self


class InstructionChanged(ChangeAnswer):
    """Before and after; null where there is none."""

    kind: str
    before: InstructionView | None
    after: InstructionView | None
    dry_run: bool
