"""What the unit tests of the notifier are made of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from notifier.delivery.model import Waiting
from notifier.incidents.model import IncidentState
from notifier.messages.document import Document, Span
from notifier.messages.incident_notices import IncidentNow

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TEXT = Document(title=(Span("Title", "bold"),)).to_json()


def waiting(number: int, **changes: Any) -> Waiting:
    """A delivery about a problem."""
    values: dict[str, Any] = {
        "id": number,
        "notice_id": "n",
        "kind": "problem.x",
        "subject": f"incident:{number}",
        "order_number": None,
        "destination": "d",
        "topic": None,
        "document": TEXT,
        "traceparent": None,
        "occurred_at": NOW,
        "created_at": NOW,
        "attempts": 0,
        "pages_done": 0,
        "possibly_repeated": False,
        "alone": False,
        "incident": IncidentNow(id=number, kind="problem.x", severity="warning", state=IncidentState.OPEN),
    }
    return Waiting(**{**values, **changes})
