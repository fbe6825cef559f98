"""Sources in the gateway's database: when and how much they sent, and which of them is refused. Never on the way of a hook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from common.postgres import Connection, Database
from webhook_gateway.source_watch.model import WEEKS, History, Refused, Week

_KNOWN = """
SELECT (SELECT array_agg(DISTINCT source) FROM source_activity WHERE source = ANY($1::text[])) AS right_before,
       (SELECT array_agg(number) FROM created_orders WHERE number = ANY($2::text[])) AS numbers
"""
_OPEN = """
INSERT INTO source_refusals AS kept (source, opened_at, last_at, count, status, external_id, digest)
VALUES ($1, $2, $2, $3, $4, $5, $6)
ON CONFLICT (source) DO UPDATE SET
    opened_at = coalesce(kept.opened_at, excluded.opened_at), last_at = greatest(kept.last_at, excluded.last_at),
    count = CASE WHEN kept.opened_at IS NULL THEN 0 ELSE kept.count END + excluded.count, status = excluded.status,
    external_id = coalesce(excluded.external_id, kept.external_id), digest = coalesce(excluded.digest, kept.digest)
RETURNING opened_at = $2 AND count = $3 AS opened
"""
_ANY_OPEN = "SELECT EXISTS (SELECT FROM source_refusals WHERE opened_at IS NOT NULL)"
_CLOSE = """
UPDATE source_refusals AS r SET opened_at = NULL FROM (
    SELECT source, max(last_genuine_at) AS last_genuine_at FROM source_activity GROUP BY source
) AS a
WHERE a.source = r.source AND r.opened_at IS NOT NULL AND a.last_genuine_at > r.last_at AND r.last_at < $1
RETURNING r.source, a.last_genuine_at
"""
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('webhook_gateway.source_hours'))"
_COUNT = """
INSERT INTO source_hours AS kept (source, hour, count)
SELECT source, to_timestamp(floor(extract(epoch FROM bucket) / $2) * $2), sum(taken) FROM received_requests
WHERE bucket >= $1 AND taken > 0 GROUP BY 1, 2
ON CONFLICT (source, hour) DO UPDATE SET count = greatest(kept.count, excluded.count)
"""
_FORGET = "DELETE FROM source_hours WHERE hour < $1"
_LAST = "SELECT source, max(last_genuine_at) AS at FROM source_activity GROUP BY source"
_HISTORY = """
SELECT source, hour, count, min(hour) OVER (PARTITION BY source) AS first FROM source_hours WHERE hour >= $1
"""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A source that was refused and is genuine again."""

    source: str
    at: datetime


class SourceStore:
    """Each method but ``open_refusal`` is a transaction of its own; repeating it changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, sources: Sequence[str], numbers: Sequence[str]) -> tuple[frozenset[str], frozenset[str]]:
        """Return which of the sources ever were genuine, and which of the numbers are orders that we acknowledged."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(_KNOWN, list(sources), list(numbers))
        if row is None:
            return frozenset(), frozenset()
        return frozenset(row["right_before"] or ()), frozenset(row["numbers"] or ())

    async def count_slots(self, since: datetime, week: Week) -> None:
        """Add up what came in since the beginning of a slot. Only one replica at a time does it."""
        async with self._database.transaction() as connection:
            if await connection.fetchval(_LOCK):
                await connection.execute(_COUNT, since, week.slot.total_seconds())
                await connection.execute(_FORGET, since - (WEEKS + 1) * week.period)

    async def last_genuine(self) -> Mapping[str, datetime]:
        """Return when each source was last genuine, at any replica."""
        async with self._database.acquire() as connection:
            return {row["source"]: row["at"] for row in await connection.fetch(_LAST)}

    async def history(self, now: datetime, week: Week) -> Mapping[str, History]:
        """Return what came of each source in the weeks that count."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_HISTORY, week.start_of(now) - (WEEKS + 1) * week.period)
        counts: dict[str, dict[datetime, int]] = {}
        first: dict[str, datetime] = {}
        for row in rows:
            counts.setdefault(row["source"], {})[row["hour"]] = row["count"]
            first[row["source"]] = row["first"]
        return {name: History(source=name, counts=found, first=first[name]) for name, found in counts.items()}


async def open_refusal(connection: Connection, source: str, first: Refused, count: int) -> bool:
    """Note that a source is refused, in the caller's transaction; return whether that is new."""
    claim = first.claim
    return bool(
        await connection.fetchval(
            _OPEN,
            source,
            first.at,
            count,
            first.status,
            None if claim is None else claim.external_id,
            None if claim is None else claim.digest,
        )
    )


async def any_refusals(connection: Connection) -> bool:
    """Tell whether the refusals of any source have not ended."""
    return bool(await connection.fetchval(_ANY_OPEN))


async def close_refusals(connection: Connection, quiet_since: datetime) -> Sequence[Recovered]:
    """End the refusals of sources that were genuine since and were not refused after that moment, in the caller's transaction."""
    rows = await connection.fetch(_CLOSE, quiet_since)
    return [Recovered(row["source"], row["last_genuine_at"]) for row in rows]
