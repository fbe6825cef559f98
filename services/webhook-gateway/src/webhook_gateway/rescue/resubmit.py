"""A person makes a real order of an endangered one."""

from __future__ import annotations

from datetime import datetime

import orjson

from common.contracts.intake import HOOK_RECEIVED, IntakeMessage
from common.http import Change
from common.ids import derived_id, new_id, order_number
from common.messaging import outbox
from common.service import add_act
from common.telemetry import current_traceparent, scrub_text
from webhook_gateway.hooks.model import ORDER_CREATED, REPLAY_OF, SERVICE, WEBSITE
from webhook_gateway.rescue.mend import read_good_order
from webhook_gateway.rescue.model import Act, LockedOrder, State, after
from webhook_gateway.rescue.store import EndangeredStore
from webhook_gateway.rescue.views import Resubmitted


async def resubmit(
    change: Change,
    store: EndangeredStore,
    endangered_id: str,
    *,
    mended: object | None,
    now: datetime,
    replica: str,
    currency: str,
) -> Resubmitted:
    """Publish an endangered order as a delivery of its own; ``mended`` replaces the body (a JSON value). Raises as ``mend`` does."""
    found = await store.lock(change.connection, endangered_id)
    hook, state = resubmitted(
        found,
        mended,
        now=now,
        replica=replica,
        currency=currency,
        actor=change.principal.name,
        why=scrub_text(change.reason),
    )
    number = hook.number or ""
    await store.save_resubmitted(change.connection, endangered_id, number=number, body=hook.body, state=state, at=now)
    await outbox.add(change.connection, hook.to_envelope())
    await change.record(
        "endangered_order.resubmit",
        f"endangered:{endangered_id}",
        before={"state": found.state},
        after={"state": state, "number": number, "mended": mended is not None},
    )
    await add_act(
        change,
        "endangered_order.resubmitted",
        number,
        "The endangered order was resubmitted" if mended is None else "The endangered order was mended and resubmitted",
        service=SERVICE,
        details={"delivery_id": hook.delivery_id, "endangered_id": endangered_id},
        now=now,
    )
    return Resubmitted(
        id=endangered_id,
        state=state,
        delivery_id=hook.delivery_id,
        event=hook.event,
        number=number,
        dry_run=change.dry_run,
    )


def resubmitted(
    found: LockedOrder,
    mended: object | None,
    *,
    now: datetime,
    replica: str,
    currency: str,
    actor: str,
    why: str,
) -> tuple[IntakeMessage, State]:
    """Return what is published, and the order's new state. The order's time is when its customer placed it.

    The same endangered order always becomes the same order: it is called by the body's ``externalId``, else by what the first try was
    called by, else by the id of its record.
    """
    state = after(found.state, Act.RESUBMIT, number=found.order.number)
    body = found.body if mended is None else orjson.dumps(mended)
    order = read_good_order(body)
    external_id = order.external_id or found.external_id or found.order.id
    fresh = new_id()
    hook = IntakeMessage(
        type=HOOK_RECEIVED,
        event_id=derived_id("replay", fresh),
        delivery_id=fresh,
        source=WEBSITE,
        event=ORDER_CREATED,
        body_form="payload",
        body=body,
        received_at=now,
        replica=replica,
        number=order_number(WEBSITE, external_id),
        external_id=external_id,
        digest=order.digest,
        reason=REPLAY_OF + found.order.id,
        currency=currency,
        traceparent=current_traceparent(),
        occurred_at=found.order.received_at,
        actor=actor,
        why=why,
    )
    return hook, state
