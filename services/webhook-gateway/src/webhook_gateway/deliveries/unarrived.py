"""Orders on their way from an acknowledged ``order.created`` to the orchestrator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any

from common.postgres import Connection, Database, Record

# Both sides insert in the order of the numbers, so that they cannot deadlock.
_EXPECT = """
INSERT INTO created_orders AS c (number, source, external_id, acknowledged_at)
SELECT number, min(source), min(external_id), min(acknowledged_at)
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS new (number, source, external_id, acknowledged_at)
GROUP BY number ORDER BY number
ON CONFLICT (number) DO UPDATE
SET acknowledged_at = excluded.acknowledged_at, source = excluded.source, external_id = excluded.external_id
WHERE c.acknowledged_at IS NULL
"""
_ARRIVED = """
INSERT INTO created_orders AS c (number, arrived_at)
SELECT DISTINCT number, now() FROM unnest($1::text[]) AS new (number) ORDER BY number
ON CONFLICT (number) DO UPDATE SET arrived_at = excluded.arrived_at WHERE c.arrived_at IS NULL
"""
_AWAITED = "acknowledged_at IS NOT NULL AND arrived_at IS NULL AND released_at IS NULL"
_COUNT = f"SELECT count(*) AS count, min(acknowledged_at) AS oldest FROM created_orders WHERE {_AWAITED}"  # noqa: S608 - a constant
_PAGE = f"""
SELECT number, source, external_id, acknowledged_at, extract(epoch FROM now() - acknowledged_at)::float8 AS age_seconds
FROM created_orders
WHERE {_AWAITED} AND ($1::timestamptz IS NULL OR (acknowledged_at, number) > ($1, $2::text))
ORDER BY acknowledged_at, number LIMIT $3
"""  # noqa: S608 - a constant


_ARRIVALS = """
SELECT count(*) AS acknowledged, count(arrived_at) AS arrived,
       count(*) FILTER (WHERE arrived_at IS NULL AND released_at IS NOT NULL) AS given_up,
       count(*) FILTER (WHERE arrived_at IS NULL AND released_at IS NULL) AS waiting
FROM created_orders WHERE acknowledged_at >= $1 AND acknowledged_at < $2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitedOrder:
    """An order whose ``order.created`` was acknowledged: the orchestrator has to announce it."""

    number: str
    source: str
    external_id: str | None
    acknowledged_at: datetime


async def expect(connection: Connection, orders: Sequence[AwaitedOrder]) -> None:
    """Note acknowledged orders, in the caller's transaction; the first acknowledgement counts."""
    if orders:
        await connection.execute(_EXPECT, *zip(*map(astuple, orders), strict=True))  # in the order of the columns


async def arrived(connection: Connection, numbers: Sequence[str]) -> None:
    """Note that the orchestrator has announced these orders, in the caller's transaction."""
    await connection.execute(_ARRIVED, list(numbers))


class UnarrivedOrders:
    """What is acknowledged and not yet at the orchestrator."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def count(self) -> tuple[int, datetime | None]:
        """Return how many there are, and when the oldest was acknowledged."""
        async with self.database.acquire() as connection:
            row = await connection.fetchrow(_COUNT)
        return (0, None) if row is None else (row["count"], row["oldest"])

    async def arrivals(self, since: datetime, until: datetime) -> Record | None:
        """Return how many orders were acknowledged in a period and what became of them."""
        async with self.database.acquire() as connection:
            return await connection.fetchrow(_ARRIVALS, since, until)

    @staticmethod
    def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
        """Return the statement of them, the oldest first, behind the position (acknowledged_at, number), and its values."""
        return _PAGE, [*(after or (None, None)), limit]
