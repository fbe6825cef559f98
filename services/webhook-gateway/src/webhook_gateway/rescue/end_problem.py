"""Ends the problem of an endangered order when its customer has the order, or a person says that nothing is left to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from common.contracts.envelope import Envelope
from common.http import Change
from common.postgres import Connection
from common.service import publish
from webhook_gateway.rescue.alerts import incident_over, no_longer_endangered
from webhook_gateway.rescue.model import LockedOrder, anonymous_fingerprint, endangered_fingerprint
from webhook_gateway.rescue.record import ArrivedOrder
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


async def ended_by_arrival(connection: Connection, arrived: Sequence[ArrivedOrder]) -> list[Envelope]:
    """Return the ends of the problems of orders that came again and were taken; one for all strangers of a network and hour.

    To be called in the transaction that settled them. What strangers had has ended once nobody of them is left.
    """
    ends = [
        no_longer_endangered(each.endangered_id, each.number, at=each.arrived_at)
        for each in arrived
        if not each.anonymous
    ]
    strangers = {anonymous_fingerprint(each.network, each.received_at): each for each in arrived if each.anonymous}
    for fingerprint, each in sorted(strangers.items()):
        if not await strangers_left(connection, each.network, each.received_at):
            ends.append(incident_over(fingerprint, None, now=each.settled_at))
    return ends
