"""The story of an order: what other services note in their journals, and all of it read in one order of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.contracts.envelope import Envelope, parse
from common.contracts.journal import JournalEntryV1
from common.messaging.consumer import AfterCommit, nothing_follows
from common.postgres import Connection, Database
from orchestrator.engine.model import TimelineEntry
from orchestrator.engine.store import add_to_timeline

# Hooks as they arrived, what every service did and sent, and what people did, in one order. The gateway's recorder reports
# each delivery itself; until it has (its database may be away), what the orchestrator took in stands in for it.
_TIMELINE = """
WITH own AS (SELECT id FROM workflow WHERE order_number = $1), story AS (
    SELECT e.received_at AS at, 1 AS part, e.workflow_id AS major, e.seq::bigint AS minor, 'webhook-gateway' AS service,
           'hook.received' AS kind, coalesce(e.attributes->>'source', '') AS actor,
           'The hook ' || e.type || ' arrived' AS summary,
           jsonb_strip_nulls(jsonb_build_object('hook', e.type, 'hook_time', e.attributes->>'sent_at',
               'delivery_id', e.attributes->>'delivery_id', 'lane', e.attributes->>'lane', 'event_id', e.event_id)) AS details,
           e.traceparent
    FROM own JOIN workflow_event AS e ON e.workflow_id = own.id
    WHERE e.attributes ? 'delivery_id' AND NOT EXISTS (
        SELECT FROM timeline AS known
        WHERE known.order_number = $1 AND known.kind IN ('hook.received', 'hook.replayed', 'hook.entered')
          AND known.details->>'delivery_id' = e.attributes->>'delivery_id')
    UNION ALL
    SELECT t.occurred_at, 2, 0, t.id, t.service, t.kind, t.actor, t.summary, t.details, t.traceparent
    FROM timeline AS t WHERE t.order_number = $1
    UNION ALL
    SELECT a.at, 3, 0, a.id, 'orchestrator', a.action, a.actor, a.reason,
           jsonb_build_object('before', a.before, 'after', a.after, 'role', a.role), NULL
    FROM audit_log AS a
    WHERE a.target = ANY(ARRAY(SELECT 'order:' || $1 UNION ALL SELECT 'workflow:' || id FROM own))
)
SELECT * FROM story
WHERE $2::timestamptz IS NULL OR (at, part, major, minor) > ($2, $3::bigint, $4, $5)
ORDER BY at, part, major, minor
LIMIT $6
"""
_KNOWN = "SELECT EXISTS (SELECT FROM workflow WHERE order_number = $1) OR EXISTS (SELECT FROM timeline WHERE order_number = $1)"


def select_timeline(number: str, after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
    """Return the statement of what happened to an order, the oldest first, from after the position, and its values."""
    return _TIMELINE, [number, *(after or (None, None, None, None)), limit]


class TimelineStore:
    """Reads timelines. Whoever writes a line uses ``engine.store.add_to_timeline``, in the transaction of what it records."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def knows(self, number: str) -> bool:
        """Say whether anything is known of an order."""
        async with self.database.acquire() as connection:
            return bool(await connection.fetchval(_KNOWN, number))


async def add_journal_entries(connection: Connection, envelopes: Sequence[Envelope]) -> AfterCommit:
    """Add journal entries to the timelines of their orders, in the consumer's transaction. No workflow waits for them."""
    await add_to_timeline(connection, [_entry(envelope) for envelope in envelopes])
    return nothing_follows


def _entry(envelope: Envelope) -> TimelineEntry:
    entry = parse(envelope, JournalEntryV1)
    said = {name: getattr(entry, name) for name in JournalEntryV1.model_fields}
    return TimelineEntry(**said, traceparent=envelope.traceparent)
