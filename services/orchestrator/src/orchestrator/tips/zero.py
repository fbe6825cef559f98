"""Sets an order's tips to zero for good: after a full refund, or when a service says that the customer pays in cash or has no courier.

docs/requirements.md#five-places-that-zero-tips
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from common.errors import NotFound
from common.http import Change
from common.postgres import Connection
from common.telemetry import current_traceparent
from orchestrator.engine.append import append_events
from orchestrator.engine.model import UPDATE_TRANSACTIONS, new_event
from orchestrator.engine.store import add_to_timeline
from orchestrator.tips.messages import zeroed_entry
from orchestrator.tips.store import request_hold, status_of

_ZERO = "SELECT * FROM tips_set_zero($1, $2)"
_VERSION = "SELECT revision + tips_revision FROM orders WHERE number = $1"


class TipsZeroed(BaseModel):
    """The tips of the order are zero for good; `changed` is false when they were already."""

    number: str
    reason: str
    changed: bool


async def zero_order_tips(change: Change, number: str, reason: str, *, now: datetime) -> TipsZeroed:
    """Notify ``update_transactions`` and set an order's tips to zero for good; a repeat changes nothing. Raises ``NotFound``."""
    status = await status_of(change.connection, number)
    if status is None:
        raise NotFound(f"there is no order {number}")
    if status["tips_zeroed_at"] is not None:
        return TipsZeroed(number=number, reason=reason, changed=False)
    trace = current_traceparent()
    event = new_event(
        number, UPDATE_TRANSACTIONS, "tips.zeroed", reason, attributes={"reason": reason}, now=now, traceparent=trace
    )
    await append_events(change.connection, [event])  # workflows are locked before orders
    actor = change.principal.name
    changed = await zero_tips(change.connection, number, reason, actor=actor, now=now, traceparent=trace)
    if changed:
        await change.record("order.zero_tips", f"order:{number}", reason=reason)
    return TipsZeroed(number=number, reason=reason, changed=changed)


async def zero_tips(
    connection: Connection, number: str, reason: str, *, actor: str, now: datetime, traceparent: str | None
) -> bool:
    """Set an order's tips to zero for good, in the caller's transaction; return whether this call did it.

    A repeat, whatever its reason, changes nothing. A hold becomes a hold of nothing. ``update_transactions`` is to be notified *before*:
    workflows are locked before orders everywhere. Raises ``NotFound``.
    """
    row = await connection.fetchrow(_ZERO, number, reason)
    if row is None or row["outcome"] == "not_found":
        raise NotFound(f"there is no order {number}")
    if row["outcome"] != "zeroed":
        return False
    if row["held_amount"] > 0:
        version = await connection.fetchval(_VERSION, number)
        await request_hold(connection, number, 0, row["currency"], version=version, now=now, traceparent=traceparent)
    entry = zeroed_entry(
        number, reason, row["previous_amount"], row["currency"], actor=actor, now=now, traceparent=traceparent
    )
    await add_to_timeline(connection, [entry])
    return True
