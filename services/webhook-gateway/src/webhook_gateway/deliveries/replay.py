"""A person sends a kept delivery again, as it came or mended."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime

import orjson

from common.contracts.intake import HOOK_RECEIVED, IntakeMessage
from common.errors import NotFound, Unprocessable
from common.http import Change
from common.ids import derived_id, new_id, order_number
from common.messaging import outbox
from common.telemetry import current_traceparent
from webhook_gateway.deliveries import decisions
from webhook_gateway.deliveries.store import StoredDelivery, find_delivery
from webhook_gateway.deliveries.views import Resent
from webhook_gateway.hooks.model import REPLAY_OF
from webhook_gateway.hooks.reading import read_hook
from webhook_gateway.rescue.mend import read_good_order


async def replay(
    change: Change, delivery_id: uuid.UUID, *, mended: object | None, now: datetime, replica: str
) -> Resent:
    """Publish a kept delivery as a new one, so that consumers do not take it for a repeat.

    The orchestrator recognises an order or a change that it already has by its content, so replaying what was carried out before
    does no harm. Raises ``NotFound``, or ``Unprocessable`` when the body still cannot be used.
    """
    if mended is None:
        await decisions.need_sendable(change.connection, delivery_id)
    stored = await find_delivery(change.connection, delivery_id)
    if stored is None:
        raise NotFound("no such delivery")
    hook = replayed(stored, mended, now=now, replica=replica)
    await outbox.add(change.connection, hook.to_envelope())
    await decisions.note_replay(
        change.connection,
        delivery_id,
        hook.delivery_id,
        actor=change.principal.name,
        mended=mended is not None,
    )
    answer = Resent(delivery_id=hook.delivery_id, event=hook.event, number=hook.number or "", dry_run=change.dry_run)
    await change.record("delivery.replay", f"delivery:{delivery_id}", after=answer)
    return answer


def replayed(stored: StoredDelivery, mended: object | None, *, now: datetime, replica: str) -> IntakeMessage:
    """Return the new delivery. ``mended`` replaces the body (a JSON value)."""
    fresh = new_id()
    hook = IntakeMessage(
        type=HOOK_RECEIVED,
        event_id=derived_id("replay", fresh),
        delivery_id=fresh,
        source=stored.source,
        event=stored.event,
        body_form=stored.body_form,
        body=stored.body if mended is None else orjson.dumps(mended),
        received_at=now,
        replica=replica,
        number=stored.number,
        external_id=stored.external_id,
        sent_at=stored.sent_at,
        digest=stored.digest,
        reason=REPLAY_OF + stored.id,
        currency=stored.currency,
        traceparent=current_traceparent(),
    )
    return _reread_order(hook, stored.id) if stored.body_form == "payload" else _reread_hook(hook)


def _reread_hook(hook: IntakeMessage) -> IntakeMessage:
    reading = read_hook(hook.body, currency=hook.currency or "RUB")
    if not reading.known or reading.external_id is None or reading.problems:
        raise Unprocessable("the delivery's body cannot be used; send a mended one", fields=reading.problems)
    return replace(
        hook,
        event=reading.event,
        external_id=reading.external_id,
        number=order_number(hook.source, reading.external_id),
        sent_at=reading.sent_at,
        digest=reading.digest,
    )


def _reread_order(hook: IntakeMessage, origin: str) -> IntakeMessage:
    order = read_good_order(hook.body)
    external_id = order.external_id or hook.external_id or origin
    return replace(hook, external_id=external_id, number=order_number(hook.source, external_id), digest=order.digest)
