"""Lines of an order's timeline: what the orchestrator did, in words that an operator understands. No customer's data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from common.contracts.journal import JournalEntryV1
from common.contracts.refunds import RefundRejectedV1
from orchestrator.engine.model import TimelineEntry
from orchestrator.orders.decisions import Announcement
from orchestrator.orders.fold import Step
from orchestrator.orders.model import OrderState
from orchestrator.orders.transitions import Act

SERVICE = "orchestrator"

_SUMMARIES: Mapping[Act, str] = {
    Act.CREATE: "The order was created",
    Act.CHANGE: "The order was changed",
    Act.PAY: "The final prices are known; the order is closed for changes",
    Act.RECEIVE: "The order was handed to the courier; its goods were written off",
    Act.DELIVER: "The order was delivered",
    Act.CANCEL: "The order was cancelled",
    Act.PARK: "The order is not known yet; the event waits for order.created",
    Act.ALREADY_CREATED: "A repeat of order.created; nothing to do",
    Act.ALREADY_PAID: "A repeat of order.paid with the same prices; nothing to do",
    Act.ALREADY_RECEIVED: "The order had been handed to the courier before; nothing to do",
    Act.ALREADY_DELIVERED: "The order had been delivered before; nothing to do",
    Act.ALREADY_CANCELLED: "The order had been cancelled before; nothing to do",
    Act.CHANGES_NOTHING: "The change changes nothing",
    Act.REPEATS_LATEST: "A repeat of the latest hook of this kind; nothing to do",
    Act.CREATED_DIFFERS: "order.created came again with another content; the first was kept, a person was called",
    Act.CHANGED_AFTER_CLOSING: "The change came after the order had been closed; it was not applied, a person was called",
    Act.RECEIVED_AFTER_CANCELLING: "A cancelled order was handed to a courier; nothing was changed, a person was called",
    Act.DELIVERED_AFTER_CANCELLING: "A cancelled order was delivered; nothing was changed, a person was called",
}


def transition(taken: Step, number: str, *, late: bool, now: datetime, traceparent: str | None) -> TimelineEntry:
    """Tell what one event did."""
    fact, after = taken.fact, taken.after
    details = {
        "hook": fact.hook,
        "act": taken.act,
        "event_id": fact.event_id,
        "hook_time": fact.moment.isoformat(),
    }
    if after is not None:
        details["status"] = after.status
    if late:
        details["late"] = "true"
    difference = taken.difference
    for name in ("added", "removed", "changed"):
        if count := len(getattr(difference, name)):
            details[f"positions_{name}"] = str(count)
    return TimelineEntry(
        order_number=number,
        occurred_at=now,
        service=SERVICE,
        kind=f"order.{taken.act}",
        actor=fact.source,
        summary=_SUMMARIES[taken.act],
        details=details,
        traceparent=traceparent,
    )


def corrected(item: Announcement, *, now: datetime, traceparent: str | None) -> TimelineEntry:
    """Tell that a late, older event made what was told before untrue."""
    return TimelineEntry(
        order_number=item.order.number,
        occurred_at=now,
        service=SERVICE,
        kind="order.corrected",
        actor=SERVICE,
        summary="An older event arrived late; the order was worked out again and a correction was sent",
        details={"late_event": item.fact.hook, "event_id": item.fact.event_id},
        traceparent=traceparent,
    )


def refund_wanted(order: OrderState, *, now: datetime, traceparent: str | None) -> TimelineEntry:
    """Tell that money is to go back."""
    return TimelineEntry(
        order_number=order.number,
        occurred_at=now,
        service=SERVICE,
        kind="refund.wanted",
        actor=SERVICE,
        summary="The order was paid and cancelled; a refund of everything captured was asked for",
        details={"business_key": f"{order.number}:cancel"},
        traceparent=traceparent,
    )


def from_journal(entry: JournalEntryV1, *, traceparent: str | None) -> TimelineEntry:
    """Take over what another service noted."""
    return TimelineEntry(
        order_number=entry.order_number,
        occurred_at=entry.occurred_at,
        service=entry.service,
        kind=entry.kind,
        actor=entry.actor,
        summary=entry.summary,
        details=entry.details,
        traceparent=traceparent,
    )


def refund_rejected(message: RefundRejectedV1, *, traceparent: str | None) -> TimelineEntry:
    """Tell that a refund that was wanted cannot be made."""
    return TimelineEntry(
        order_number=message.order_number,
        occurred_at=message.occurred_at,
        service="refunds",
        kind="refund.rejected",
        actor="refunds",
        summary=message.detail,
        details={"business_key": message.business_key, "code": message.code},
        traceparent=traceparent,
    )
