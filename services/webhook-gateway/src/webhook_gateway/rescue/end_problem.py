"""Ends the problem of an endangered order when its customer has the order, or a person says that nothing is left to do."""

from __future__ import annotations

from datetime import datetime

from common.http import Change
from common.service import publish
from webhook_gateway.rescue.alerts import incident_over
from webhook_gateway.rescue.model import LockedOrder, anonymous_fingerprint, endangered_fingerprint
from webhook_gateway.rescue.store import strangers_left


async def end_problem(change: Change, found: LockedOrder, what: str, *, now: datetime) -> None:
    """Publish the end of its problem, with who ended it; that of strangers with the last order of their network and hour.

    To be called in the transaction that holds the order, after it was saved. A second end of one problem changes nothing.
    """
    order, summary = found.order, f"{what} ({change.principal.name})"
    if not order.anonymous:
        over = incident_over(endangered_fingerprint(order.id), found.number, now=now, summary=summary)
        await publish(change, over)
    elif not await strangers_left(change.connection, order.network, order.received_at):
        fingerprint = anonymous_fingerprint(order.network, order.received_at)
        await publish(change, incident_over(fingerprint, None, now=now, summary=summary))
