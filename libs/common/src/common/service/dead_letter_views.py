"""What operators send about dead letters, and what they see."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from common.http import AdminChange, ChangeAnswer, CustomersData, Moment, PageQuery
from common.http.kept_bodies import json_or_text, mask_carried, mask_message
from common.messaging.dead_letter_reads import Became, LetterFilter, State
from common.postgres import Record

_LONGEST = 512


class LetterSelection(BaseModel):
    """Which dead letters; all that is given must hold."""

    open: bool = Field(default=False, description="only those that nobody has decided about")
    queue: str | None = Field(default=None, max_length=_LONGEST)
    handler: str | None = Field(default=None, max_length=_LONGEST)
    reason: str | None = Field(default=None, max_length=_LONGEST, description="poison, undecodable or delivery_limit")
    type: str | None = Field(default=None, max_length=_LONGEST, description="the type of the event")
    subject: str | None = Field(default=None, max_length=_LONGEST, description="the number of the order")
    state: State | None = None
    since: Moment | None = Field(default=None, alias="from", description="dead at or after")
    until: Moment | None = Field(default=None, alias="to", description="dead before")

    def wanted(self) -> LetterFilter:
        """Return the filter."""
        return LetterFilter(
            queue=self.queue,
            handler=self.handler,
            reason=self.reason,
            event_type=self.type,
            subject=self.subject,
            state="open" if self.open else self.state,
            since=self.since,
            until=self.until,
        )


class DeadLetterQuery(LetterSelection, PageQuery):
    """Filters of the list; all must hold."""


class DeadLetter(BaseModel):
    """An event that a consumer gave up on, without its message. `replayed_at`: when it, or a mended one, went back to its queue."""

    id: int
    queue: str
    handler: str
    event_id: str | None
    event_type: str | None
    subject: str | None = Field(description="the number of the order, where the event is about one")
    reason: str = Field(description="poison, undecodable or delivery_limit")
    error: str
    dead_at: datetime
    state: State
    decided_at: datetime | None
    decided_by: str | None
    replayed_at: datetime | None
    replayed_by: str | None
    erased_at: datetime | None = Field(description="when a customer's data in it were erased")


class WholeLetter(DeadLetter):
    """A dead letter with its message: `body` is the CloudEvent, or its text when it is none, `data` what the event carries, decoded.

    `mended` is the message that was sent instead. `became` says what became of what was sent again: it waits to be read, its effect is
    there, or it is a dead letter again; null where nothing was sent, or that is not known any more. Viewers see customers' data masked
    and no `body_base64`.
    """

    body: Annotated[Any, CustomersData(mask_message)]
    data: Annotated[Any, CustomersData(mask_carried)]
    body_base64: Annotated[str | None, CustomersData(lambda _: None)]
    mended: Annotated[Any, CustomersData(mask_message)]
    became: Became | None


class MendLetter(AdminChange):
    """A mended message: `body` is the whole CloudEvent, `data` only what it carries (a hook's body as JSON, where it carries one)."""

    body: dict[str, Any] | str | None = None
    data: Any = None

    @model_validator(mode="after")
    def _one_of_both(self) -> MendLetter:
        if (self.body is None) == (self.data is None):
            raise ValueError("needs either `body` or `data`")
        return self


class Replayed(ChangeAnswer):
    """What a replay did; with ``dry_run`` what it would do."""

    id: int
    queue: str
    event_id: str | None
    replayed: bool


class Decided(ChangeAnswer):
    """What became of it; with `dry_run` what would."""

    id: int
    queue: str
    event_id: str | None
    state: Literal["replayed", "mended", "dismissed"]
    dry_run: bool


def whole_letter(row: Record, *, became: Became | None) -> WholeLetter:
    """Return the letter as it is shown."""
    values = dict(row)
    raw, mended = values.pop("body"), values.pop("mended")
    body, data = readable(raw)
    instead = None if mended is None else readable(mended)[0]
    encoded = base64.b64encode(raw).decode("ascii")
    return WholeLetter(**values, body=body, data=data, body_base64=encoded, mended=instead, became=became)


def readable(raw: bytes) -> tuple[Any, Any]:
    """Return a message and what it carries: JSON where it is JSON, else text."""
    body = json_or_text(raw)
    if not isinstance(body, dict):
        return body, None
    carried = body.get("data_base64")
    if not isinstance(carried, str):
        return body, body.get("data")
    try:
        return body, json_or_text(base64.b64decode(carried, validate=True))
    except ValueError:
        return body, None
