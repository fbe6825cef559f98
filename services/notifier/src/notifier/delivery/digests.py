"""Digests of storms in PostgreSQL: one open digest per chat and topic, which takes over what waits there about problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from common.ids import new_id
from common.postgres import Connection
from notifier.delivery.model import EDIT, ChatQueue, Digest, Waiting
from notifier.delivery.outcomes import AfterEdit, State
from notifier.messages.document import Document

_LIVE = "SELECT * FROM digests WHERE lane = $1 AND closed_at IS NULL ORDER BY id"
# Groups that have paged in the minutes before need not page again because the storm has a digest now.
_OPEN = """
INSERT INTO digests (lane, topic, paged, not_before, opened_at, fed_at)
SELECT $1, $2, coalesce(array_agg(DISTINCT d.page_group) FILTER (WHERE d.page_group IS NOT NULL), '{}'), $3::timestamptz, $3, $3
FROM deliveries AS d
WHERE d.lane = $1 AND d.priority <= 1 AND d.digest_id IS NULL AND d.created_at > $3::timestamptz - interval '10 minutes'
  AND d.state IN ('sent', 'sending')
ON CONFLICT (lane, coalesce(topic, 0)) WHERE closed_at IS NULL AND NOT closing DO UPDATE SET fed_at = $3
RETURNING *
"""
_ABSORB = """
UPDATE deliveries
SET state = 'sending', digest_id = $2, digest_turn = $3, claim = NULL, lease_until = NULL, reason = 'told in a digest'
WHERE id IN (
    SELECT id FROM deliveries
    WHERE lane = $1 AND coalesce(topic, 0) = $4 AND state IN ('pending', 'unknown') AND subject LIKE 'incident:%'
      -- A page whose sender died, or that was refused for now, stays the page of its group.
      AND NOT (priority <= 1 AND page_group IS NOT NULL AND (attempts > 0 OR page_group <> ALL($5::text[])))
    FOR UPDATE SKIP LOCKED  -- what somebody else holds is taken next time
)
"""
_TURN = "UPDATE digests SET wanted = wanted + 1, fed_at = now() WHERE id = $1 RETURNING wanted"
# One problem counts once, however many of its transitions the digest took.
_TALLY = """
SELECT i.kind, i.severity, i.state, count(*) AS count
FROM incidents AS i
WHERE i.id IN (SELECT n.incident_id FROM deliveries AS d JOIN notices AS n ON n.id = d.notice_id WHERE d.digest_id = $1)
GROUP BY i.kind, i.severity, i.state
"""
_WORST = """
SELECT i.id, i.kind, i.summary, i.order_number
FROM incidents AS i
WHERE i.state = 'open'
  AND i.id IN (SELECT n.incident_id FROM deliveries AS d JOIN notices AS n ON n.id = d.notice_id WHERE d.digest_id = $1)
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], i.severity), i.id DESC
LIMIT $2
"""
# An endangered order may have no number yet: its incident's stands for it.
_UNLISTED = """
SELECT d.id, coalesce(i.order_number, '#' || i.id) AS number
FROM deliveries AS d
JOIN notices AS n ON n.id = d.notice_id
JOIN incidents AS i ON i.id = n.incident_id
WHERE d.digest_id = $1 AND d.listed_in IS NULL AND i.state <> 'resolved'
  AND (i.order_number IS NOT NULL OR i.kind LIKE '%website_order.endangered')
ORDER BY d.id
"""
_ADD_LIST = """
INSERT INTO notices (id, subject, transition, sequence, kind, severity, document, event_id, occurred_at)
SELECT $1, 'digest:' || $2::bigint, 'list:' || $3::bigint, $3, 'digest.list', 'warning', $4, 'digest:' || $2 || ':' || $3, $5
"""
_SEND_LIST = """
WITH list AS (
    INSERT INTO deliveries (notice_id, subject, sequence, destination, channel, lane, topic, route, priority)
    SELECT $1, 'digest:' || $2::bigint, $3, destination, channel, lane, topic, 'storm', $4 FROM deliveries WHERE id = $5
    RETURNING id
)
UPDATE deliveries SET listed_in = list.id FROM list WHERE deliveries.id = ANY($6::bigint[])
"""
_END_LISTED = """
UPDATE deliveries
SET state = $3, sent_at = CASE WHEN $3 = 'sent' THEN $4::timestamptz END, reason = $5,
    message_ids = CASE WHEN $6::text IS NULL THEN message_ids ELSE array_append(message_ids, $6) END
WHERE digest_id = $1 AND listed_in = $2 AND state = 'sending'
"""
_LISTED = """
SELECT count(DISTINCT coalesce(i.order_number, '#' || i.id)) AS numbers, count(DISTINCT d.listed_in) AS lists
FROM deliveries AS d
JOIN notices AS n ON n.id = d.notice_id
JOIN incidents AS i ON i.id = n.incident_id
WHERE d.digest_id = $1 AND d.listed_in IS NOT NULL
"""
_SHOWN = """
UPDATE digests
SET shown = greatest(shown, $2), message_id = $3, place = coalesce($4, place), not_before = $5, attempts = 0,
    possibly_repeated = false,
    closed_at = CASE WHEN closing AND wanted <= $2 THEN $6::timestamptz END
WHERE id = $1
"""
_AGAIN = """
UPDATE digests
SET message_id = CASE WHEN $2 THEN NULL ELSE message_id END, possibly_repeated = $3,
    not_before = $4, attempts = attempts + 1
WHERE id = $1
"""
_CLOSE = "UPDATE digests SET closing = true, closed_at = $2 WHERE id = $1"
_END = """
UPDATE deliveries
SET state = $3, sent_at = CASE WHEN $3 = 'sent' THEN $4::timestamptz END, reason = $5,
    message_ids = CASE WHEN $6::text IS NULL THEN message_ids ELSE array_append(message_ids, $6) END
WHERE digest_id = $1 AND state = 'sending' AND digest_turn <= $2 AND listed_in IS NULL
"""
_CLOSE_QUIET = """
UPDATE digests SET closing = true, wanted = wanted + 1
WHERE closed_at IS NULL AND NOT closing AND fed_at < now() - $1::float8 * interval '1 second'
  AND id IN (SELECT id FROM digests WHERE closed_at IS NULL AND NOT closing FOR UPDATE SKIP LOCKED)
"""


class Digests:
    """The digests of storms, inside one transaction. The part of a ``DeliveryQueue`` that is about them."""

    _connection: Connection

    async def _open_digests(self, chat: str, now: datetime) -> tuple[Digest, ...]:
        return tuple(_digest(row, now) for row in await self._connection.fetch(_LIVE, chat))

    async def open_digest(self, chat: ChatQueue, topic: int | None) -> Digest:
        """Open the digest of a storm, or return the one that is open."""
        row = await self._connection.fetchrow(_OPEN, chat.key, topic, chat.now)
        assert row is not None  # noqa: S101 - INSERT … ON CONFLICT DO UPDATE … RETURNING always gives a row
        return _digest(row, chat.now)

    async def absorb(self, chat: ChatQueue, digest: Digest) -> int:
        """Give the digest what waits in its topic about problems, but for critical ones whose group has not paged; returns how many.

        They are on their way (``sending``, without a lease) until the digest shows them.
        """
        status = await self._connection.execute(
            _ABSORB, chat.key, digest.id, digest.wanted + 1, digest.topic or 0, sorted(digest.paged)
        )
        count = int(status.rpartition(" ")[2])
        if count:
            await self._connection.execute(_TURN, digest.id)
        return count

    async def tally(self, digest: Digest) -> Sequence[Mapping[str, Any]]:
        """Return what a digest has to say, by how its problems stand now: rows of ``kind``, ``severity``, ``state`` and ``count``."""
        return [dict(row) for row in await self._connection.fetch(_TALLY, digest.id)]

    async def worst(self, digest: Digest, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return its gravest problems that nobody has taken, newest first: rows of ``id``, ``kind``, ``summary`` and ``order_number``."""
        return [dict(row) for row in await self._connection.fetch(_WORST, digest.id, limit)]

    async def unlisted(self, digest: Digest) -> Sequence[tuple[int, str]]:
        """Return what no list names yet of what is not over, as it came: (delivery, the order's number)."""
        return [(row["id"], row["number"]) for row in await self._connection.fetch(_UNLISTED, digest.id)]

    async def listed(self, digest: Digest) -> tuple[int, int]:
        """Return how many numbers stand in lists, and in how many."""
        row = await self._connection.fetchrow(_LISTED, digest.id)
        assert row is not None  # noqa: S101 - aggregates always give a row
        return row["numbers"], row["lists"]

    async def add_list(
        self, digest: Digest, part: int, document: Document, deliveries: Sequence[int], *, now: datetime
    ) -> None:
        """Enqueue list number ``part`` for the digest's chat. What it names is told when it is sent, and ends as it ends.

        Lists are deliveries: sent in order, once, and marked where one may have arrived before.
        """
        notice_id = new_id()
        await self._connection.execute(_ADD_LIST, notice_id, digest.id, part, document.to_json(), now)
        await self._connection.execute(_SEND_LIST, notice_id, digest.id, part, EDIT, deliveries[0], list(deliveries))

    async def end_listed(
        self, listing: Waiting, *, state: State, reason: str | None, message_id: str | None, at: datetime
    ) -> None:
        """End what a list names as the list itself ended; nothing for a delivery that is no list."""
        kind, _, digest_id = listing.subject.partition(":")
        if kind == "digest":
            why = "told in a digest" if state is State.SENT else reason
            await self._connection.execute(_END_LISTED, int(digest_id), listing.id, state.value, at, why, message_id)

    async def hold_digest(self, digest: Digest, until: datetime) -> None:
        """Give the digest its next turn not before then."""
        await self._connection.execute("UPDATE digests SET not_before = $2 WHERE id = $1", digest.id, until)

    async def _digest_may_arrive(self, digest: Digest) -> None:
        """Say that the message may be in the chat: it is posted right now."""
        await self._connection.execute("UPDATE digests SET possibly_repeated = true WHERE id = $1", digest.id)

    async def _record_digest(self, digest: Digest, after: AfterEdit, *, at: datetime, again_at: datetime) -> int:
        """Write down what became of a digest's message; returns how many deliveries came to their end by it."""
        if after.done:
            await self._connection.execute(
                _SHOWN, digest.id, digest.wanted, after.message_id, after.place, again_at, at
            )
            return await self._end(digest.id, digest.wanted, "sent", at, "told in a digest", after.message_id)
        if after.given_up:
            await self._connection.execute(_CLOSE, digest.id, at)
            return await self._end(digest.id, 2**62, "failed", at, after.reason or "the digest was refused", None)
        repeated = digest.possibly_repeated or after.unclear
        await self._connection.execute(_AGAIN, digest.id, after.gone, repeated, after.not_before)
        return 0

    async def _end(self, *values: object) -> int:
        status = await self._connection.execute(_END, *values)
        return int(status.rpartition(" ")[2])


async def close_quiet(connection: Connection, seconds: float) -> int:
    """Have digests that took nothing for so long say that the storm is over; returns how many."""
    status = await connection.execute(_CLOSE_QUIET, seconds)
    return int(status.rpartition(" ")[2])


def _digest(row: Any, now: datetime) -> Digest:
    return Digest(
        id=row["id"],
        message_id=row["message_id"],
        place=row["place"],
        topic=row["topic"],
        attempts=row["attempts"],
        wanted=row["wanted"],
        possibly_repeated=row["possibly_repeated"],
        closing=row["closing"],
        paged=frozenset(row["paged"]),
        due=row["wanted"] > row["shown"] and row["not_before"] <= now,
        opened_at=row["opened_at"],
    )
