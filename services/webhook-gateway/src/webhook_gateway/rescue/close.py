"""A person closes an endangered order."""

from __future__ import annotations

from datetime import datetime

from common.contracts.alerts import ProblemResolvedV1
from common.contracts.envelope import Envelope
from common.http import Change
from common.ids import derived_id
from common.messaging import outbox
from common.service import add_act
from common.telemetry import current_traceparent
from webhook_gateway.hooks.model import SERVICE
from webhook_gateway.rescue.model import Act, LockedOrder, after, endangered_fingerprint
from webhook_gateway.rescue.store import EndangeredStore
from webhook_gateway.rescue.views import Rescued


async def close(change: Change, store: EndangeredStore, endangered_id: str, *, now: datetime) -> Rescued:
    """Say that nothing more is to be done; the incident ends too. Raises ``NotFound``, ``Conflict`` when it is closed already."""
    found = await store.lock(change.connection, endangered_id)
    state = after(found.state, Act.CLOSE, number=found.order.number)
    await store.save_closed(change.connection, endangered_id, at=now)
    await outbox.add(change.connection, incident_over(found, now=now))
    await change.record(
        "endangered_order.close", f"endangered:{endangered_id}", before={"state": found.state}, after={"state": state}
    )
    await add_act(
        change, "endangered_order.closed", found.number, "The endangered order was closed", service=SERVICE, now=now
    )
    return Rescued(id=endangered_id, state=state, dry_run=change.dry_run)


def incident_over(found: LockedOrder, *, now: datetime) -> Envelope:
    """Return the end of the order's incident."""
    over = ProblemResolvedV1(
        fingerprint=endangered_fingerprint(found.order.id),
        summary="Заказ с сайта разобран",
        service=SERVICE,
        occurred_at=now,
    )
    return Envelope.of(
        over,
        event_id=derived_id("problem-resolved", found.order.id),
        source=f"/{SERVICE}",
        subject=found.order.number,
        time=now,
        traceparent=current_traceparent(),
    )
