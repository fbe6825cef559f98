"""What the notifier's HTTP operations take and answer."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.http import AdminChange, InvalidCursor, Moment, PageQuery

_Name = Annotated[str | None, Field(max_length=200)]
_BIGINT = 2**63 - 1


class NotificationQuery(PageQuery):
    """Filters of the notification log."""

    incident: Annotated[int | None, Field(ge=1, le=_BIGINT, description="an incident's id")] = None
    order: Annotated[str | None, Field(max_length=200, description="an order's number")] = None
    state: Literal["pending", "sending", "sent", "failed", "unknown", "dropped", "not_told"] | None = None


class Notification(BaseModel):
    """One notice to one destination: what, where, when, and why or why not. `not_told` has no destination but a reason.

    `fallback_of` is the delivery that this one stands in for; `digest_id` is the storm's digest that told of it.
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


class IncidentQuery(PageQuery):
    """Filters of the incidents."""

    state: Literal["open", "acknowledged", "resolved"] | None = None
    severity: Literal["critical", "warning", "info"] | None = None
    order: _Name = None


class IncidentView(BaseModel):
    """One problem, however often it was reported. `muted` says why nobody has been told of it."""

    id: int
    fingerprint: str
    kind: str
    severity: str
    state: str
    summary: str
    details: dict[str, Any]
    service: str
    environment: str
    order_number: str | None
    source: str | None
    store_id: str | None
    zone: str | None
    link: str | None
    instruction: str | None
    responsible: list[str]
    muted: str | None
    occurrences: int
    first_seen_at: datetime
    last_seen_at: datetime
    opened_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    ack_until: datetime | None
    resolved_at: datetime | None
    resolved_by: str | None
    version: int


class IncidentChange(AdminChange):
    """`reason` is what the person says; it stands in the incident's history and in the audit log."""

    take_over: bool = Field(default=False, description="acknowledge also what somebody else has taken")


class IncidentChanged(BaseModel):
    """What the act did, or would do."""

    id: int
    before: str
    after: str
    dry_run: bool


class PastEvents(BaseModel):
    """Which events of the past; the newest of them, at most `limit`."""

    model_config = ConfigDict(extra="forbid")

    since: Moment
    until: Moment | None = None
    limit: int = Field(default=1000, ge=1, le=5000)


class RouteQuestion(BaseModel):
    """An event as routes see it, or `past` events. `environment` is this service's own unless given.

    `routes` is a whole routes file to try instead of the one in force.
    """

    model_config = ConfigDict(extra="forbid")

    kind: str | None = Field(default=None, min_length=1, max_length=200, examples=["order.created"])
    severity: Literal["critical", "warning", "info"] = "info"
    environment: _Name = None
    source: _Name = None
    store_id: _Name = None
    zone: _Name = None
    service: _Name = None
    alert: _Name = None
    past: PastEvents | None = None
    routes: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> RouteQuestion:
        if self.kind is None and self.past is None:
            raise ValueError("ask about a kind, or about past events")
        return self


class RouteTarget(BaseModel):
    """A destination and the route that chose it."""

    destination: str
    channel: str
    address: str
    topic: int | None
    route: str


class RouteDifference(BaseModel):
    """An event that would be told to others than it was routed to."""

    notice_id: str
    kind: str
    order_number: str | None
    incident_id: int | None
    created_at: datetime
    was: list[str]
    would: list[str]


class PastAnswer(BaseModel):
    """What the routes would do with the past: how many events, to whom, and the first differences from what was done."""

    events: int
    unrouted: int
    by_destination: dict[str, int]
    changed: int
    differences: list[RouteDifference]


class RouteAnswer(BaseModel):
    """Who would be told; empty when no route matches, or when only the past was asked about."""

    targets: list[RouteTarget]
    past: PastAnswer | None = None


class TestMessage(AdminChange):
    """Send a few words to a destination of the routes file."""

    destination: str = Field(min_length=1, max_length=200)
    text: str = Field(default="", max_length=500)


class TestMessageAccepted(BaseModel):
    """The notice that will be sent; look it up in the notification log. A dry run has none."""

    notice_id: str | None
    channel: str
    address: str
    dry_run: bool


class AlertmanagerAlert(BaseModel):
    """One alert of Alertmanager's webhook, version 4."""

    model_config = ConfigDict(extra="ignore")

    status: Literal["firing", "resolved"]
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    startsAt: Moment  # noqa: N815 - Alertmanager's own name
    endsAt: Moment | None = None  # noqa: N815 - as above
    generatorURL: str | None = None  # noqa: N815 - as above
    fingerprint: str = Field(min_length=1, max_length=200)


class AlertmanagerNotification(BaseModel):
    """Alertmanager's webhook body, version 4; other fields are ignored."""

    model_config = ConfigDict(extra="ignore")

    version: Literal["4"] = "4"
    status: Literal["firing", "resolved"]
    alerts: list[AlertmanagerAlert] = Field(max_length=5000)


class AlertsTaken(BaseModel):
    """The incidents that the alerts are."""

    incidents: list[int]


def uuid_text(value: str) -> str:
    """Return a cursor's UUID. Raises ``InvalidCursor`` when it is none."""
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise InvalidCursor("the cursor belongs to another list") from None
