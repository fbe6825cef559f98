"""Deciding that a quarantined delivery needs nothing more, in the caller's transaction."""

from __future__ import annotations

import uuid

from common.postgres import Connection, Record

_FIND = """
SELECT d.outcome, d.event, d.number, k.actor AS dismissed_by FROM deliveries AS d
LEFT JOIN delivery_dismissals AS k USING (delivery_id) WHERE d.delivery_id = $1
"""
_DISMISS = "INSERT INTO delivery_dismissals (delivery_id, actor) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_RELEASE = """
UPDATE created_orders SET released_at = now()
WHERE number = $1 AND arrived_at IS NULL AND released_at IS NULL
  AND NOT EXISTS (
      SELECT FROM deliveries AS d WHERE d.number = $1 AND d.event = 'order.created' AND d.outcome IN ('confirmed', 'spooled', 'replayed')
  )
"""


class Dismissals:
    """Both methods work in the transaction of the connection they are given."""

    async def find(self, connection: Connection, delivery_id: uuid.UUID) -> Record | None:
        """Return outcome, event, number and ``dismissed_by`` of a delivery, or None."""
        return await connection.fetchrow(_FIND, delivery_id)

    async def dismiss(self, connection: Connection, delivery_id: uuid.UUID, *, actor: str, created: str | None) -> None:
        """Dismiss a delivery. ``created``: the number of the order that it was to create, which nobody waits for any more, unless
        another delivery creates it."""
        await connection.execute(_DISMISS, delivery_id, actor)
        if created is not None:
            await connection.execute(_RELEASE, created)
