"""A person notes that the customer of an endangered order was called."""

from __future__ import annotations

from datetime import datetime

from common.http import Change
from common.service import add_act
from webhook_gateway.hooks.model import SERVICE
from webhook_gateway.rescue.model import Act, after
from webhook_gateway.rescue.said import said
from webhook_gateway.rescue.store import EndangeredStore
from webhook_gateway.rescue.views import Rescued


async def call(change: Change, endangered_id: str, *, store: EndangeredStore, reached: bool, now: datetime) -> Rescued:
    """Note the call; the order stays in its state. Raises ``NotFound``, ``Conflict`` when it is closed."""
    found = await store.lock(change.connection, endangered_id)
    state = after(found.state, Act.CALL, number=found.order.number)
    await store.save_called(change.connection, endangered_id, by=change.principal.name, reached=reached, at=now)
    await add_act(
        change,
        "endangered_order.called",
        found.order.number if found.order.anonymous else found.number,  # a stranger's request is in no order's timeline
        "The customer was called and answered" if reached else "The customer was called and did not answer",
        service=SERVICE,
        reason=said(found, change.reason),
        details={"reached": "yes" if reached else "no"},
        now=now,
    )
    await change.record(
        "endangered_order.call",
        f"endangered:{endangered_id}",
        before={"state": found.state},
        after={"reached": reached},
    )
    return Rescued(id=endangered_id, state=state, dry_run=change.dry_run)
