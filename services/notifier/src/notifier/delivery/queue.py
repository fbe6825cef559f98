"""The queue of deliveries in PostgreSQL: chats are locked rows (table ``lanes``), rate windows are rows that replicas share.

``DeliveryQueues`` opens transactions, says when something is due, and makes deliveries ``unknown`` whose sender died.
``DeliveryQueue``, inside one transaction: ``next_chat`` locks a chat and reads what waits there; ``postpone``, ``hold`` and
``urgent_only`` leave it alone; ``claim`` leases deliveries and takes places in the rate windows; ``record``, ``record_edit`` and
``record_digest`` write the outcome and free the chat; ``pause``, ``move`` and ``refuses`` keep what the provider said of it. Messages to
be edited: ``posts.py``; digests: ``digests.py``.

Locks are always taken incidents → chat → windows (by key) → deliveries → posts → digests, so that claiming, recording and the taking in of
events never wait for each other crosswise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from common.contracts import Envelope
from common.messaging import outbox
from common.postgres import Connection, Database
from notifier.delivery.digests import Digests, close_quiet
from notifier.delivery.held import BEHIND, THROTTLED_SQL, WHY
from notifier.delivery.model import CRITICAL, ChatQueue, Claim, Digest, Entry, Limit, StaleMessage, waiting_of
from notifier.delivery.outcomes import After, AfterEdit, State
from notifier.delivery.posts import DELIVERY, Posts

LimitsOf = Callable[[str], tuple[Limit, ...]]
"""From a chat's present address to the limits that hold there."""

HEAD = 40  # about what the largest message can carry
_COUNTED = 1000
_LONGEST_IDLE = 1.0
# Urgent first: the limits of a bot are shared by all its chats. Then the one that was used longest ago.
_NEXT_CHAT = """
SELECT l.key, l.address, l.refused FROM lanes AS l
LEFT JOIN LATERAL (SELECT true AS urgent FROM deliveries AS d
                   WHERE d.lane = l.key AND d.state IN ('pending', 'unknown') AND d.priority <= 1 AND d.not_before <= now()
                   LIMIT 1) AS u ON true
WHERE l.channel = $1 AND l.not_before <= now() AND (l.lease_until IS NULL OR l.lease_until < now())
  AND (u.urgent
       OR EXISTS (SELECT FROM posts AS p
                  WHERE p.lane = l.key AND p.wanted > p.shown AND p.not_before <= now()
                    AND (p.priority <= 1 OR l.urgent_only_until <= now()))
       OR l.urgent_only_until <= now()
          AND (EXISTS (SELECT FROM deliveries AS d
                       WHERE d.lane = l.key AND d.state IN ('pending', 'unknown') AND d.not_before <= now())
               OR EXISTS (SELECT FROM digests AS g
                          WHERE g.lane = l.key AND g.closed_at IS NULL AND g.wanted > g.shown AND g.not_before <= now())))
ORDER BY u.urgent, l.last_sent_at NULLS FIRST, l.key
LIMIT 1
FOR UPDATE OF l SKIP LOCKED
"""
_MAKE_WINDOWS = "INSERT INTO rate_windows (key) SELECT unnest($1::text[]) ON CONFLICT (key) DO NOTHING"
_WINDOWS = "SELECT key, stamps FROM rate_windows WHERE key = ANY($1::text[]) ORDER BY key FOR UPDATE"
_WAITING = f"""
SELECT {DELIVERY}
FROM deliveries AS d
JOIN notices AS n ON n.id = d.notice_id
LEFT JOIN incidents AS i ON i.id = n.incident_id
WHERE d.lane = $1 AND d.state IN ('pending', 'unknown')
  -- The sum keeps the planner, while it has no statistics, from the index by due time: it would sort the whole lane.
  AND d.not_before + interval '0' <= $2
  -- An earlier notice of the same subject that cannot go now, or would go after this one, holds this one up.
  AND NOT EXISTS (SELECT FROM deliveries AS e
                  WHERE e.lane = d.lane AND e.subject = d.subject AND e.sequence < d.sequence
                    AND e.state IN ('pending', 'unknown', 'sending') AND e.digest_id IS NULL
                    AND (e.state = 'sending' OR e.not_before > $2 OR (e.priority, e.id) > (d.priority, d.id)))
ORDER BY d.priority, d.id
LIMIT $3
"""  # noqa: S608 - made of constants
# How many problems wait, by topic; counted up to a number that no threshold exceeds.
_PROBLEMS = """
SELECT coalesce(topic, 0) AS topic, count(*) AS waiting
FROM (SELECT topic FROM deliveries
      WHERE lane = $1 AND state IN ('pending', 'unknown') AND subject LIKE 'incident:%' LIMIT $2) AS counted
GROUP BY 1
"""
_POSTPONE = "UPDATE lanes SET not_before = $2 WHERE key = $1"
# A wait that follows another has its cause.
_LIMITED = """held_until = greatest(held_until, $2),
    held_by = CASE WHEN held_until > now() - interval '1 second' THEN held_by ELSE 'chat_limit' END"""
_HOLD = f"UPDATE lanes SET not_before = $2, {_LIMITED} WHERE key = $1"  # noqa: S608 - made of constants
_URGENT_ONLY = f"UPDATE lanes SET urgent_only_until = $2, {_LIMITED} WHERE key = $1"  # noqa: S608 - the same
# The rows of the chats and of the windows are this transaction's already.
_LEASE = f"""
WITH chats AS (
    UPDATE lanes AS l SET claim = c.id, lease_until = $1
    FROM unnest($2::text[], $3::uuid[]) AS c (lane, id) WHERE l.key = c.lane
), windows AS (
    UPDATE rate_windows AS w SET stamps = s.stamps
    FROM (SELECT key, array_agg(stamp) AS stamps FROM unnest($4::text[], $5::timestamptz[]) AS each (key, stamp) GROUP BY key) AS s
    WHERE w.key = s.key
)
UPDATE deliveries AS d
SET state = 'sending', claim = c.id, lease_until = $1, attempts = d.attempts + 1,
    (held_by, held_behind) = (SELECT CASE WHEN before.id IS NULL THEN {WHY} ELSE 'earlier_notice' END, coalesce(before.id, d.held_behind)
                              FROM (VALUES (1)) AS one LEFT JOIN LATERAL ({BEHIND}) AS before (id) ON true)
FROM unnest($6::bigint[], $7::uuid[]) AS c (delivery, id), lanes AS l
WHERE d.id = c.delivery AND l.key = d.lane
"""  # noqa: S608 - made of constants
# Whatever is committed later finds the chat free, or wakes its sender after this.
_FREE = """
WITH moment AS MATERIALIZED (SELECT clock_timestamp() AS at), chat AS (
    UPDATE lanes SET claim = NULL, lease_until = NULL, last_sent_at = moment.at FROM moment WHERE key = $1 AND claim = $2
    RETURNING key
), locked AS MATERIALIZED (
    SELECT key FROM rate_windows WHERE key = ANY($3::text[]) AND (SELECT count(*) FROM chat) >= 0 ORDER BY key FOR UPDATE
), dated AS (
    UPDATE rate_windows AS w SET stamps = array_replace(w.stamps, h.held, moment.at)
    FROM locked, unnest($3::text[], $4::timestamptz[]) AS h (key, held), moment
    WHERE w.key = locked.key AND h.key = w.key
)
SELECT moment.at,
    EXISTS (SELECT FROM deliveries WHERE lane = $1 AND state IN ('pending', 'unknown'))
    OR EXISTS (SELECT FROM posts WHERE lane = $1 AND wanted > shown)
    OR EXISTS (SELECT FROM digests WHERE lane = $1 AND closed_at IS NULL) AS more
FROM moment
"""
_PAUSE = """
UPDATE lanes SET not_before = greatest(not_before, $2), held_until = greatest(held_until, $2), held_by = 'asked_to_wait'
WHERE key = $1
"""
_MOVE = """
UPDATE lanes SET address = $2, moved_from = array_append(moved_from, address) WHERE key = $1 AND address <> $2
"""
_REFUSES = "UPDATE lanes SET refused = $2 WHERE key = $1"
_RECEIPT = "INSERT INTO incident_history (incident_id, actor, act, text) VALUES ($1, 'notifier', 'failover', $2)"
_FAIL = """
UPDATE deliveries AS d SET state = 'failed', reason = s.reason
FROM unnest($1::bigint[], $2::text[]) AS s (id, reason)
WHERE d.id = s.id AND d.state IN ('pending', 'unknown')
"""
_RECORD = f"""
UPDATE deliveries AS d
SET state = r.state, not_before = r.not_before, reason = r.reason, alone = d.alone OR r.alone, shrink = d.shrink + r.shrink,
    possibly_repeated = d.possibly_repeated OR r.state = 'unknown',
    pages_done = d.pages_done + r.pages,
    message_ids = CASE WHEN r.pages > 0 THEN array_append(d.message_ids, $3::text) ELSE d.message_ids END,
    sent_at = CASE WHEN r.state = 'sent' THEN $4::timestamptz ELSE d.sent_at END,
    failed_at = CASE WHEN r.reason <> {THROTTLED_SQL} THEN $4::timestamptz ELSE d.failed_at END,
    claim = NULL, lease_until = NULL
FROM unnest($2::bigint[], $5::text[], $6::timestamptz[], $7::text[], $8::bool[], $9::int[], $10::smallint[])
     AS r (id, state, not_before, reason, alone, pages, shrink)
WHERE d.id = r.id AND d.claim = $1 AND d.state IN ('sending', 'unknown')
RETURNING d.id
"""  # noqa: S608 - a constant
_EXPIRE = """
UPDATE deliveries
SET state = 'unknown', possibly_repeated = true, not_before = now(), lease_until = NULL, failed_at = now(),
    reason = 'the sender died before it wrote the outcome down'
WHERE state = 'sending' AND lease_until < now()
RETURNING id
"""
_PAGED = """
UPDATE digests
SET paged = (SELECT array_agg(DISTINCT each) FROM unnest(paged || $2::text[]) AS each)
WHERE lane = $1 AND closed_at IS NULL
"""
_IDLE = """
SELECT extract(epoch FROM min(greatest(l.not_before, w.first)) - clock_timestamp())::float8
FROM lanes AS l
CROSS JOIN LATERAL (
    SELECT min(first) AS first FROM (
        SELECT min(not_before) AS first FROM deliveries
        WHERE lane = l.key AND state IN ('pending', 'unknown') AND priority <= 1
        UNION ALL
        SELECT greatest(min(not_before), l.urgent_only_until) FROM deliveries
        WHERE lane = l.key AND state IN ('pending', 'unknown') HAVING min(not_before) IS NOT NULL
        UNION ALL
        SELECT min(CASE WHEN priority <= 1 THEN not_before ELSE greatest(not_before, l.urgent_only_until) END) FROM posts
        WHERE lane = l.key AND wanted > shown
        UNION ALL
        SELECT greatest(min(not_before), l.urgent_only_until) FROM digests
        WHERE lane = l.key AND closed_at IS NULL AND wanted > shown HAVING min(not_before) IS NOT NULL
    ) AS each) AS w
WHERE l.channel = $1 AND w.first IS NOT NULL AND (l.lease_until IS NULL OR l.lease_until < now())
"""


class DeliveryQueues:
    """Opens a transaction on the deliveries of a channel."""

    def __init__(
        self,
        database: Database,
        *,
        channel: str,
        limits: LimitsOf,
        edit_limits: LimitsOf | None = None,
        unasked: float = _LONGEST_IDLE,
    ) -> None:
        self._database = database
        self._channel = channel
        self.limits = limits
        self._edit_limits = edit_limits or limits
        self._unasked = unasked

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[DeliveryQueue]:
        """Commit at the end of the block, roll back on an exception."""
        async with self._database.transaction() as connection:
            yield DeliveryQueue(connection, channel=self._channel, limits=self.limits, edit_limits=self._edit_limits)

    async def wait_until(self) -> float:
        """Return in how many seconds something may be due, at most a second; ``unasked`` seconds when nothing waits."""
        async with self._database.acquire() as connection:
            seconds = await connection.fetchval(_IDLE, self._channel)
        return self._unasked if seconds is None else min(_LONGEST_IDLE, max(0.005, seconds))

    async def expire(self) -> int:
        """Make deliveries whose sender died unknown, so that they are sent again; returns how many."""
        async with self._database.transaction() as connection:
            return len(await connection.fetch(_EXPIRE))

    async def close_quiet_digests(self, seconds: float) -> int:
        """Have digests that took nothing for so long say that the storm is over; returns how many."""
        async with self._database.transaction() as connection:
            return await close_quiet(connection, seconds)


class DeliveryQueue(Posts, Digests):
    """The waiting deliveries of one channel, inside one transaction."""

    def __init__(self, connection: Connection, *, channel: str, limits: LimitsOf, edit_limits: LimitsOf) -> None:
        self._connection = connection
        self._channel = channel
        self._limits = limits
        self._edit_limits = edit_limits

    async def next_chat(self) -> ChatQueue | None:
        """Lock a chat that has something to send and is not in use; None when there is none. Other replicas skip it.

        Lanes with something urgent come first, then the one that was used longest ago.
        """
        row = await self._connection.fetchrow(_NEXT_CHAT, self._channel)
        if row is None:
            return None
        limits, edit_limits = self._limits(row["address"]), self._edit_limits(row["address"])
        windows = await self._windows(sorted({limit.key for limit in (*limits, *edit_limits)}))
        now = await self.now()  # after the locks were had: waiting for them took time
        chat = ChatQueue(
            key=row["key"],
            address=row["address"],
            now=now,
            waiting=(),
            windows=windows,
            limits=limits,
            edit_limits=edit_limits,
            refused=row["refused"],
        )
        return await self.look_again(chat)

    async def look_again(self, chat: ChatQueue) -> ChatQueue:
        """Return the locked chat as it is after something was changed in this transaction."""
        waiting = await self._connection.fetch(_WAITING, chat.key, chat.now, HEAD)
        problems = await self._connection.fetch(_PROBLEMS, chat.key, _COUNTED)
        return replace(
            chat,
            waiting=tuple(waiting_of(each) for each in waiting),
            stale=await self._stalest(chat.key, chat.now),
            digests=await self._open_digests(chat.key, chat.now),
            problems={row["topic"]: row["waiting"] for row in problems},
        )

    async def _windows(self, keys: list[str]) -> dict[str, tuple[datetime, ...]]:
        rows = await self._connection.fetch(_WINDOWS, keys)
        if len(rows) < len(keys):
            await self._connection.execute(_MAKE_WINDOWS, keys)
            rows = await self._connection.fetch(_WINDOWS, keys)
        return {row["key"]: tuple(row["stamps"]) for row in rows}

    async def postpone(self, chat: ChatQueue, until: datetime) -> None:
        """Leave the chat alone until then."""
        await self._connection.execute(_POSTPONE, chat.key, until)

    async def hold(self, chat: ChatQueue, until: datetime) -> None:
        """Leave the chat alone until then, for its limits; what waits for that says so for good."""
        await self._connection.execute(_HOLD, chat.key, until)

    async def urgent_only(self, chat: ChatQueue, until: datetime) -> None:
        """Send nothing but what is urgent in this chat until then."""
        await self._connection.execute(_URGENT_ONLY, chat.key, until)

    async def claim(
        self, chat: ChatQueue, claim: Claim, *, windows: Mapping[str, tuple[datetime, ...]], lease_until: datetime
    ) -> None:
        """Mark the claim's deliveries as being sent and the windows as used.

        A digest, or a message that is posted anew, may have arrived from now on until its outcome is recorded: whoever claims it again
        after this sender's death says so.
        """
        await lease(self._connection, [claim], windows=windows, until=lease_until)
        if claim.message.edits is None and isinstance(claim.work, StaleMessage):
            await self._post_may_arrive(claim.work)
        if claim.message.edits is None and isinstance(claim.work, Digest):
            await self._digest_may_arrive(claim.work)
        if claim.entries:
            pages = [each.waiting for each in claim.entries if each.waiting.priority <= CRITICAL and each.waiting.group]
            if pages and chat.digests:
                await self._connection.execute(_PAGED, chat.key, [str(waiting.group) for waiting in pages])

    async def fail_permanently(self, deliveries: Mapping[int, str]) -> None:
        """End deliveries that can never be sent, each with its reason."""
        await self._connection.execute(_FAIL, list(deliveries), list(deliveries.values()))

    async def now(self) -> datetime:
        """Return the database's time: replicas share it."""
        moment: datetime = await self._connection.fetchval("SELECT clock_timestamp()")
        return moment

    async def record(
        self, claim: Claim, results: Sequence[tuple[Entry, After]], *, message_id: str | None, at: datetime
    ) -> set[int]:
        """Write down what became of the deliveries; returns the ids that were still this claim's: of the others somebody else decides."""
        rows = await self._connection.fetch(
            _RECORD,
            claim.id,
            [entry.waiting.id for entry, _ in results],
            message_id,
            at,
            [after.state.value for _, after in results],
            [after.not_before for _, after in results],
            [None if after.state is State.SENT else after.reason for _, after in results],
            [after.alone for _, after in results],
            [len(entry.pages) if message_id is not None else 0 for entry, _ in results],
            [int(after.shrink) for _, after in results],
        )
        return {row["id"] for row in rows}

    async def free(self, claim: Claim) -> tuple[datetime, bool]:
        """Free the chat and date the windows' places at this moment, which is returned, and whether there is more to send in the chat.

        To be called before any of what the claim had is written, but for ``keep_post``: that locks incidents.
        """
        held = list(claim.held), list(claim.held.values())
        [row] = await self._connection.fetch(_FREE, claim.chat, claim.id, *held)
        return row["at"], row["more"]

    async def record_edit(self, stale: StaleMessage, after: AfterEdit) -> None:
        """Write down what became of an edit."""
        await self._record_post(stale, after)

    async def record_digest(self, digest: Digest, after: AfterEdit, *, at: datetime, again_at: datetime) -> int:
        """Write down what became of a digest and of what it shows; it has its next turn at ``again_at`` at the earliest.

        Returns how many deliveries came to their end.
        """
        return await self._record_digest(digest, after, at=at, again_at=again_at)

    async def receipt(self, entry: Entry, text: str) -> None:
        """Write into its incident's history that a delivery which stands in for another one arrived."""
        incident = entry.waiting.incident
        if incident is not None:
            await self._connection.execute(_RECEIPT, incident.id, text)

    async def pause(self, claim: Claim, until: datetime) -> None:
        """Keep the chat shut until then (a provider's 429), also when the outcome has freed it already."""
        await self._connection.execute(_PAUSE, claim.chat, until)

    async def refuses(self, claim: Claim, refused: bool) -> None:
        """Remember whether the chat takes anything."""
        await self._connection.execute(_REFUSES, claim.chat, refused)

    async def move(self, claim: Claim, address: str) -> None:
        """Send everything of this chat to another address from now on."""
        await self._connection.execute(_MOVE, claim.chat, address)

    async def add_to_outbox(self, *envelopes: Envelope) -> None:
        """Put events into the outbox."""
        await outbox.add(self._connection, *envelopes)


async def lease(
    connection: Connection, claims: Sequence[Claim], *, windows: Mapping[str, tuple[datetime, ...]], until: datetime
) -> None:
    """Give each claim its chat and its deliveries until then, and the windows their stamps.

    The caller has locked the chats and the windows before, in this transaction.
    """
    stamps = [(key, stamp) for key in windows for stamp in windows[key]]
    carried = [(entry.waiting.id, claim.id) for claim in claims for entry in claim.entries]
    await connection.execute(
        _LEASE,
        until,
        [claim.chat for claim in claims],
        [claim.id for claim in claims],
        [key for key, _ in stamps],
        [stamp for _, stamp in stamps],
        [delivery for delivery, _ in carried],
        [claim for _, claim in carried],
    )
