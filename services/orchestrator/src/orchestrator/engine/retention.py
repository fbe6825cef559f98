"""What may go, goes: events of workflows that finished long ago, marks of the inbox, keys of past requests, old aggregate sizes.

Orders, their timelines, stock movements and the audit log stay. The events of an order that is not finished stay too, however old
they are: the fold needs every one of them when a late one arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from common.http import forget_keys
from common.postgres import Connection, Database
from common.telemetry import get_logger

_log = get_logger()

_BATCH = 2000
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('orchestrator.retention'))"
# Walks the primary key, window by window; a workflow is locked before its events go, so that nothing late gets in between.
_WINDOW = "SELECT id, created_at FROM workflow WHERE id > $1 ORDER BY id LIMIT $2"
_PRUNE = """
WITH old AS (
    SELECT id, done_seq FROM workflow
    WHERE id > $1 AND id <= $2 AND state = 3 AND updated_at < $3 AND done_seq = last_seq AND pruned_seq < done_seq
    ORDER BY order_number, kind, key FOR NO KEY UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM workflow_event AS e USING old WHERE e.workflow_id = old.id AND e.seq <= old.done_seq RETURNING 1
), marked AS (
    UPDATE workflow AS w SET pruned_seq = old.done_seq FROM old WHERE w.id = old.id
)
SELECT count(*) FROM gone
"""
_FORGET_INBOX = """
WITH gone AS (
    DELETE FROM inbox WHERE ctid = ANY (ARRAY(SELECT ctid FROM inbox WHERE received_at < $1 LIMIT $2)) RETURNING 1
) SELECT count(*) FROM gone
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many rows went."""

    events: int
    inbox: int
    keys: int


class Retention:
    """Deletes what is older than the operator's settings, in small transactions. Safe to run in every replica: one works at a time.

    ``keep_inbox`` must be longer than anything may be delivered again after: the oldest record of a spool, a dead letter's replay.
    """

    def __init__(
        self,
        database: Database,
        *,
        keep_events: timedelta,
        keep_inbox: timedelta,
        keep_keys: timedelta = timedelta(days=2),
    ) -> None:
        self._database = database
        self._keep_events = keep_events
        self._keep_inbox = keep_inbox
        self._keep_keys = keep_keys

    async def __call__(self, now: datetime) -> Pruned:
        """Delete what is due."""
        pruned = Pruned(
            events=await self._events(now - self._keep_events),
            inbox=await self._batches(_FORGET_INBOX, now - self._keep_inbox),
            keys=await self._keys(),
        )
        if pruned.events or pruned.inbox:
            _log.info("rows_pruned", events=pruned.events, inbox=pruned.inbox, keys=pruned.keys)
        return pruned

    async def _events(self, cutoff: datetime) -> int:
        last, total = 0, 0
        while True:
            async with self._database.transaction() as connection:
                if not await connection.fetchval(_LOCK):
                    return total
                window = await connection.fetch(_WINDOW, last, _BATCH)
                if not window:
                    return total
                upto = window[-1]["id"]
                total += int(await connection.fetchval(_PRUNE, last, upto, cutoff))
                last = upto
            if window[0]["created_at"] >= cutoff:
                return total  # ids grow with time: all that follow are younger

    async def _batches(self, statement: str, cutoff: datetime) -> int:
        total, done = 0, _BATCH
        while done == _BATCH:
            async with self._database.transaction() as connection:
                if not await connection.fetchval(_LOCK):
                    return total
                done = int(await connection.fetchval(statement, cutoff, _BATCH))
            total += done
        return total

    async def _keys(self) -> int:
        total, done = 0, _BATCH
        while done == _BATCH:
            async with self._database.transaction() as connection:
                done = await _forget_keys(connection, self._keep_keys)
            total += done
        return total


async def _forget_keys(connection: Connection, keep: timedelta) -> int:
    return await forget_keys(connection, older_than=keep, limit=_BATCH)
