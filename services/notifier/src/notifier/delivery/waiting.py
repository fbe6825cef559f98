"""Rows of the notification log as the use cases see them."""

from __future__ import annotations

from typing import Any

from notifier.delivery.model import Waiting
from notifier.incidents.model import IncidentState
from notifier.messages.incident_notices import IncidentNow

DELIVERY = """
       d.id, d.notice_id, d.subject, d.destination, d.topic, d.created_at, d.attempts, d.pages_done, d.possibly_repeated,
       d.alone, d.priority, d.page_group, d.shrink, d.fallback_of, n.kind, n.severity, n.transition, n.order_number, n.document,
       n.traceparent, n.occurred_at, i.id AS incident_id, i.kind AS incident_kind,
       i.severity AS incident_severity, i.state AS incident_state,
       i.acknowledged_by, i.acknowledged_at, i.resolved_by, i.resolved_at, i.version AS incident_version
"""
"""Columns of a delivery ``d`` with its notice ``n`` and its incident ``i``, for ``waiting_of``."""


def waiting_of(row: Any) -> Waiting:
    """Read a row of ``DELIVERY``."""
    incident = None
    if row["incident_id"] is not None and row["transition"] != "resolved":  # that it is over stays true
        incident = IncidentNow(
            id=row["incident_id"],
            kind=row["incident_kind"],
            severity=row["incident_severity"],
            state=IncidentState(row["incident_state"]),
            acknowledged_by=row["acknowledged_by"],
            acknowledged_at=row["acknowledged_at"],
            resolved_by=row["resolved_by"],
            resolved_at=row["resolved_at"],
            version=row["incident_version"],
        )
    return Waiting(
        id=row["id"],
        notice_id=str(row["notice_id"]),
        kind=row["kind"],
        subject=row["subject"],
        order_number=row["order_number"],
        destination=row["destination"],
        topic=row["topic"],
        document=row["document"],
        traceparent=row["traceparent"],
        occurred_at=row["occurred_at"],
        created_at=row["created_at"],
        attempts=row["attempts"],
        pages_done=row["pages_done"],
        possibly_repeated=row["possibly_repeated"],
        alone=row["alone"],
        severity=row["severity"],
        priority=row["priority"],
        group=row["page_group"],
        shrink=row["shrink"],
        incident=incident,
        fallback_of=row["fallback_of"],
    )
