"""What is to be followed up, in PostgreSQL: incidents without a ticket, lines of history that nobody was notified of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from common.postgres import Connection, Database
from common.service import in_halves, kept_apart
from notifier.delivery.notifications import NotificationStore
from notifier.duty.roster_store import RosterReader
from notifier.incidents.model import Incident
from notifier.incidents.silenced import silenced_of
from notifier.incidents.store import incident_of
from notifier.tickets.model import HistoryLine
from notifier.tickets.store import InstructionStore, TicketStore

T = TypeVar("T")
R = TypeVar("R")
_LOCK = 7_003_002
_UNFOLLOWED = """
SELECT * FROM incidents WHERE followed_up_kind IS DISTINCT FROM kind AND 'incident ' || id <> ALL($2::text[])
ORDER BY id LIMIT $1 FOR UPDATE
"""
_FOLLOWED = "UPDATE incidents SET followed_up_kind = kind WHERE id = ANY($1::bigint[])"
_LINES = """
SELECT h.id AS line_id, h.actor, h.act, h.text, h.at, h.origin, coalesce(t.id, s.id) AS ticket_id, t.id IS NULL AS summons,
       coalesce(t.key, t.id::text, s.key, s.id::text) AS ticket, coalesce(t.state, s.state) = 'open' IS TRUE AS ticket_open, i.*
FROM incident_history AS h
JOIN incidents AS i ON i.id = h.incident_id
LEFT JOIN tickets AS t ON t.incident_id = i.id
LEFT JOIN LATERAL (SELECT id, key, state FROM tickets WHERE summons_id = i.id ORDER BY id LIMIT 1) AS s ON true
WHERE NOT h.told
"""
_NEXT_LINES = _LINES + "AND 'incident ' || i.id <> ALL($2::text[]) ORDER BY h.id LIMIT $1"
_OWN_LINES = _LINES + "AND h.incident_id = ANY($1::bigint[]) AND h.at = now() ORDER BY h.id"
_BACKLOG = """
SELECT (SELECT coalesce(extract(epoch FROM now() - min(at)), 0)::float8 FROM incident_history WHERE NOT told) AS oldest,
       (SELECT count(*) FROM incident_history WHERE NOT told) AS lines,
       (SELECT count(*) FROM tickets WHERE outside IN ('pending', 'creating')) AS tickets,
       (SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 FROM tickets
         WHERE outside IN ('pending', 'creating')) AS tickets_oldest
"""
_NEEDLESS_SUMMONS = """
SELECT i.fingerprint FROM incidents AS i JOIN tickets AS t ON t.summons_id = i.id
WHERE i.state <> 'resolved' AND i.fingerprint LIKE 'ticket:%' AND t.state = 'closed' ORDER BY i.id LIMIT $1
"""
_MARK_NOTIFIED = "UPDATE incident_history SET told = true WHERE id = ANY($1::bigint[])"
# Not of a problem that was reported again meanwhile.
_CLOSE = """
UPDATE tickets AS t SET state = 'closed', closed_at = now()
WHERE t.id = ANY($1::bigint[]) AND t.state <> 'closed'
  AND EXISTS (SELECT FROM incidents AS i WHERE i.id = t.incident_id AND i.state = 'resolved')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Lines of incidents not followed up, and tickets that the outside tracker does not have; the oldest of each in seconds."""

    lines: int
    oldest: float
    tickets: int
    tickets_oldest: float


class FollowUpStore:
    """Opens the follow-up transaction."""

    def __init__(self, database: Database, *, outside: bool) -> None:
        self._database = database
        self._outside = outside

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FollowUpBatch | None]:
        """Open the transaction, unless another replica has it."""
        async with self._database.transaction() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
                yield None
                return
            now = await connection.fetchval("SELECT clock_timestamp()")
            yield FollowUpBatch(connection, now=now, outside=self._outside)

    async def backlog(self) -> Backlog:
        """Return what is not followed up, and which tickets the outside tracker does not have."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(_BACKLOG)
        assert row is not None  # noqa: S101 - it has no condition
        return Backlog(**dict(row))


class FollowUpBatch:
    """What is to be followed up, inside one transaction that no other replica has at the same time."""

    def __init__(self, connection: Connection, *, now: datetime, outside: bool) -> None:
        self._connection = connection
        self.tickets = TicketStore(connection, outside=outside)
        self.instructions = InstructionStore(connection)
        self.roster = RosterReader(connection)
        self.notifications = NotificationStore(connection)
        self.now = now

    async def unfollowed(self, *, limit: int) -> Sequence[Incident]:
        """Lock and return incidents for which no ticket was decided on, the oldest first; none that is kept apart."""
        return [incident_of(row) for row in await self._connection.fetch(_UNFOLLOWED, limit, kept_apart())]

    async def one_by_one(
        self, items: Sequence[T], do: Callable[[Sequence[T]], Awaitable[R]], *, incident: Callable[[T], Incident]
    ) -> list[R]:
        """Do items together, those of incidents that fail by a fault left out, from the one that fails on (``in_halves``)."""
        return await in_halves(items, do, name=lambda each: f"incident {incident(each).id}", within=self._connection)

    async def followed(self, incident_ids: Sequence[int]) -> None:
        """Mark them as decided on."""
        await self._connection.execute(_FOLLOWED, list(incident_ids))

    async def lines(self, *, limit: int) -> Sequence[HistoryLine]:
        """Return lines of history that are to be notified, in order; none of an incident that is kept apart."""
        rows = await self._connection.fetch(_NEXT_LINES, limit, kept_apart())
        silenced = await silenced_of(self.notifications, rows) if rows else []
        return [_line_of(row, silenced=why) for row, why in zip(rows, silenced, strict=True)]

    async def close_tickets(self, ticket_ids: Sequence[int]) -> None:
        """Close tickets whose problem is over."""
        if ticket_ids:
            await self._connection.execute(_CLOSE, list(ticket_ids))

    async def needless_summons(self, *, limit: int) -> Sequence[str]:
        """Return the fingerprints of summonses to tickets that are closed."""
        return [row["fingerprint"] for row in await self._connection.fetch(_NEEDLESS_SUMMONS, limit)]

    async def mark_notified(self, line_ids: Sequence[int]) -> None:
        """Mark lines as notified."""
        await self._connection.execute(_MARK_NOTIFIED, list(line_ids))


async def own_lines(connection: Connection, incident_ids: Sequence[int]) -> Sequence[HistoryLine]:
    """Return the lines that this very transaction has written about these incidents, to be followed up once it is committed."""
    return [_line_of(row, silenced=None) for row in await connection.fetch(_OWN_LINES, list(incident_ids))]


def _line_of(row: Any, *, silenced: str | None) -> HistoryLine:
    return HistoryLine(
        id=row["line_id"],
        incident=incident_of(row),
        actor=row["actor"],
        act=row["act"],
        text=row["text"],
        at=row["at"],
        origin=row["origin"],
        ticket_id=row["ticket_id"],
        summons=row["summons"],
        silenced=silenced,
        ticket=row["ticket"],
        ticket_open=row["ticket_open"],
    )
