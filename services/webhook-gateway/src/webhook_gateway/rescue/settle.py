"""Settles endangered orders whose customers tried again and succeeded, also where nothing but customer and basket says so."""

from __future__ import annotations

import uuid

from common.messaging import outbox
from common.postgres import Database
from common.telemetry import get_logger
from webhook_gateway.rescue.alerts import no_longer_endangered
from webhook_gateway.rescue.model import WITHIN
from webhook_gateway.website.basket import same_goods

_log = get_logger()

_MATCH = """
SELECT e.id::text AS endangered_id, e.basket AS lost, a.basket AS taken, a.number, a.received_at
FROM endangered_orders AS e JOIN website_arrivals AS a ON a.source = e.source AND a.{by} = e.{by}
WHERE e.state IN ('open', 'new', 'mended') AND e.number IS NULL AND e.received_at > now() - 2 * $1::interval
  AND a.received_at >= e.received_at AND a.received_at < e.received_at + $1::interval
"""
_CANDIDATES = f"{_MATCH.format(by='phone')} UNION {_MATCH.format(by='email')} ORDER BY received_at LIMIT 1000"
_SETTLE = """
UPDATE endangered_orders SET state = 'resubmitted', number = $2, arrived_at = $3
WHERE id = $1 AND state IN ('open', 'new', 'mended') AND number IS NULL RETURNING true
"""


class SettleSecondTries:
    """Looks again and again, so that it does not matter in which order the two were recorded. Safe to run in every replica at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self) -> int:
        """Settle what can be; return how many. An order of the same goods, taken within a day after, is the customer's second try."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_CANDIDATES, WITHIN)
        settled = 0
        for row in rows:
            if not same_goods(row["lost"], row["taken"]):
                continue
            async with self._database.transaction() as connection:
                order = uuid.UUID(row["endangered_id"])
                if await connection.fetchval(_SETTLE, order, row["number"], row["received_at"]):
                    over = no_longer_endangered(row["endangered_id"], row["number"], at=row["received_at"])
                    await outbox.add(connection, over)
                    settled += 1
        if settled:
            _log.info("endangered_orders_settled", count=settled)
        return settled
