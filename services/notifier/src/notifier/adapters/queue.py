"""Waiting deliveries in PostgreSQL: lanes are locked rows, rate windows are rows that replicas share.

Locks are always taken lane → windows (by key) → deliveries, so that claiming and recording never wait for each other crosswise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from common.contracts import Envelope
from common.messaging import outbox
from common.postgres import Connection, Database
from notifier.application.ports import Claim, Entry, Lane, Queue, Waiting
from notifier.domain.deliveries import After, State
from notifier.domain.limits import Limit

LimitsOf = Callable[[str], tuple[Limit, ...]]
"""From a chat's present address to the limits that hold there."""

_HEAD = 40  # about what the largest message can carry
_LONGEST_IDLE = 1.0
_NEXT_LANE = """
SELECT key, address, refused FROM lanes AS l
WHERE l.channel = $1 AND l.not_before <= now() AND (l.lease_until IS NULL OR l.lease_until < now())
  AND EXISTS (SELECT FROM deliveries AS d
              WHERE d.lane = l.key AND d.state IN ('pending', 'unknown') AND d.not_before <= now())
ORDER BY l.last_sent_at NULLS FIRST, l.key
LIMIT 1
FOR UPDATE OF l SKIP LOCKED
"""
_MAKE_WINDOWS = "INSERT INTO rate_windows (key) SELECT unnest($1::text[]) ON CONFLICT (key) DO NOTHING"
_WINDOWS = "SELECT key, stamps FROM rate_windows WHERE key = ANY($1::text[]) ORDER BY key FOR UPDATE"
_WAITING = """
SELECT d.id, d.notice_id, d.subject, d.destination, d.topic, d.created_at, d.attempts, d.pages_done, d.possibly_repeated,
       d.alone, n.kind, n.order_number, n.document, n.traceparent, n.occurred_at
FROM deliveries AS d
JOIN notices AS n ON n.id = d.notice_id
WHERE d.lane = $1 AND d.state IN ('pending', 'unknown')
  -- The sum keeps the planner, while it has no statistics, from the index by due time: it would sort the whole lane.
  AND d.not_before + interval '0' <= $2
  -- An earlier notice of the same subject that cannot go now, or would go after this one, holds this one up.
  AND NOT EXISTS (SELECT FROM deliveries AS e
                  WHERE e.lane = d.lane AND e.subject = d.subject AND e.sequence < d.sequence
                    AND e.state IN ('pending', 'unknown', 'sending')
                    AND (e.state = 'sending' OR e.not_before > $2 OR (e.priority, e.id) > (d.priority, d.id)))
ORDER BY d.priority, d.id
LIMIT $3
"""
_POSTPONE = "UPDATE lanes SET not_before = $2 WHERE key = $1"
_LEASE_LANE = "UPDATE lanes SET claim = $2, lease_until = $3 WHERE key = $1"
_SET_WINDOW = "UPDATE rate_windows SET stamps = $2 WHERE key = $1"
_LEASE = """
UPDATE deliveries SET state = 'sending', claim = $2, lease_until = $3, attempts = attempts + 1
WHERE id = ANY($1::bigint[])
"""
_FREE_LANE = """
UPDATE lanes SET claim = NULL, lease_until = NULL, last_sent_at = $3 WHERE key = $1 AND claim = $2
"""
_PAUSE = "UPDATE lanes SET not_before = greatest(not_before, $3) WHERE key = $1 AND claim = $2"
_MOVE = """
UPDATE lanes SET address = $2, moved_from = array_append(moved_from, address) WHERE key = $1 AND address <> $2
"""
_DATE_WINDOW = "UPDATE rate_windows SET stamps = array_replace(stamps, $2::timestamptz, $3::timestamptz) WHERE key = $1"
_REFUSES = "UPDATE lanes SET refused = $2 WHERE key = $1"
_SPOIL = """
UPDATE deliveries AS d SET state = 'failed', reason = s.reason
FROM unnest($1::bigint[], $2::text[]) AS s (id, reason)
WHERE d.id = s.id AND d.state IN ('pending', 'unknown')
"""
_RECORD = """
UPDATE deliveries AS d
SET state = r.state, not_before = r.not_before, reason = r.reason, alone = d.alone OR r.alone,
    possibly_repeated = d.possibly_repeated OR r.state = 'unknown',
    pages_done = d.pages_done + r.pages,
    message_ids = CASE WHEN r.pages > 0 THEN array_append(d.message_ids, $3::text) ELSE d.message_ids END,
    sent_at = CASE WHEN r.state = 'sent' THEN $4::timestamptz ELSE d.sent_at END,
    claim = NULL, lease_until = NULL
FROM unnest($2::bigint[], $5::text[], $6::timestamptz[], $7::text[], $8::bool[], $9::int[])
     AS r (id, state, not_before, reason, alone, pages)
WHERE d.id = r.id AND d.claim = $1 AND d.state IN ('sending', 'unknown')
RETURNING d.id
"""
_EXPIRE = """
UPDATE deliveries
SET state = 'unknown', possibly_repeated = true, not_before = now(), lease_until = NULL,
    reason = 'the sender died before it wrote the outcome down'
WHERE state = 'sending' AND lease_until < now()
RETURNING id
"""
_IDLE = """
SELECT extract(epoch FROM min(greatest(l.not_before, d.first)) - clock_timestamp())::float8
FROM lanes AS l
CROSS JOIN LATERAL (SELECT min(not_before) AS first FROM deliveries
                    WHERE lane = l.key AND state IN ('pending', 'unknown')) AS d
WHERE l.channel = $1 AND d.first IS NOT NULL AND (l.lease_until IS NULL OR l.lease_until < now())
"""


class PostgresQueues:
    """See ``application.ports.Queues``: the deliveries of one channel."""

    def __init__(self, database: Database, *, channel: str, limits: LimitsOf) -> None:
        self._database = database
        self._channel = channel
        self._limits = limits

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Queue]:
        """Open a transaction on the queue."""
        async with self._database.transaction() as connection:
            yield PostgresQueue(connection, channel=self._channel, limits=self._limits)

    async def wait_until(self) -> float:
        """Return in how many seconds something may be due, at most a second."""
        async with self._database.acquire() as connection:
            seconds = await connection.fetchval(_IDLE, self._channel)
        return _LONGEST_IDLE if seconds is None else min(_LONGEST_IDLE, max(0.005, seconds))

    async def expire(self) -> int:
        """Make deliveries whose lease ran out unknown."""
        async with self._database.transaction() as connection:
            return len(await connection.fetch(_EXPIRE))


class PostgresQueue:
    """See ``application.ports.Queue``."""

    def __init__(self, connection: Connection, *, channel: str, limits: LimitsOf) -> None:
        self._connection = connection
        self._channel = channel
        self._limits = limits

    async def next_lane(self) -> Lane | None:
        """Lock the lane that was used longest ago among those with something due."""
        row = await self._connection.fetchrow(_NEXT_LANE, self._channel)
        if row is None:
            return None
        limits = self._limits(row["address"])
        windows = await self._windows(sorted(limit.key for limit in limits))
        now = await self.now()  # after the locks were had: waiting for them took time
        waiting = await self._connection.fetch(_WAITING, row["key"], now, _HEAD)
        return Lane(
            key=row["key"],
            address=row["address"],
            now=now,
            waiting=tuple(_waiting(each) for each in waiting),
            windows=windows,
            limits=limits,
            refused=row["refused"],
        )

    async def _windows(self, keys: list[str]) -> dict[str, tuple[datetime, ...]]:
        rows = await self._connection.fetch(_WINDOWS, keys)
        if len(rows) < len(keys):
            await self._connection.execute(_MAKE_WINDOWS, keys)
            rows = await self._connection.fetch(_WINDOWS, keys)
        return {row["key"]: tuple(row["stamps"]) for row in rows}

    async def postpone(self, lane: Lane, until: datetime) -> None:
        """Leave the lane alone until then."""
        await self._connection.execute(_POSTPONE, lane.key, until)

    async def claim(
        self, lane: Lane, claim: Claim, *, windows: Mapping[str, tuple[datetime, ...]], lease_until: datetime
    ) -> None:
        """Lease lane and deliveries, take places in the windows."""
        await self._connection.execute(_LEASE_LANE, lane.key, claim.id, lease_until)
        for key in sorted(windows):
            await self._connection.execute(_SET_WINDOW, key, list(windows[key]))
        ids = [entry.waiting.id for entry in claim.message.entries]
        await self._connection.execute(_LEASE, ids, claim.id, lease_until)

    async def spoil(self, deliveries: Mapping[int, str]) -> None:
        """End deliveries that can never be sent."""
        await self._connection.execute(_SPOIL, list(deliveries), list(deliveries.values()))

    async def now(self) -> datetime:
        """Return the database's clock."""
        moment: datetime = await self._connection.fetchval("SELECT clock_timestamp()")
        return moment

    async def record(
        self, claim: Claim, results: Sequence[tuple[Entry, After]], *, message_id: str | None, at: datetime
    ) -> set[int]:
        """Free the lane, date the windows, write the deliveries' states."""
        await self._connection.execute(_FREE_LANE, claim.lane, claim.id, at)
        for key in sorted(claim.held):
            await self._connection.execute(_DATE_WINDOW, key, claim.held[key], at)
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
        )
        return {row["id"] for row in rows}

    async def pause(self, claim: Claim, until: datetime) -> None:
        """Keep the lane shut until then."""
        await self._connection.execute(_PAUSE, claim.lane, claim.id, until)

    async def refuses(self, claim: Claim, refused: bool) -> None:
        """Remember whether the lane's chat takes anything."""
        await self._connection.execute(_REFUSES, claim.lane, refused)

    async def move(self, claim: Claim, address: str) -> None:
        """Give the lane another address."""
        await self._connection.execute(_MOVE, claim.lane, address)

    async def promise(self, *envelopes: Envelope) -> None:
        """Put events into the outbox."""
        await outbox.add(self._connection, *envelopes)


def _waiting(row: Any) -> Waiting:
    return Waiting(
        id=row["id"],
        notice_id=str(row["notice_id"]),
        kind=row["kind"],
        subject=row["subject"],
        order_number=row["order_number"],
        destination=row["destination"],
        topic=row["topic"],
        document=row["document"],
        traceparent=row["traceparent"],
        occurred_at=row["occurred_at"],
        created_at=row["created_at"],
        attempts=row["attempts"],
        pages_done=row["pages_done"],
        possibly_repeated=row["possibly_repeated"],
        alone=row["alone"],
    )
