"""The customer's feedback on an order changed: its tips are worked out again."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from common.errors import NotFound
from common.http import Change
from common.ids import new_id
from common.telemetry import current_traceparent
from orchestrator.engine.append import append_events
from orchestrator.engine.model import UPDATE_TRANSACTIONS, new_event
from orchestrator.tips.store import status_of
from orchestrator.tips.update_transactions import FEEDBACK_CHANGED


class FeedbackTaken(BaseModel):
    """`started` is false while the order is not finished: its end starts a run anyway."""

    number: str
    started: bool


async def recheck_tips(change: Change, number: str, *, now: datetime) -> FeedbackTaken:
    """Begin another run of ``update_transactions`` if the order is finished. Raises ``NotFound``."""
    status = await status_of(change.connection, number)
    if status is None:
        raise NotFound(f"there is no order {number}")
    started = status["status"] == "delivered"
    if started:
        event = new_event(
            number, UPDATE_TRANSACTIONS, FEEDBACK_CHANGED, new_id(), now=now, traceparent=current_traceparent()
        )
        await append_events(change.connection, [event])
    return FeedbackTaken(number=number, started=started)
