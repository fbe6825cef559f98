"""How far the edge's log has been read, and its counts, in the caller's transaction."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime

from common.postgres import Connection
from webhook_gateway.edge.model import REPLICA

_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('webhook_gateway.edge_log'))"
_POSITION = "SELECT position FROM edge_log_files WHERE first_line = $1"
_SAVE_POSITION = """
INSERT INTO edge_log_files AS f (first_line, position) VALUES ($1, $2)
ON CONFLICT (first_line) DO UPDATE SET position = excluded.position, read_at = now()
"""
_FORGET = "DELETE FROM edge_log_files WHERE read_at < now() - interval '60 days'"
# Added up, not absolute: the position moves in the same transaction.
_COUNT = """
INSERT INTO refusals AS kept (bucket, replica, run, source, reason, count)
SELECT bucket, $1, $2, source, reason, count FROM unnest($3::timestamptz[], $4::text[], $5::text[], $6::bigint[])
       AS new (bucket, source, reason, count)
ORDER BY bucket, source, reason
ON CONFLICT (bucket, replica, run, source, reason) DO UPDATE SET count = kept.count + excluded.count
"""
_RUN = uuid.UUID(int=0)
_MINE = """
SELECT headers ->> 'x-edge-request' AS edge_id FROM deliveries
WHERE received_at BETWEEN $1::timestamptz - interval '20 seconds' AND $2::timestamptz + interval '5 seconds'
  AND event = 'order.created' AND body_form = 'payload' AND headers ->> 'x-edge-request' = ANY($3::text[])
"""


async def is_mine(connection: Connection) -> bool:
    """Say whether this replica reads the log until the transaction ends: one at a time does."""
    return bool(await connection.fetchval(_LOCK))


async def position(connection: Connection, first_line: bytes) -> int:
    """Return how far a file has been read."""
    return int(await connection.fetchval(_POSITION, first_line) or 0)


async def save_position(connection: Connection, first_line: bytes, to: int) -> None:
    """Note how far a file has been read."""
    await connection.execute(_SAVE_POSITION, first_line, to)


async def forget_positions(connection: Connection) -> None:
    """Forget files that are long gone."""
    await connection.execute(_FORGET)


async def count(connection: Connection, counts: Mapping[tuple[datetime, str, str], int]) -> None:
    """Add refusals to the ledger, by (second, source, reason)."""
    if counts:
        buckets, sources, reasons = zip(*counts, strict=True)
        await connection.execute(
            _COUNT, REPLICA, _RUN, list(buckets), list(sources), list(reasons), list(counts.values())
        )


async def known_requests(
    connection: Connection, since: datetime, until: datetime, edge_ids: list[str]
) -> frozenset[str]:
    """Return which of the requests a gateway has recorded all the same, though nginx waited in vain for its answer."""
    rows = await connection.fetch(_MINE, since, until, edge_ids)
    return frozenset(row["edge_id"] for row in rows)
