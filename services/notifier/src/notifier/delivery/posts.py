"""Messages that stand in chats and may be edited, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from common.postgres import Connection
from notifier.delivery.model import ACT, Claim, StaleMessage, waiting_of
from notifier.delivery.outcomes import AfterEdit, Sent

DELIVERY = """
       d.id, d.notice_id, d.subject, d.destination, d.topic, d.created_at, d.attempts, d.pages_done, d.possibly_repeated,
       d.alone, d.priority, d.page_group, d.shrink, d.fallback_of, n.kind, n.severity, n.transition, n.order_number, n.document,
       n.traceparent, n.occurred_at, i.id AS incident_id, i.kind AS incident_kind,
       i.severity AS incident_severity, i.state AS incident_state,
       i.acknowledged_by, i.acknowledged_at, i.resolved_by, i.resolved_at, i.version AS incident_version
"""
"""Columns of a delivery ``d`` with its notice ``n`` and its incident ``i``, for ``waiting_of``."""
_STALEST = """
SELECT * FROM posts WHERE lane = $1 AND wanted > shown AND not_before <= $2 ORDER BY priority, id LIMIT 1
"""
_PARTS = f"""
SELECT pp.first, pp.past, {DELIVERY}
FROM post_parts AS pp
JOIN deliveries AS d ON d.id = pp.delivery_id
JOIN notices AS n ON n.id = d.notice_id
LEFT JOIN incidents AS i ON i.id = n.incident_id
WHERE pp.post_id = $1
ORDER BY pp.position
"""  # noqa: S608 - made of constants
# Waits for whoever changes one of them: whatever was committed before is seen here, whoever comes later finds the post.
_CHANGED = """
SELECT i.id, i.version FROM incidents AS i WHERE i.id = ANY($1::bigint[]) ORDER BY i.id FOR SHARE
"""
_KEEP = """
INSERT INTO posts (lane, place, topic, message_id, wanted) VALUES ($1, $2, $3, $4, $5) RETURNING id
"""
_KEEP_PARTS = """
INSERT INTO post_parts (post_id, position, delivery_id, first, past)
SELECT $1, position, delivery_id, first, past
FROM unnest($2::bigint[], $3::int[], $4::int[]) WITH ORDINALITY AS new (delivery_id, first, past, position)
"""
_FORGET = "DELETE FROM posts WHERE id = $1"
_RECORD = """
UPDATE posts
SET shown = CASE WHEN $3 THEN greatest(shown, $2) ELSE shown END,
    priority = CASE WHEN $3 AND wanted <= $2 THEN 4 ELSE priority END,
    message_id = CASE WHEN $4 THEN NULL ELSE coalesce($5, message_id) END,
    place = CASE WHEN $4 THEN NULL ELSE coalesce($6, place) END,
    attempts = CASE WHEN $3 THEN 0 ELSE attempts + 1 END,
    possibly_repeated = $8,
    not_before = $7
WHERE id = $1
"""
# Arrays instead of joins: without statistics the planner would read whole tables for one incident.
_REFRESH = """
WITH notified AS MATERIALIZED (
    SELECT id, digest_id FROM deliveries
    WHERE notice_id = ANY(ARRAY(SELECT id FROM notices WHERE incident_id = ANY($1::bigint[])))
), edited AS (
    UPDATE posts SET wanted = wanted + 1, priority = least(priority, $2::smallint), not_before = now()
    WHERE id = ANY(ARRAY(SELECT post_id FROM post_parts WHERE delivery_id = ANY(ARRAY(SELECT id FROM notified)) ORDER BY post_id))
)
SELECT DISTINCT digest_id FROM notified WHERE digest_id IS NOT NULL ORDER BY digest_id
"""
_REFRESH_DIGESTS = "UPDATE digests SET wanted = wanted + 1 WHERE closed_at IS NULL AND id = ANY($1::bigint[])"


class Posts:
    """The messages that stand in chats, inside one transaction. The part of a ``DeliveryQueue`` that is about them."""

    _connection: Connection

    async def _stalest(self, chat: str, now: datetime) -> StaleMessage | None:
        """Return the message of a chat whose edit is the most urgent, or None when none is due."""
        row = await self._connection.fetchrow(_STALEST, chat, now)
        if row is None:
            return None
        parts = await self._connection.fetch(_PARTS, row["id"])
        return StaleMessage(
            post_id=row["id"],
            message_id=row["message_id"],
            place=row["place"],
            topic=row["topic"],
            priority=row["priority"],
            attempts=row["attempts"],
            wanted=row["wanted"],
            possibly_repeated=row["possibly_repeated"],
            created_at=row["created_at"],
            parts=tuple((waiting_of(part), part["first"], part["past"]) for part in parts),
        )

    async def keep_post(self, claim: Claim, *, sent: Sent, seen: Mapping[int, int]) -> None:
        """Remember a message with problems in it, so that it can be edited. ``seen`` is incident → the version that it shows.

        To be called before ``free`` in the transaction: it locks the incidents, and is stale at once if one of them has changed since.
        """
        rows = await self._connection.fetch(_CHANGED, list(seen))
        stale = any(seen[row["id"]] != row["version"] for row in rows)
        post_id = await self._connection.fetchval(
            _KEEP, claim.chat, sent.place, claim.message.topic, sent.message_id, int(stale)
        )
        first = [entry.pages[0].number - 1 for entry in claim.entries]
        await self._connection.execute(
            _KEEP_PARTS,
            post_id,
            [entry.waiting.id for entry in claim.entries],
            first,
            [start + len(entry.pages) for start, entry in zip(first, claim.entries, strict=True)],
        )

    async def forget_post(self, stale: StaleMessage) -> None:
        """Do not edit that message any more."""
        await self._connection.execute(_FORGET, stale.post_id)

    async def hold_edit(self, stale: StaleMessage, until: datetime) -> None:
        """Make this edit not before then."""
        await self._connection.execute("UPDATE posts SET not_before = $2 WHERE id = $1", stale.post_id, until)

    async def _post_may_arrive(self, stale: StaleMessage) -> None:
        """Say that the message may be in the chat: it is posted anew right now."""
        await self._connection.execute("UPDATE posts SET possibly_repeated = true WHERE id = $1", stale.post_id)

    async def _record_post(self, stale: StaleMessage, after: AfterEdit) -> None:
        """Write down what the message says now; what has become wanted since stays wanted."""
        if after.given_up:
            await self.forget_post(stale)
            return
        await self._connection.execute(
            _RECORD,
            stale.post_id,
            stale.wanted,
            after.done,
            after.gone,
            after.message_id,
            after.place,
            after.not_before,
            not after.done and (stale.possibly_repeated or after.unclear),
        )


async def refresh(connection: Connection, incident_ids: Sequence[int], *, priority: int) -> None:
    """Have the messages about these incidents edited, and digests at once where a person has done something.

    A digest counts anew at every turn of its own; what ends by itself need not wait for its row, which in a storm everybody would.
    """
    rows = await connection.fetch(_REFRESH, list(incident_ids), priority)
    if rows and priority <= ACT:
        await connection.execute(_REFRESH_DIGESTS, [row["digest_id"] for row in rows])
