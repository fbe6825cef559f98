"""What people do with an endangered order (M5): mend it, make a real order of it, close it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import orjson

from common.contracts import intake
from common.contracts.alerts import ProblemResolvedV1
from common.contracts.envelope import Envelope
from common.contracts.intake import Hook
from common.errors import Unprocessable
from common.ids import derived_id, new_id, order_number
from webhook_gateway.deliveries.record import REPLAY_OF, SERVICE
from webhook_gateway.hooks import events
from webhook_gateway.rescue.model import Act, State, after
from webhook_gateway.website import model as website
from webhook_gateway.website.ports import Endangered, RescueUnit


async def mend(unit: RescueUnit, endangered_id: str, *, body: object, now: datetime) -> tuple[Endangered, State]:
    """Keep a mended body beside the original, to be resubmitted later.

    Returns the order as it was and its new state. Raises ``NotFound``, ``Conflict`` when it is a real order already or closed,
    ``Unprocessable`` with the fields at fault when it still could not become one.
    """
    found = await unit.lock(endangered_id)
    state = after(found.state, Act.MEND, number=found.order.number)
    raw = orjson.dumps(body)
    _readable(raw)
    await unit.mended(endangered_id, body=raw, state=state, at=now)
    return found, state


async def resubmit(
    unit: RescueUnit,
    endangered_id: str,
    *,
    mended: object | None,
    now: datetime,
    replica: str,
    currency: str,
    traceparent: str | None,
) -> tuple[Endangered, State, Hook]:
    """Make a real order of an endangered one; returns it as it was, its new state, and what was published.

    The same endangered order always becomes the same order: it is called by the body's ``externalId``, else by what the first try was
    called by, else by the id of its record. Raises as ``mend`` does.
    """
    found = await unit.lock(endangered_id)
    state = after(found.state, Act.RESUBMIT, number=found.order.number)
    body = found.body if mended is None else orjson.dumps(mended)
    order = _readable(body)
    external_id = order.external_id or found.external_id or endangered_id
    number = order_number(website.SOURCE, external_id)
    fresh = new_id()
    hook = Hook(
        type=intake.HOOK_RECEIVED,
        event_id=derived_id("replay", fresh),
        delivery_id=fresh,
        source=website.SOURCE,
        event=events.CREATED,
        body_form="payload",
        body=body,
        received_at=now,
        replica=replica,
        number=number,
        external_id=external_id,
        digest=order.digest,
        reason=REPLAY_OF + endangered_id,
        currency=currency,
        traceparent=traceparent,
    )
    await unit.resubmitted(endangered_id, number=number, body=body, state=state, at=now)
    await unit.publish([hook.to_envelope()])
    saved = replace(found, order=replace(found.order, number=number))
    return saved, state, hook


async def close(unit: RescueUnit, endangered_id: str, *, now: datetime, traceparent: str | None) -> Endangered:
    """Say that nothing more is to be done; the incident ends too. Raises ``NotFound``, ``Conflict`` when it is closed already."""
    found = await unit.lock(endangered_id)
    after(found.state, Act.CLOSE, number=found.order.number)
    await unit.closed(endangered_id, at=now)
    over = ProblemResolvedV1(
        fingerprint=found.fingerprint, summary="Заказ с сайта разобран", service=SERVICE, occurred_at=now
    )
    await unit.publish(
        [
            Envelope.of(
                over,
                event_id=derived_id("problem-resolved", endangered_id),
                source=f"/{SERVICE}",
                subject=found.order.number,
                time=now,
                traceparent=traceparent,
            )
        ]
    )
    return found


def _readable(body: bytes) -> website.WebsiteOrder:
    order = website.read_order(body)
    if order is None:
        raise Unprocessable("the order's body is no JSON object; send a mended one")
    if order.problems:
        raise Unprocessable("the order does not fit; send a mended body", fields=order.problems)
    return order
