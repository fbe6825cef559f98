"""Settles endangered orders whose customers tried again and succeeded, also where nothing but customer and basket says so."""

from __future__ import annotations

import uuid

from common.messaging import outbox
from common.postgres import Database, Record
from common.service import apart, kept_apart
from common.telemetry import get_logger
from webhook_gateway.rescue.end_problem import ended_by_arrival
from webhook_gateway.rescue.model import WITHIN
from webhook_gateway.rescue.record import ArrivedOrder
from webhook_gateway.website.basket import same_goods

_log = get_logger()

_PAIRS = """
SELECT e.id, a.number
FROM endangered_orders AS e JOIN website_arrivals AS a ON a.source = e.source AND a.{by} = e.{by}
WHERE e.state IN ('open', 'new', 'mended') AND e.number IS NULL AND e.received_at > now() - 2 * $1::interval
  AND a.received_at >= e.received_at AND a.received_at < e.received_at + $1::interval
"""
_NAMES = """
ARRAY(SELECT CASE jsonb_typeof(p) WHEN 'object' THEN coalesce(p ->> 'id', '') ELSE p #>> '{{}}' END
      FROM jsonb_array_elements({of}.basket) AS p ORDER BY 1)
"""
# Only who has the same goods comes out, so that a thousand other orders of one phone hide nothing and are not read again every round.
_CANDIDATES = f"""
SELECT e.id::text AS endangered_id, e.basket AS lost, a.basket AS taken, a.number, a.received_at
FROM ({_PAIRS.format(by="phone")} UNION {_PAIRS.format(by="email")}) AS pair
JOIN endangered_orders AS e ON e.id = pair.id JOIN website_arrivals AS a ON a.number = pair.number
WHERE {_NAMES.format(of="e")} = {_NAMES.format(of="a")} AND e.basket <> '[]'
ORDER BY a.received_at
"""  # noqa: S608 - constants
_PAGE = 200
_SETTLE = """
UPDATE endangered_orders SET state = 'resubmitted', number = $2, arrived_at = $3
WHERE id = $1 AND state IN ('open', 'new', 'mended') AND number IS NULL
RETURNING id::text AS endangered_id, number, arrived_at, anonymous, network, received_at, now() AS settled_at
"""


class SettleSecondTries:
    """Looks again and again, so that it does not matter in which order the two were recorded. Safe to run in every replica at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self) -> int:
        """Settle what can be; return how many. An order of the same goods, taken within a day after, is the customer's second try."""
        settled = 0
        for row in await self._second_tries():
            name = f"endangered order {row['endangered_id']}"
            if name not in kept_apart():
                with apart(name):
                    settled += await self._settle(row)
        if settled:
            _log.info("endangered_orders_settled", count=settled)
        return settled

    async def _settle(self, row: Record) -> bool:
        async with self._database.transaction() as connection:
            order = uuid.UUID(row["endangered_id"])
            found = await connection.fetchrow(_SETTLE, order, row["number"], row["received_at"])
            if found is not None:
                for over in await ended_by_arrival(connection, [ArrivedOrder(**dict(found))]):
                    await outbox.add(connection, over)
        return found is not None

    async def _second_tries(self) -> list[Record]:
        """Return the first second try of each endangered order. All are looked at, a page at a time."""
        found: dict[str, Record] = {}
        async with self._database.transaction() as connection:
            async for row in connection.cursor(_CANDIDATES, WITHIN, prefetch=_PAGE):
                if row["endangered_id"] not in found and same_goods(row["lost"], row["taken"]):
                    found[row["endangered_id"]] = row
        return list(found.values())
