"""The problem of a quarantined delivery: one an order, which ends when a person has decided about all that was quarantined of it."""

from __future__ import annotations

import uuid
from datetime import datetime

from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.envelope import Envelope
from common.contracts.intake import IntakeMessage
from common.http import Change
from common.ids import derived_id
from common.service import publish
from common.telemetry import current_traceparent
from webhook_gateway.hooks.model import SERVICE

_QUARANTINED = "SELECT source, number, reason FROM deliveries WHERE delivery_id = $1 AND outcome = 'quarantined'"
_UNDECIDED = """
SELECT EXISTS (
    SELECT FROM deliveries AS d
    WHERE d.outcome = 'quarantined' AND {same}
      AND NOT EXISTS (SELECT FROM delivery_dismissals AS k WHERE k.delivery_id = d.delivery_id)
      AND NOT EXISTS (SELECT FROM delivery_replays AS r WHERE r.delivery_id = d.delivery_id)
)
"""
_OF_ORDER = _UNDECIDED.format(same="d.number = $1")
_OF_REASON = _UNDECIDED.format(
    same="d.number IS NULL AND d.source = $1 AND split_part(coalesce(d.reason, 'unknown'), ':', 1) = $2"
)


def quarantined(hook: IntakeMessage) -> ProblemRaisedV1:
    """Return the problem. Deliveries of which no order can be told are one problem a source and reason."""
    return ProblemRaisedV1(
        kind="hook.quarantined",
        severity="critical" if hook.number is None else "warning",
        fingerprint=_fingerprint(hook.source, hook.number, hook.reason),
        summary=f"Хук источника {hook.source} не удалось разобрать и отложен в карантин ({hook.reason}), ответ {hook.status}",
        details={"delivery_id": hook.delivery_id, "event": hook.event, "reason": hook.reason or "unknown"},
        service=SERVICE,
        order_number=hook.number,
        source=hook.source,
        link=f"/d/{hook.delivery_id}",
        occurred_at=hook.received_at,
    )


async def end_when_decided(change: Change, delivery_id: uuid.UUID, *, now: datetime) -> None:
    """End the delivery's problem, in the change that decides about it, unless another delivery of it waits for a decision."""
    connection = change.connection
    found = await connection.fetchrow(_QUARANTINED, delivery_id)
    if found is None:
        return
    source, number, reason = found["source"], found["number"], found["reason"]
    fingerprint = _fingerprint(source, number, reason)
    # Of two people who decide about the last two at once the second one sees what the first has decided.
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", fingerprint)
    if number is not None:
        waits = await connection.fetchval(_OF_ORDER, number)
    else:
        waits = await connection.fetchval(_OF_REASON, source, _kind_of(reason))
    if waits:
        return
    over = ProblemResolvedV1(
        fingerprint=fingerprint, summary="Решение о хуке в карантине принято", service=SERVICE, occurred_at=now
    )
    event_id = derived_id("problem-resolved", fingerprint, str(delivery_id))
    traceparent = current_traceparent()
    await publish(
        change,
        Envelope.of(over, event_id=event_id, source=f"/{SERVICE}", subject=number, time=now, traceparent=traceparent),
    )


def _fingerprint(source: str, number: str | None, reason: str | None) -> str:
    return derived_id("quarantine", source, _kind_of(reason) if number is None else number)


def _kind_of(reason: str | None) -> str:
    return (reason or "unknown").partition(":")[0]
