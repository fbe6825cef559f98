"""A person decides that a quarantined delivery needs nothing more."""

from __future__ import annotations

import uuid
from datetime import datetime

from common.errors import Conflict, NotFound
from common.http import Change
from common.service import add_act
from webhook_gateway.deliveries import decisions
from webhook_gateway.deliveries.quarantine import end_when_decided
from webhook_gateway.deliveries.views import Dismissed
from webhook_gateway.hooks.model import ORDER_CREATED, SERVICE, Outcome

_FIND = """
SELECT d.outcome, d.event, d.number, k.actor AS dismissed_by FROM deliveries AS d
LEFT JOIN delivery_dismissals AS k USING (delivery_id) WHERE d.delivery_id = $1
"""
_DISMISS = "INSERT INTO delivery_dismissals (delivery_id, actor) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"
# Nobody waits any more for the order that it was to create, unless another delivery creates it.
_RELEASE = """
UPDATE created_orders SET released_at = now()
WHERE number = $1 AND arrived_at IS NULL AND released_at IS NULL
  AND NOT EXISTS (
      SELECT FROM deliveries AS d WHERE d.number = $1 AND d.event = 'order.created' AND d.outcome IN ('confirmed', 'spooled', 'replayed')
  )
"""


async def dismiss(change: Change, delivery_id: uuid.UUID, *, now: datetime) -> Dismissed:
    """Dismiss a delivery; retention may drop it from now on. Raises ``NotFound``, ``Conflict`` unless it is quarantined and undecided."""
    connection = change.connection
    await decisions.lock(connection, [str(delivery_id)])
    found = await connection.fetchrow(_FIND, delivery_id)
    if found is None:
        raise NotFound("no such delivery")
    if found["outcome"] != Outcome.QUARANTINED:
        raise Conflict(f"this delivery is not quarantined but {found['outcome']}")
    if found["dismissed_by"] is not None:
        raise Conflict(f"{found['dismissed_by']} has dismissed it already")
    if not await connection.fetchval(_DISMISS, delivery_id, change.principal.name):
        raise Conflict("somebody has just dismissed it")
    if found["event"] == ORDER_CREATED and found["number"] is not None:
        await connection.execute(_RELEASE, found["number"])
    await end_when_decided(change, delivery_id, now=now)
    await change.record(
        "delivery.dismiss", f"delivery:{delivery_id}", before={"outcome": found["outcome"]}, after={"dismissed": True}
    )
    await add_act(
        change,
        "hook.dismissed",
        found["number"],
        f"{found['event']}: dismissed from quarantine",
        service=SERVICE,
        details={"delivery_id": str(delivery_id)},
        now=now,
    )
    return Dismissed(delivery_id=str(delivery_id), dismissed=not change.dry_run)
