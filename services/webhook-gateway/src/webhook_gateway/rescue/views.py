"""What people who save endangered orders send and see."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator

from common.http import AdminChange, PageQuery


class EndangeredQuery(PageQuery):
    """Filters of the list of endangered orders; all must hold. State `open` is everything whose customer is still to be saved."""

    state: Literal["open", "new", "mended", "resubmitted", "reported", "closed"] | None = None
    category: Literal["front_end", "back_end", "banned", "manager_bypass_broken"] | None = None
    id: str | None = Field(default=None, max_length=64, description="only this one")


class EndangeredOrder(BaseModel):
    """A website order that was not answered 201, with what is needed to get the customer back.

    `body` is the request as it came (null when the bytes are no UTF-8 text), `mended` what a person made of it. `origin` says who saw it
    fail: the server, or the front end by way of Sentry (`link` leads there). `number` is the real order that it has become;
    `arrived_at` says that the website sent it again itself and it was taken.
    """

    id: str
    received_at: datetime
    status: int
    category: str
    origin: Literal["server", "front_end"]
    link: str | None
    answer: Any
    customer: dict[str, str]
    address: str | None
    basket: list[Any]
    body: str | None
    mended: str | None
    external_id: str | None
    replica: str
    state: str
    number: str | None
    mended_at: datetime | None
    resubmitted_at: datetime | None
    reported_at: datetime | None
    closed_at: datetime | None
    arrived_at: datetime | None


class Mend(AdminChange):
    """A mended body, kept beside the original."""

    body: dict[str, Any]


class Close(AdminChange):
    """Nothing more is to be done."""


class Rescued(BaseModel):
    """The endangered order's new state."""

    id: str
    state: str
    dry_run: bool


class Resubmit(AdminChange):
    """Make a real order of it. `body`, if given, replaces what was kept."""

    body: dict[str, Any] | None = None


class Resubmitted(Rescued):
    """The real order: a delivery of its own, with the order's number."""

    delivery_id: str
    event: str
    number: str


class WriteReport(AdminChange):
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


class WrittenReport(BaseModel):
    """The report as it goes, or as it would go (`dry_run`; then it has no `id`). `state` says what became of the mail later."""

    id: str | None
    endangered_id: str
    state: str
    message_id: str | None
    sender: str
    recipient: str | None
    copies: list[str]
    subject: str
    text: str
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
    text: str
    message_id: str
    state: Literal["waiting", "sending", "sent", "failed"]
    attempts: int
    last_error: str | None
    sent_at: datetime | None


class Draft(BaseModel):
    """The letter as the suite drafts it; what a person has to fill in stands in angle brackets."""

    recipient: str | None
    copies: list[str]
    subject: str
    text: str


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
