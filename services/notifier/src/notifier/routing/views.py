"""What the trial of routes takes and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.http import Moment

_Name = Annotated[str | None, Field(max_length=200)]


class PastEvents(BaseModel):
    """Which events of the past; the newest of them, at most `limit`."""

    model_config = ConfigDict(extra="forbid")

    since: Moment
    until: Moment | None = None
    limit: int = Field(default=1000, ge=1, le=5000)


class RouteQuestion(BaseModel):
    """An event as routes see it, a `notice` that was one, or `past` events. `environment` is this service's own unless given.

    `routes` is a whole routes file to try instead of the one in force.
    """

    model_config = ConfigDict(extra="forbid")

    kind: str | None = Field(default=None, min_length=1, max_length=200, examples=["order.created"])
    notice: UUID | None = Field(default=None, description="a notice of the past, instead of a kind")
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
        if self.kind is None and self.past is None and self.notice is None:
            raise ValueError("ask about a kind, a notice, or past events")
        if self.kind is not None and self.notice is not None:
            raise ValueError("ask about a kind or a notice, not both")
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
