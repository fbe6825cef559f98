"""A person makes a real order of an endangered one."""

from __future__ import annotations

from datetime import datetime

import orjson

from common.contracts.intake import HOOK_RECEIVED, IntakeMessage
from common.errors import ChangedSince
from common.http import Change
from common.ids import derived_id, new_id, order_number
from common.messaging import outbox
from common.service import add_act
from common.telemetry import current_traceparent
from webhook_gateway.hooks.model import ORDER_CREATED, REPLAY_OF, SERVICE
from webhook_gateway.hooks.sending import Sending
from webhook_gateway.rescue.duplicates import find_duplicates
from webhook_gateway.rescue.end_problem import end_problem
from webhook_gateway.rescue.mend import CurrencyOf, read_good_order
from webhook_gateway.rescue.model import Act, LikelyDuplicates, LockedOrder, State, after
from webhook_gateway.rescue.said import said
from webhook_gateway.rescue.store import EndangeredStore
from webhook_gateway.rescue.views import LikelyDuplicate, Resubmitted, Understood
from webhook_gateway.website.basket import rescue_from
from webhook_gateway.website.model import Category


async def resubmit(
    change: Change,
    endangered_id: str,
    *,
    store: EndangeredStore,
    mended: object | None,
    despite_duplicates: bool,
    preview: bool,
    sending: Sending,
    currency_of: CurrencyOf,
    expected_version: int | None = None,
) -> Resubmitted:
    """Publish an endangered order as a delivery of its own; ``mended`` replaces the body (a JSON value). Its customer has an order from
    then on, so its problem ends in the same transaction; a report may be written all the same.

    Raises as ``mend`` does (``ChangedSince`` when it is not at ``expected_version``), and ``LikelyDuplicates`` when there are any, unless
    ``despite_duplicates``, or this is only a ``preview``, which names them.
    """
    found = await store.lock(change.connection, endangered_id)
    ChangedSince.require(f"endangered order {endangered_id}", at=found.version, expected=expected_version)
    order, now = found.order, sending.clock.now()
    hook, state = resubmitted(
        found,
        mended,
        now=now,
        replica=sending.replica,
        currency=currency_of(order.source),
        actor=change.principal.name,
        why=said(found, change.reason),
    )
    number = hook.number or ""
    duplicates = await find_duplicates(
        change.connection,
        rescue_from(hook.body),
        source=order.source,
        endangered_id=endangered_id,
        number=number,
        received_at=order.received_at,
    )
    if duplicates and not (despite_duplicates or preview):
        raise LikelyDuplicates.of(duplicates)
    await store.save_resubmitted(change.connection, endangered_id, number=number, body=hook.body, state=state, at=now)
    await outbox.add(change.connection, hook.to_envelope())
    change.tells(*await sending.foretell(change.connection, hook))
    await end_problem(change, found, f"Заказ с сайта отправлен заново: {number}", now=now)
    await change.record(
        "endangered_order.resubmit",
        f"endangered:{endangered_id}",
        before={"state": found.state},
        after={
            "state": state,
            "number": number,
            "mended": mended is not None,
            "despite_duplicates": [one.name for one in duplicates],
        },
    )
    await add_act(
        change,
        "endangered_order.resubmitted",
        number,
        "The endangered order was resubmitted" if mended is None else "The endangered order was mended and resubmitted",
        service=SERVICE,
        reason=said(found, change.reason),
        details={"delivery_id": hook.delivery_id, "endangered_id": endangered_id},
        now=now,
    )
    return Resubmitted(
        id=endangered_id,
        state=state,
        delivery_id=hook.delivery_id,
        event=hook.event,
        number=number,
        duplicates=[LikelyDuplicate.of(one) for one in duplicates],
        dry_run=change.dry_run,
        **Understood.of(read_good_order(hook.body, currency=currency_of(order.source))).model_dump(),
    )


def resubmitted(
    found: LockedOrder, mended: object | None, *, now: datetime, replica: str, currency: str, actor: str, why: str
) -> tuple[IntakeMessage, State]:
    """Return what is published, and the order's new state. The order's time is when its customer placed it.

    The same endangered order always becomes the same order: it is called by the body's ``externalId``, else by what the first try was
    called by, else by the id of its record. One whose name was another order's is called by the id of its record.
    """
    state = after(found.state, Act.RESUBMIT, number=found.order.number)
    body = found.body if mended is None else orjson.dumps(mended)
    order = read_good_order(body, currency=currency)
    lost = found.order
    names = [order.external_id, lost.external_id]
    if lost.category == Category.KEY_REUSED:
        names = [name for name in names if name != lost.external_id]
    external_id = next((name for name in names if name is not None), lost.id)
    fresh = new_id()
    hook = IntakeMessage(
        type=HOOK_RECEIVED,
        event_id=derived_id("replay", fresh),
        delivery_id=fresh,
        source=lost.source,
        event=ORDER_CREATED,
        body_form="payload",
        body=body,
        received_at=now,
        replica=replica,
        number=order_number(lost.source, external_id),
        external_id=external_id,
        digest=order.digest,
        reason=REPLAY_OF + lost.id,
        currency=currency,
        traceparent=current_traceparent(),
        occurred_at=lost.received_at,
        actor=actor,
        why=why,
    )
    return hook, state
