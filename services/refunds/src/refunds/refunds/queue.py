"""The refunds that are due, leased to one worker at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from common.postgres import Database

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


class RefundQueue:
    """Replicas never get the same refund at the same time, unless one keeps it for longer than the lease."""

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
