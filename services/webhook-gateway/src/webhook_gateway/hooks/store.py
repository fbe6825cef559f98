"""What came in and what was refused, in the gateway's database, for the ledger. Never on the way of a hook."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime

from common.postgres import Database

_SAVE_REFUSALS = """
INSERT INTO refusals AS kept (bucket, replica, run, source, reason, count)
SELECT bucket, $1, $2, source, reason, count
FROM unnest($3::timestamptz[], $4::text[], $5::text[], $6::bigint[]) AS new (bucket, source, reason, count)
ON CONFLICT (bucket, replica, run, source, reason) DO UPDATE SET count = greatest(kept.count, excluded.count)
"""
_SAVE_RECEIVED = """
INSERT INTO received_requests AS kept (bucket, replica, run, source, received, taken)
SELECT bucket, $1, $2, source, received, taken
FROM unnest($3::timestamptz[], $4::text[], $5::bigint[], $6::bigint[]) AS new (bucket, source, received, taken)
ON CONFLICT (bucket, replica, run, source) DO UPDATE
SET received = greatest(kept.received, excluded.received), taken = greatest(kept.taken, excluded.taken)
"""
_SAVE_RUN = """
INSERT INTO counting_runs AS kept (run, replica, began_at, counted_until, ended) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (run) DO UPDATE SET counted_until = greatest(kept.counted_until, excluded.counted_until), ended = excluded.ended
"""
_SAVE_ACTIVITY = """
INSERT INTO source_activity AS kept (source, replica, last_genuine_at)
SELECT source, $1, at FROM unnest($2::text[], $3::timestamptz[]) AS new (source, at)
ON CONFLICT (source, replica) DO UPDATE SET last_genuine_at = greatest(kept.last_genuine_at, excluded.last_genuine_at)
"""
# The delivery may be recorded before or after this; ``settle_disowned`` brings the two together.
_DISOWN = """
INSERT INTO disowned_deliveries (delivery_id, received_at) SELECT * FROM unnest($1::uuid[], $2::timestamptz[]) ON CONFLICT DO NOTHING
"""
_ANY_DISOWNED = "SELECT EXISTS (SELECT FROM disowned_deliveries)"
_SETTLE_DISOWNED = """
UPDATE deliveries AS d SET outcome = 'refused' FROM disowned_deliveries AS r
WHERE d.delivery_id = r.delivery_id AND d.received_at = r.received_at AND d.outcome IN ('confirmed', 'spooled', 'quarantined')
"""


@dataclass(frozen=True, slots=True)
class Refusals:
    """Refusals of one second with one source and reason, an absolute count within one run of one replica."""

    bucket: datetime
    source: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Received:
    """What came in of one source in one second, and how much of it was not refused; absolute counts within one run of one replica."""

    bucket: datetime
    source: str
    received: int
    taken: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One life of a replica. Everything that came in before ``counted_until`` is written; after ``ended`` nothing comes in."""

    id: str
    replica: str
    began_at: datetime
    counted_until: datetime
    ended: bool


@dataclass(frozen=True, slots=True)
class Disowned:
    """A delivery that was answered 503 because no storage path confirmed it, though one may have taken it."""

    delivery_id: str
    received_at: datetime


class RefusalStore:
    """Each method is a transaction of its own; repeating it changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, replica: str, run: str, rows: Sequence[Refusals]) -> None:
        """Write absolute counts."""
        async with self._database.acquire() as connection:
            columns = zip(*map(astuple, rows), strict=True)  # in their order
            await connection.execute(_SAVE_REFUSALS, replica, uuid.UUID(run), *columns)

    async def save_received(self, run: Run, rows: Sequence[Received], last_taken: Mapping[str, datetime]) -> None:
        """Write absolute counts, how far they go, and when each source was last taken."""
        async with self._database.transaction() as connection:
            identity = uuid.UUID(run.id)
            if rows:
                columns = zip(*map(astuple, rows), strict=True)  # in their order
                await connection.execute(_SAVE_RECEIVED, run.replica, identity, *columns)
            if last_taken:
                await connection.execute(_SAVE_ACTIVITY, run.replica, list(last_taken), list(last_taken.values()))
            await connection.execute(_SAVE_RUN, identity, run.replica, run.began_at, run.counted_until, run.ended)

    async def disown(self, deliveries: Sequence[Disowned]) -> None:
        """Make "refused" the outcome of these deliveries, if and whenever they are recorded."""
        async with self._database.acquire() as connection:
            await connection.execute(
                _DISOWN, [uuid.UUID(one.delivery_id) for one in deliveries], [one.received_at for one in deliveries]
            )

    async def settle_disowned(self) -> None:
        """Correct the outcomes of what was recorded since."""
        async with self._database.acquire() as connection:
            # There is hardly ever one, and the update opens every day's partition.
            if await connection.fetchval(_ANY_DISOWNED):
                await connection.execute(_SETTLE_DISOWNED)
