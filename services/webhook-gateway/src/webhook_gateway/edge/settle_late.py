"""Settles endangered orders that nginx gave up and that a gateway recorded all the same, only later than the log was read."""

from __future__ import annotations

import uuid

from common.clock import Clock
from common.contracts.intake import HOOK_RECEIVED
from common.messaging import outbox
from common.postgres import Connection, Database, Record
from common.service import apart, kept_apart
from common.telemetry import get_logger
from webhook_gateway.edge.model import REPLICA
from webhook_gateway.rescue.alerts import incident_over, taken_late
from webhook_gateway.rescue.model import endangered_fingerprint

_log = get_logger()

# Of several records of one request the one that was taken counts.
_LATE = """
SELECT DISTINCT ON (e.id) e.id, late.number, late.received_at, late.type = $1 AS taken
FROM endangered_orders AS e
JOIN deliveries AS seen ON seen.delivery_id = e.id AND seen.received_at = e.received_at
JOIN deliveries AS late ON late.headers ->> 'x-edge-request' = seen.headers ->> 'x-edge-request'
     AND late.event = 'order.created' AND late.body_form = 'payload' AND late.replica <> $2
     AND late.received_at BETWEEN e.received_at - interval '20 seconds' AND e.received_at + interval '5 seconds'
WHERE e.replica = $2 AND e.state IN ('open', 'new', 'mended') AND e.number IS NULL AND e.received_at > now() - interval '7 days'
ORDER BY e.id, taken DESC, late.received_at
"""
_TAKEN = """
UPDATE endangered_orders SET state = 'resubmitted', number = $2, arrived_at = $3
WHERE id = $1 AND state IN ('open', 'new', 'mended') AND number IS NULL RETURNING true
"""
_REFUSED = """
UPDATE endangered_orders SET state = 'closed', outcome = 'done', closed_at = $2
WHERE id = $1 AND state IN ('open', 'new', 'mended') AND number IS NULL RETURNING true
"""


class SettleLateOrders:
    """Looks again and again: an order may have waited in a spool for hours. Safe to run in every replica at once."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def __call__(self) -> int:
        """Settle what can be; return how many. One that a gateway refused is endangered there, with its body: one record is enough."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_LATE, HOOK_RECEIVED, REPLICA)
        settled = 0
        for row in rows:
            name = f"endangered order {row['id']}"
            if name not in kept_apart():
                with apart(name):
                    async with self._database.transaction() as connection:
                        settled += await self._settle(connection, row)
        if settled:
            _log.info("late_orders_settled", count=settled)
        return settled

    async def _settle(self, connection: Connection, row: Record) -> bool:
        order: uuid.UUID = row["id"]
        if row["taken"]:
            done = await connection.fetchval(_TAKEN, order, row["number"], row["received_at"])
            over = taken_late(str(order), row["number"], at=row["received_at"])
        else:
            now = self._clock.now()
            done = await connection.fetchval(_REFUSED, order, now)
            over = incident_over(endangered_fingerprint(str(order)), None, now=now)
        if done:
            await outbox.add(connection, over)
        return bool(done)
