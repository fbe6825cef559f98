"""Reads across refunds: the queue of those that are due, the operators' lists, and the counts for the gauges."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from common.postgres import Database
from refunds.refunds.model import Refund
from refunds.refunds.statements import SELECT
from refunds.refunds.states import RefundState
from refunds.refunds.store import refund_of

CLAIM = """
WITH due AS (
    SELECT id FROM refunds
    WHERE next_attempt_at <= $1 AND (lease_until IS NULL OR lease_until <= $1)
    ORDER BY next_attempt_at LIMIT $2
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE refunds AS r SET lease_owner = $3, lease_until = $4 FROM due WHERE r.id = due.id RETURNING r.id
"""
_RELEASE = "UPDATE refunds SET lease_owner = NULL, lease_until = NULL WHERE id = $1 AND lease_owner = $2"

PAGE = f"""
{SELECT}
WHERE ($1::smallint IS NULL OR state = $1) AND ($2::text IS NULL OR order_number = $2) AND ($3::uuid IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4
"""
IN_ERROR = f"""
{SELECT}
WHERE state = {RefundState.ERROR:d} AND ($1::text IS NULL OR order_number = $1) AND ($2::text IS NULL OR error = $2)
ORDER BY id LIMIT $3
"""
UNFINISHED = """
SELECT state, count(*) AS refunds, extract(epoch FROM now() - min(state_since))::float8 AS oldest
FROM refunds WHERE state NOT IN (5, 9, 10, 11, 12) GROUP BY state
"""


class RefundQueue:
    """The refunds that are due, leased to one worker at a time.

    Replicas never get the same refund at the same time, unless one keeps it for longer than the lease.
    """

    def __init__(self, database: Database, *, owner: str, lease: timedelta) -> None:
        self._database = database
        self._owner = owner
        self._lease = lease

    async def claim(self, *, limit: int, now: datetime) -> list[str]:
        """Take up to ``limit`` due refunds for the length of the lease; return their ids."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(CLAIM, now, limit, self._owner, now + self._lease)
        return [str(row["id"]) for row in rows]

    async def release(self, refund_id: str) -> None:
        """Give a refund back; it is due again at its own time."""
        async with self._database.acquire() as connection:
            await connection.execute(_RELEASE, UUID(refund_id), self._owner)


async def find_page(
    database: Database, *, state: int | None, order: str | None, before: UUID | None, limit: int
) -> list[Refund]:
    """Return refunds, newest first, from before the given id."""
    async with database.acquire() as connection:
        rows = await connection.fetch(PAGE, state, order, before, limit)
    return [refund_of(row) for row in rows]


async def find_in_error(database: Database, *, order: str | None, error: str | None, limit: int) -> list[Refund]:
    """Return refunds in RS_ERROR, oldest first."""
    async with database.acquire() as connection:
        rows = await connection.fetch(IN_ERROR, order, error, limit)
    return [refund_of(row) for row in rows]


async def count_unfinished(database: Database) -> dict[int, tuple[int, float]]:
    """Return (number, age of the oldest in seconds) of the refunds that are not over, by state; cheap however many are over."""
    async with database.acquire() as connection:
        rows = await connection.fetch(UNFINISHED)
    return {row["state"]: (row["refunds"], row["oldest"]) for row in rows}
