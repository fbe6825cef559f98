"""A person sends a kept delivery again, as it came or mended."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime

import orjson

from common.contracts.intake import HOOK_RECEIVED, IntakeMessage
from common.errors import ChangedSince, NotFound, Unprocessable
from common.http import Change
from common.ids import derived_id, new_id, order_number
from common.messaging import outbox
from common.service import add_act
from common.telemetry import current_traceparent
from webhook_gateway.deliveries import decisions
from webhook_gateway.deliveries.quarantine import end_when_decided
from webhook_gateway.deliveries.record import journal_id
from webhook_gateway.deliveries.store import StoredDelivery, find_delivery
from webhook_gateway.deliveries.views import Resent
from webhook_gateway.hooks.model import REPLAY_OF, SERVICE
from webhook_gateway.hooks.reading import read_hook
from webhook_gateway.hooks.sending import Sending
from webhook_gateway.rescue.mend import read_good_order
from webhook_gateway.rescue.take_in import DEFAULT_CURRENCY


async def replay(
    change: Change,
    delivery_id: uuid.UUID,
    *,
    mended: object | None,
    expected_version: int | None = None,
    sending: Sending,
) -> Resent:
    """Publish a kept delivery as a new one, so that consumers do not take it for a repeat, and note it in the order's timeline.

    It keeps the time of its origin, mended or not: what has come since stands, and nothing is carried out twice. Raises
    ``NotFound``, ``ChangedSince`` when it is not at ``expected_version``, or ``Unprocessable`` when the body still cannot be used.
    """
    if expected_version is not None:
        held = await decisions.lock(change.connection, [str(delivery_id)])
        at = held.get(str(delivery_id), expected_version)  # of one that there is not nothing else is said
        ChangedSince.require(f"delivery {delivery_id}", at=at, expected=expected_version)
    await decisions.need_sendable(change.connection, delivery_id, mended=mended is not None)
    stored = await find_delivery(change.connection, delivery_id)
    if stored is None:
        raise NotFound("no such delivery")
    now = sending.clock.now()
    hook = replayed(stored, mended, now=now, replica=sending.replica, actor=change.principal.name, why=change.reason)
    await outbox.add(change.connection, hook.to_envelope())
    await decisions.note_replay(
        change.connection, delivery_id, hook.delivery_id, actor=change.principal.name, mended=mended is not None
    )
    await end_when_decided(change, delivery_id, now=now)
    change.tells(*await sending.foretell(change.connection, hook))
    answer = Resent(delivery_id=hook.delivery_id, event=hook.event, number=hook.number or "", dry_run=change.dry_run)
    await change.record("delivery.replay", f"delivery:{delivery_id}", after=answer)
    await add_act(
        change,
        "hook.replayed",
        hook.number,
        f"{hook.event}: replayed" if mended is None else f"{hook.event}: mended and replayed",
        service=SERVICE,
        details={"event": hook.event, "delivery_id": hook.delivery_id, "replay_of": stored.id},
        identity=journal_id(hook.delivery_id),
        now=now,
    )
    return answer


def replayed(
    stored: StoredDelivery, mended: object | None, *, now: datetime, replica: str, actor: str, why: str
) -> IntakeMessage:
    """Return the new delivery. ``mended`` replaces the body (a JSON value).

    Where the mended body has no timestamp, the origin's holds, and where that has none, when the origin came in.
    """
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
        occurred_at=stored.occurred_at,
        actor=actor,
        why=why,
    )
    hook = _reread_order(hook, stored.id) if stored.body_form == "payload" else _reread_hook(hook)
    same = (hook.number, hook.event, hook.digest) == (stored.number, stored.event, stored.digest)
    return replace(hook, repeats=stored.repeats or stored.event_id) if same else hook


def _reread_hook(hook: IntakeMessage) -> IntakeMessage:
    reading = read_hook(hook.body, currency=hook.currency or "RUB")
    if not reading.known or reading.external_id is None or reading.problems:
        raise Unprocessable("the delivery's body cannot be used; send a mended one", fields=reading.problems)
    return replace(
        hook,
        event=reading.event,
        external_id=reading.external_id,
        number=order_number(hook.source, reading.external_id),
        sent_at=reading.sent_at or hook.sent_at,
        digest=reading.digest,
    )


def _reread_order(hook: IntakeMessage, origin: str) -> IntakeMessage:
    order = read_good_order(hook.body, currency=hook.currency or DEFAULT_CURRENCY)
    external_id = order.external_id or hook.external_id or origin
    return replace(hook, external_id=external_id, number=order_number(hook.source, external_id), digest=order.digest)
