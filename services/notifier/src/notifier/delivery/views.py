"""What the operations on the notification log take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from common.http import AdminChange, ChangeAnswer, Moment, PageQuery, TraceId

_Name = Annotated[str | None, Field(max_length=200)]
_BIGINT = 2**63 - 1


class NotificationQuery(PageQuery):
    """Filters of the notification log."""

    incident: Annotated[int | None, Field(ge=1, le=_BIGINT, description="an incident's id")] = None
    order: Annotated[str | None, Field(max_length=200, description="an order's number")] = None
    state: Literal["pending", "sending", "sent", "failed", "unknown", "dropped", "not_told"] | None = None
    trace: TraceId | None = None


class Notification(BaseModel):
    """One notice to one destination: what, where, when, and why or why not. `not_told` has no destination but a reason.

    `held_by` is why it did not go at once: `chat_limit`, `asked_to_wait` (the messenger's 429), `earlier_notice` (the one before it
    failed first: `held_behind` is its id), or how an attempt ended that failed, which outranks the others; it stays. `failed_at` is when
    the last such attempt ended.
    `fallback_of` is the delivery that this one stands in for; `digest_id` is the storm's digest that told of it.
    `received_at` is when the gateway first took the hook that it tells of, `waited` where the time went from then on, each second or more;
    `came_by` is `act` where no hook came: a person entered it.
    """

    notice_id: str
    delivery_id: int | None
    kind: str
    transition: str
    severity: str
    order_number: str | None
    incident_id: int | None
    state: str
    reason: str | None
    destination: str | None
    channel: str | None
    lane: str | None
    topic: int | None
    route: str | None
    fallback_of: int | None
    digest_id: int | None
    attempts: int
    possibly_repeated: bool
    message_ids: list[str]
    text: str | None
    event_id: str
    occurred_at: datetime
    created_at: datetime
    not_before: datetime | None
    sent_at: datetime | None
    held_by: str | None
    held_behind: str | None
    held_behind_kind: str | None
    failed_at: datetime | None
    received_at: datetime | None
    waited: str | None
    came_by: str | None


class ToldQuery(BaseModel):
    """The period, by when the notifier learned of the order: the day before `to` unless given."""

    model_config = ConfigDict(populate_by_name=True)

    since: Moment | None = Field(default=None, alias="from", description="a day before `to` unless given")
    until: Moment | None = Field(default=None, alias="to", description="now unless given")


class Told(BaseModel):
    """Notices of new orders in a period: orders = told + waiting + nobody + failed.

    `told`: at least one chat has it. `nobody`: by the routes nobody is told, or it was muted. `failed`: no chat took it.
    """

    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    orders: int
    told: int
    waiting: int
    nobody: int
    failed: int


class NoticeStory(BaseModel):
    """One notice with its deliveries, the newest first; one that was sent to nobody has one without a destination, and the reason."""

    notice_id: str
    kind: str
    transition: str
    severity: str
    order_number: str | None
    incident_id: int | None
    event_id: str
    text: str | None
    occurred_at: datetime
    created_at: datetime
    received_at: datetime | None
    deliveries: list[Notification]


class TestMessage(AdminChange):
    """Send a few words to a destination of the routes file."""

    destination: str = Field(min_length=1, max_length=200)
    text: str = Field(default="", max_length=500)


class TestMessageAccepted(ChangeAnswer):
    """The notice that will be sent; look it up in the notification log. A dry run has none."""

    notice_id: str | None
    channel: str
    address: str
    dry_run: bool
