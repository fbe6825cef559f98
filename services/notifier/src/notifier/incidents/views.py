"""What the operations on incidents take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from common.http import AdminChange, PageQuery

_Name = Annotated[str | None, Field(max_length=200)]


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
