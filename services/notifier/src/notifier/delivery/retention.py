"""Deletes old rows: the notification log, resolved incidents, the inbox, used idempotency keys.

The audit log, dead letters and everything that is not at its end stay.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from common.http import forget_keys
from common.postgres import Database
from common.telemetry import get_logger

_log = get_logger()
_KEYS_KEPT = timedelta(days=1)
_NOTICES = """
DELETE FROM notices WHERE id IN (
    SELECT n.id FROM notices AS n
    WHERE n.id < $1 AND NOT EXISTS (SELECT FROM deliveries AS d WHERE d.notice_id = n.id AND d.state NOT IN ('sent', 'failed', 'dropped'))
    ORDER BY n.id LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""
_INCIDENTS = """
DELETE FROM incidents WHERE id IN (
    SELECT i.id FROM incidents AS i
    WHERE i.state = 'resolved' AND i.resolved_at < $1 AND NOT EXISTS (SELECT FROM notices AS n WHERE n.incident_id = i.id)
    ORDER BY i.id LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""
_ENDS = """
DELETE FROM early_resolutions WHERE fingerprint IN (
    SELECT fingerprint FROM early_resolutions WHERE at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""
_POSTS = """
DELETE FROM posts WHERE id IN (
    SELECT p.id FROM posts AS p
    WHERE p.created_at < $1 AND NOT EXISTS (SELECT FROM post_parts AS pp WHERE pp.post_id = p.id)
    ORDER BY p.id LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""
_DIGESTS = """
DELETE FROM digests WHERE id IN (SELECT id FROM digests WHERE closed_at < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)
"""
_INBOX = """
DELETE FROM inbox WHERE (consumer, event_id) IN (
    SELECT consumer, event_id FROM inbox WHERE received_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""


class Retention:
    """Deletes what is older than ``keep``, one batch per transaction, so that nothing else waits for it. Any replica may run it."""

    def __init__(self, database: Database, *, keep: timedelta, batch: int = 1000) -> None:
        self._database = database
        self._keep = keep
        self._batch = batch

    async def forget(self) -> int:
        """Delete everything that is due; returns how many rows went (without those that hang on them)."""
        async with self._database.acquire() as connection:
            now: datetime = await connection.fetchval("SELECT now()")
        before = now - self._keep
        gone = 0
        oldest_kept = UUID(int=int(before.timestamp() * 1000) << 80)  # ids of notices begin with their milliseconds
        statements = (_INCIDENTS, _POSTS, _DIGESTS, _ENDS, _INBOX)
        for statement, limit in ((_NOTICES, oldest_kept), *((each, before) for each in statements)):
            while count := await self._delete(statement, limit):
                gone += count
                if count < self._batch:
                    break
        async with self._database.transaction() as connection:
            gone += await forget_keys(connection, older_than=_KEYS_KEPT)
        if gone:
            _log.info("old_rows_forgotten", rows=gone)
        return gone

    async def _delete(self, statement: str, limit: object) -> int:
        async with self._database.transaction() as connection:
            status = await connection.execute(statement, limit, self._batch)
        return int(status.rpartition(" ")[2])
