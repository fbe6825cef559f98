"""What the spools of all replicas hold, for whoever asks any of them: each notes its own in the database while that answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from common.clock import Clock
from common.errors import Unavailable
from common.postgres import Database, Record
from common.service import WaitingQueue
from webhook_gateway.durable.spool import Spool

LATE_AFTER_S = 300.0
_STORED_WITHIN = timedelta(seconds=30)  # after it came in; a sender waits for less
_NOTE = """
INSERT INTO spools AS s (replica, records, oldest_at, seen_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (replica) DO UPDATE SET records = excluded.records, oldest_at = excluded.oldest_at, seen_at = excluded.seen_at
WHERE s.seen_at <= excluded.seen_at
"""
_OTHERS = "SELECT replica, records, oldest_at, seen_at FROM spools WHERE replica <> $1 ORDER BY replica"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolStates:
    """The spool of this replica as it is now, and those of the others as they said last."""

    database: Database
    spool: Spool
    replica: str
    clock: Clock

    async def note(self) -> None:
        """Write down what this replica's spool holds. Nothing that came in waits for it."""
        state, now = self.spool.state, self.clock.now()
        oldest_at = None if state.oldest_at is None else datetime.fromtimestamp(state.oldest_at, UTC)
        async with self.database.acquire() as connection:
            await connection.execute(_NOTE, self.replica, state.records, oldest_at, now)

    async def waiting(self) -> Sequence[WaitingQueue]:
        """Return this replica's, also while the database is away, and the others'. One that is gone for good is forgotten when empty."""
        state, now = self.spool.state, self.clock.now()
        own = None if state.oldest_at is None else datetime.fromtimestamp(state.oldest_at, UTC)
        others: Sequence[Record] = ()
        with suppress(Unavailable):
            async with self.database.acquire() as connection:
                others = await connection.fetch(_OTHERS, self.replica)
        return [
            _queue(self.replica, state.records, own, now=now, as_of=None),
            *(
                _queue(row["replica"], row["records"], row["oldest_at"], now=now, as_of=row["seen_at"])
                for row in others
            ),
        ]

    async def held(self, before: datetime) -> Counter[str]:
        """Return by replica how much its spool holds; nothing of a spool in which nothing had come in before that moment."""
        queues, youngest = await self.waiting(), (self.clock.now() - before - _STORED_WITHIN).total_seconds()
        return Counter(
            {each.replica or "": each.waiting or 0 for each in queues if (each.oldest_seconds or 0.0) > youngest}
        )


def _queue(
    replica: str, records: int, oldest_at: datetime | None, *, now: datetime, as_of: datetime | None
) -> WaitingQueue:
    age = None if oldest_at is None or not records else max((now - oldest_at).total_seconds(), 0.0)
    return WaitingQueue(
        name="spool", replica=replica, waiting=records, oldest_seconds=age, late_after_seconds=LATE_AFTER_S, as_of=as_of
    )
