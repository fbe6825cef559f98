"""What the operations on incidents take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from common.http import AdminChange, BulkChange, BulkFilter, PageQuery, RowId

Name = Annotated[str, Field(min_length=1, max_length=200)]


class IncidentConditions(BaseModel):
    """Which incidents; all that is given has to hold."""

    state: Literal["open", "acknowledged", "resolved"] | None = None
    severity: Literal["critical", "warning", "info"] | None = None
    order: Name | None = None
    kind: Name | None = None
    service: Name | None = None
    source: Name | None = None


class IncidentQuery(PageQuery, IncidentConditions):
    """Filters of the incidents."""


class IncidentFilter(BulkFilter, IncidentConditions):
    """Which incidents to change. Without `state` those that are not resolved."""


class ChangeIncidents(BulkChange[RowId, IncidentFilter]):
    """Which incidents: by ids or by a filter. `reason` stands in each incident's history and in the audit log."""


class AcknowledgeIncidents(ChangeIncidents):
    """Which incidents to take."""

    take_over: bool = Field(default=False, description="acknowledge also what somebody else has taken")


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
