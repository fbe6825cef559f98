"""The line about a mailed report in the timeline of the order that it covers."""

from __future__ import annotations

from datetime import datetime

from common.contracts.envelope import Envelope
from common.contracts.journal import JournalEntryV1
from common.ids import derived_id
from webhook_gateway.hooks.model import SERVICE
from webhook_gateway.rescue.model import Report


def reported_entry(report: Report, number: str, *, at: datetime) -> Envelope:
    """Return the timeline entry of a report that was mailed."""
    entry = JournalEntryV1(
        order_number=number,
        service=SERVICE,
        kind="endangered_order.reported",
        actor=report.created_by,
        summary="the report on the endangered order was mailed",
        details={"endangered_id": report.endangered_id, "report_id": report.id},
        occurred_at=at,
    )
    return Envelope.of(
        entry,
        event_id=derived_id("journal", SERVICE, "report", report.id, number),
        source=f"/{SERVICE}",
        subject=number,
        time=at,
        traceparent=report.traceparent,
    )
