"""Deletes old rows: the notification log, resolved incidents, closed tickets, ended silences, past shifts.

Everything that is not at its end stays.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from common.postgres import Database
from common.telemetry import get_logger

_log = get_logger()
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
_UNREAD = """
DELETE FROM unread_alerts WHERE id IN (SELECT id FROM unread_alerts WHERE last_at < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)
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
_TICKETS = """
DELETE FROM tickets WHERE id IN (
    SELECT t.id FROM tickets AS t
    WHERE t.state = 'closed' AND t.closed_at < $1 AND NOT EXISTS (
        SELECT FROM ticket_comments AS c WHERE c.ticket_id = t.id AND c.outside IN ('pending', 'sending')
    ) ORDER BY t.id LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""
_SILENCES = "DELETE FROM silences WHERE id IN (SELECT id FROM silences WHERE ends_at < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)"
_OVERRIDES = """
DELETE FROM roster_overrides WHERE id IN (
    SELECT id FROM roster_overrides WHERE ends_at < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""
_CALLS = """
DELETE FROM calls WHERE id IN (
    SELECT id FROM calls WHERE handover_id IS NOT NULL AND created_at < $1 AND state NOT IN ('waiting', 'calling')
    ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""
_HANDOVERS = """
DELETE FROM handovers WHERE id IN (
    SELECT h.id FROM handovers AS h
    WHERE h.ends_at < $1 AND h.due_at IS NULL AND NOT EXISTS (SELECT FROM calls AS c WHERE c.handover_id = h.id)
    ORDER BY h.id LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""


class Retention:
    """Deletes what is older than ``keep``, one batch per transaction, so that nothing else waits for it. Any replica may run it.

    ``keep_tickets`` is for closed tickets, ended silences and past shifts.
    """

    def __init__(self, database: Database, *, keep: timedelta, keep_tickets: timedelta, batch: int = 1000) -> None:
        self._database = database
        self._keep = keep
        self._keep_tickets = keep_tickets
        self._batch = batch

    async def forget(self) -> int:
        """Delete everything that is due; returns how many rows went (without those that hang on them)."""
        async with self._database.acquire() as connection:
            now: datetime = await connection.fetchval("SELECT now()")
        before = now - self._keep
        gone = 0
        oldest_kept = UUID(int=int(before.timestamp() * 1000) << 80)  # ids of notices begin with their milliseconds
        long_ago = now - self._keep_tickets
        due: list[tuple[str, object]] = [(_NOTICES, oldest_kept)]
        due += [(each, before) for each in (_INCIDENTS, _POSTS, _DIGESTS, _ENDS, _UNREAD)]
        due += [(each, long_ago) for each in (_TICKETS, _SILENCES, _OVERRIDES, _CALLS, _HANDOVERS)]
        for statement, limit in due:
            while count := await self._delete(statement, limit):
                gone += count
                if count < self._batch:
                    break
        if gone:
            _log.info("old_rows_forgotten", rows=gone)
        return gone

    async def _delete(self, statement: str, limit: object) -> int:
        async with self._database.transaction() as connection:
            status = await connection.execute(statement, limit, self._batch)
        return int(status.rpartition(" ")[2])
