"""What a change publishes, and the line about it in the order's timeline: who, what, why, and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from common.contracts.envelope import Envelope
from common.contracts.journal import JournalEntryV1
from common.contracts.notices import notices_of
from common.http import Change
from common.ids import derived_id, new_id
from common.messaging import outbox
from common.telemetry import current_traceparent, scrub_text

_LONGEST_REASON = 500


async def publish(change: Change, *events: Envelope | tuple[str, bytes]) -> None:
    """Put events into the outbox, in the change's own transaction, and name what people are told by them in its answer.

    Each is an envelope, or (type, encoded envelope). They are published at least once after the commit; never from a rehearsal.
    """
    encoded = [(event.type, event.encode()) if isinstance(event, Envelope) else event for event in events]
    await outbox.add_encoded(change.connection, encoded)
    change.tells(*notices_of(encoded))


async def add_act(
    change: Change,
    kind: str,
    order_number: str | None,
    summary: str,
    *,
    service: str,
    now: datetime,
    details: Mapping[str, str] | None = None,
    identity: str | None = None,
    reason: str | None = None,
) -> None:
    """Put a line about this change into the order's timeline, in the change's own transaction: it is there if and only if the change is.

    The line names the person and, in ``details``, the reason with phones and mails masked. Without an order there is no line.
    ``identity`` recognises the line where another may be published for the same act, ``reason`` is for requests that have none of
    their own.
    """
    if order_number is None:
        return
    entry = JournalEntryV1(
        order_number=order_number,
        service=service,
        kind=kind,
        actor=change.principal.name,
        summary=summary,
        details={**(details or {}), "reason": scrub_text(reason or change.reason)[:_LONGEST_REASON]},
        occurred_at=now,
    )
    event_id = derived_id("act", service, kind, new_id()) if identity is None else identity
    await outbox.add(
        change.connection,
        Envelope.of(
            entry,
            event_id=event_id,
            source=f"/{service}",
            subject=order_number,
            time=now,
            traceparent=current_traceparent(),
        ),
    )
