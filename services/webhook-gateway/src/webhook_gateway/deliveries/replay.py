"""Sends again what is kept: a delivery as it came, or mended."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import orjson

from common.contracts import intake
from common.contracts.intake import Hook
from common.errors import NotFound, Unprocessable
from common.ids import derived_id, new_id, order_number
from webhook_gateway.deliveries.record import REPLAY_OF
from webhook_gateway.hooks.ports import DeskUnit
from webhook_gateway.hooks.reading import read_hook
from webhook_gateway.website import model as website


async def replay_delivery(
    unit: DeskUnit, delivery_id: str, *, mended: object | None, now: datetime, replica: str, traceparent: str | None
) -> Hook:
    """Publish a kept delivery as a new one, so that consumers do not take it for a repeat; return it.

    The orchestrator recognises an order or a change that it already has by its content, so replaying what was carried out before
    does no harm. ``mended`` replaces the body (a JSON value). Raises ``NotFound``, or ``Unprocessable`` when the body still cannot
    be used.
    """
    stored = await unit.delivery(delivery_id)
    if stored is None:
        raise NotFound("no such delivery")
    body = stored.body if mended is None else orjson.dumps(mended)
    fresh = new_id()
    hook = Hook(
        type=intake.HOOK_RECEIVED,
        event_id=derived_id("replay", fresh),
        delivery_id=fresh,
        source=stored.source,
        event=stored.event,
        body_form=stored.body_form,
        body=body,
        received_at=now,
        replica=replica,
        number=stored.number,
        external_id=stored.external_id,
        sent_at=stored.sent_at,
        digest=stored.digest,
        reason=REPLAY_OF + stored.id,
        currency=stored.currency,
        traceparent=traceparent,
    )
    hook = _reread_website(hook, stored.id) if stored.body_form == "payload" else _reread(hook)
    await unit.publish([hook.to_envelope()])
    return hook


def _reread(hook: Hook) -> Hook:
    reading = read_hook(hook.body)
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


def _reread_website(hook: Hook, origin: str) -> Hook:
    order = website.read_order(hook.body)
    if order is None:
        raise Unprocessable("the order's body is no JSON object; send a mended one")
    if order.problems:
        raise Unprocessable("the order does not fit; send a mended body", fields=order.problems)
    external_id = order.external_id or hook.external_id or origin
    return replace(
        hook,
        external_id=external_id,
        number=order_number(hook.source, external_id),
        digest=order.digest,
    )
