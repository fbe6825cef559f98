"""The tables ``refund_differences`` and ``reconciliation_days``, and which refunds a gateway may know."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from common.postgres import Connection, Database
from refunds.reconciliation.model import Difference, DifferenceKind

_ADD_DIFFERENCE = """
INSERT INTO refund_differences (kind, gateway, subject, order_number, detail, found_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (subject, gateway, kind) WHERE over_at IS NULL DO NOTHING RETURNING true
"""
_CLOSE_DIFFERENCES = """
UPDATE refund_differences SET over_at = $2 WHERE subject = $1 AND over_at IS NULL
RETURNING kind, gateway, subject, order_number, detail
"""
_COUNT_DIFFERENCES = "SELECT kind, count(*) AS open FROM refund_differences WHERE over_at IS NULL GROUP BY kind"
SENT_SINCE = """
SELECT r.id FROM refunds AS r
WHERE r.state_since >= $1 AND r.state_since < $2 AND ($3::uuid IS NULL OR r.id > $3)
  AND EXISTS (SELECT 1 FROM refund_attempts AS a WHERE a.refund_id = r.id AND a.gateway_refund_id IS NOT NULL)
ORDER BY r.id LIMIT $4
"""
_CLAIM_DAY = """
INSERT INTO reconciliation_days AS d (day, owner, lease_until) VALUES ($1, $2, $4)
ON CONFLICT (day) DO UPDATE SET owner = excluded.owner, lease_until = excluded.lease_until
WHERE d.finished_at IS NULL AND d.lease_until <= $3
RETURNING true
"""
_FINISH_DAY = "UPDATE reconciliation_days SET finished_at = $3 WHERE day = $1 AND owner = $2"


async def add_difference(connection: Connection, difference: Difference, *, now: datetime) -> bool:
    """Store a difference. False when it was known and is not over."""
    d = difference
    values = (d.kind, d.gateway, d.subject, d.order_number, d.detail, now)
    return bool(await connection.fetchval(_ADD_DIFFERENCE, *values))


async def close_differences(connection: Connection, subject: str, *, now: datetime) -> Sequence[Difference]:
    """Return, once, the differences of the subject that were not over."""
    rows = await connection.fetch(_CLOSE_DIFFERENCES, subject, now)
    return [Difference(**{**row, "kind": DifferenceKind(row["kind"])}) for row in rows]


async def count_differences(database: Database) -> dict[str, int]:
    """Count the differences that are not over, by kind."""
    async with database.acquire() as connection:
        rows = await connection.fetch(_COUNT_DIFFERENCES)
    return {row["kind"]: row["open"] for row in rows}


class ReconciliationStore:
    """Our side of a reconciliation, and which replica reconciles a day."""

    def __init__(self, database: Database, *, owner: str, lease: timedelta = timedelta(minutes=30)) -> None:
        self._database = database
        self._owner = owner
        self._lease = lease

    async def sent_since(self, since: datetime, until: datetime, *, after: str | None, limit: int) -> Sequence[str]:
        """Return ids, ascending after the given one, of refunds that changed in [since, until) and that a gateway knows."""
        position = None if after is None else UUID(after)
        async with self._database.acquire() as connection:
            rows = await connection.fetch(SENT_SINCE, since, until, position, limit)
        return [str(row["id"]) for row in rows]

    async def claim_day(self, day: date, *, now: datetime) -> bool:
        """Take the day's reconciliation, for the length of the lease. False when it is done, or another replica is at it."""
        async with self._database.acquire() as connection:
            return bool(await connection.fetchval(_CLAIM_DAY, day, self._owner, now, now + self._lease))

    async def finish_day(self, day: date, *, now: datetime) -> None:
        """Note that the day is reconciled."""
        async with self._database.acquire() as connection:
            await connection.execute(_FINISH_DAY, day, self._owner, now)
