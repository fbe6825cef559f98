"""What waits in the orchestrator."""

from __future__ import annotations

from collections.abc import Sequence

from common.postgres import Connection, Database, Record
from common.service import WaitingQueue, queue

_WAITING = """
SELECT count(*) FILTER (WHERE lane = 0) AS steps, count(*) FILTER (WHERE lane = 1) AS calls,
       coalesce(extract(epoch FROM now() - min(ready_at) FILTER (WHERE lane = 0)), 0)::float8 AS steps_oldest,
       coalesce(extract(epoch FROM now() - min(ready_at) FILTER (WHERE lane = 1)), 0)::float8 AS calls_oldest,
       (SELECT count(*) FROM parked_order) AS parked,
       (SELECT coalesce(extract(epoch FROM now() - min(since)), 0)::float8 FROM parked_order) AS parked_oldest
FROM workflow_ready WHERE owner IS NULL AND ready_at <= now()
"""


async def read_waiting(connection: Connection) -> Record:
    """Return how many workflows wait for a worker, by lane, and how many orders for their creation; the oldest of each in seconds."""
    row = await connection.fetchrow(_WAITING)
    assert row is not None  # noqa: S101 - it is an aggregate
    return row


async def orders_waiting(database: Database) -> Sequence[WaitingQueue]:
    """Read workflows that could go on, those that ask other services among them, and orders whose creation has not come."""
    async with database.acquire() as connection:
        row = await read_waiting(connection)
    return [
        queue("workflows", row["steps"], row["steps_oldest"], late_after=30.0),
        queue("calls", row["calls"], row["calls_oldest"], late_after=120.0),
        queue("parked_orders", row["parked"], row["parked_oldest"], late_after=3600.0),
    ]
