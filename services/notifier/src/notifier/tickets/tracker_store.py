"""What of our tickets the outside tracker has, in PostgreSQL: leases, keys, and comments in their order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from common.http import Principal
from common.postgres import Connection, Database
from notifier.delivery.notifications import NotificationStore
from notifier.duty.roster_store import RosterReader
from notifier.incidents.store import IncidentStore, lock_incidents
from notifier.tickets.known_defects import DefectStore
from notifier.tickets.model import CommentToSend, OutsideComment, TicketToCreate, TicketToMove, TicketToRead

_TICKET = """
UPDATE tickets SET outside = 'creating', attempts = attempts + 1, not_before = clock_timestamp() + $1::interval
WHERE id = (SELECT id FROM tickets WHERE outside IN ('pending', 'creating') AND not_before <= clock_timestamp()
            ORDER BY not_before, id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, queue, summary, description, coalesce(first_incident, incident_id) AS incident_id, attempts
"""
_CREATED = """
UPDATE tickets SET outside = 'created', key = $2, reason = NULL, outside_state = 'open'
WHERE id = $1 AND key IS DISTINCT FROM $2 RETURNING develops
"""
_DEVELOPED = "UPDATE tickets SET development_ticket = $2 WHERE id = $1"
_NAME_DEFECT = "UPDATE known_defects SET development_ticket = $2 WHERE ticket_id = $1"
_LINK_DEVELOPMENT = """
INSERT INTO ticket_comments (ticket_id, author, text, link, outside) VALUES ($1, 'notifier', '→ ' || $2::text, $2, 'pending')
"""
_TICKET_LATER = (
    "UPDATE tickets SET outside = 'pending', not_before = clock_timestamp() + $2::interval, reason = $3 WHERE id = $1"
)
_COMMENT = """
UPDATE ticket_comments AS c SET outside = 'sending', attempts = c.attempts + 1, not_before = clock_timestamp() + $1::interval
FROM tickets AS t
WHERE t.id = c.ticket_id AND c.id = (
    SELECT n.id FROM ticket_comments AS n JOIN tickets AS o ON o.id = n.ticket_id
    WHERE n.outside IN ('pending', 'sending') AND n.not_before <= clock_timestamp() AND o.outside = 'created'
      AND NOT EXISTS (SELECT FROM ticket_comments AS e
                      WHERE e.ticket_id = n.ticket_id AND e.id < n.id AND e.outside IN ('pending', 'sending'))
    ORDER BY n.not_before, n.id LIMIT 1 FOR UPDATE OF n SKIP LOCKED)
RETURNING c.id, t.key, c.text, c.summon, c.link, c.assign, t.seen_comment AS seen, c.attempts
"""
_SENT = "UPDATE ticket_comments SET outside = 'sent', outside_id = $2 WHERE id = $1"
_COMMENT_LATER = """
UPDATE ticket_comments SET outside = CASE WHEN $3 THEN 'failed' ELSE 'pending' END, not_before = clock_timestamp() + $2::interval
WHERE id = $1
"""
_TO_READ = """
UPDATE tickets SET read_at = clock_timestamp()
WHERE id = (SELECT id FROM tickets WHERE outside = 'created' AND state = 'open' AND read_at < clock_timestamp() - $1::interval
            ORDER BY read_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, key, seen_comment AS seen, incident_id, summons_id
"""
# After everything that was said before: a ticket that is closed there still gets its last words.
_TO_MOVE = """
UPDATE tickets SET outside_due = clock_timestamp() + $1::interval
WHERE id = (SELECT t.id FROM tickets AS t
            WHERE t.outside = 'created' AND t.outside_state IS DISTINCT FROM t.state AND t.outside_due <= clock_timestamp()
              AND NOT EXISTS (SELECT FROM ticket_comments AS c WHERE c.ticket_id = t.id AND c.outside IN ('pending', 'sending'))
            ORDER BY t.outside_due LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, key, state
"""
_MOVED = "UPDATE tickets SET outside_state = $2, outside_due = clock_timestamp() WHERE id = $1"
_MOVE_LATER = "UPDATE tickets SET outside_due = clock_timestamp() + $2::interval, reason = $3 WHERE id = $1"
_DEFECT = """
UPDATE known_defects SET looked_at = clock_timestamp()
WHERE id = (SELECT id FROM known_defects
            WHERE ended_at IS NULL AND development_ticket IS NOT NULL AND looked_at < clock_timestamp() - $1::interval
            ORDER BY looked_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING development_ticket
"""
_SEEN = "UPDATE tickets SET seen_comment = greatest(seen_comment, $2) WHERE id = $1"
_KNOWN = "SELECT EXISTS (SELECT FROM ticket_comments WHERE ticket_id = $1 AND outside_id = $2)"
# One of ours whose answer was lost: it did arrive.
_ARRIVED = """
UPDATE ticket_comments SET outside = 'sent', outside_id = $2
WHERE id = (SELECT id FROM ticket_comments WHERE ticket_id = $1 AND outside IN ('pending', 'sending') AND attempts > 0 AND text = $3
            ORDER BY id LIMIT 1)
RETURNING id
"""
_KEEP = """
INSERT INTO ticket_comments (ticket_id, author, text, outside, outside_id) VALUES ($1, $2, $3, 'read', $4)
ON CONFLICT (ticket_id, outside_id) DO NOTHING RETURNING id
"""
_LONGEST_WAIT = timedelta(minutes=5)


class TrackerStore:
    """What is between our tickets and the tracker's. Claims are leases: who dies half-way is followed by another."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ticket(self, *, lease: timedelta) -> TicketToCreate | None:
        """Claim a ticket that is to be created."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_TICKET, lease)
        if row is None:
            return None
        return TicketToCreate(**row)

    async def created(self, ticket: TicketToCreate, key: str) -> None:
        """Write down the key; a development ticket is named, and linked, in the ticket that it was made of."""
        async with self._database.transaction() as connection:
            develops: int | None = await connection.fetchval(_CREATED, ticket.id, key)
            if develops is not None:
                await connection.execute(_DEVELOPED, develops, key)
                await connection.execute(_LINK_DEVELOPMENT, develops, key)
                await connection.execute(_NAME_DEFECT, ticket.id, key)

    async def comment(self, *, lease: timedelta) -> CommentToSend | None:
        """Claim the next comment of a ticket that exists; comments of one ticket go in their order."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_COMMENT, lease)
        if row is None:
            return None
        return CommentToSend(**{**row, "summon": tuple(row["summon"])})

    async def sent(self, comment: CommentToSend, outside_id: str) -> None:
        """Write down that the tracker has it."""
        async with self._database.acquire() as connection:
            await connection.execute(_SENT, comment.id, outside_id)

    async def later(self, what: TicketToCreate | CommentToSend, *, reason: str, for_good: bool) -> None:
        """Try again later (doubling, at most five minutes); a comment that is refused for good ends."""
        wait = min(_LONGEST_WAIT, timedelta(seconds=2 ** min(what.attempts, 9)))
        async with self._database.acquire() as connection:
            if isinstance(what, TicketToCreate):
                await connection.execute(_TICKET_LATER, what.id, wait, reason)
            else:
                await connection.execute(_COMMENT_LATER, what.id, wait, for_good)

    async def to_read(self, *, every: timedelta) -> TicketToRead | None:
        """Claim a ticket whose comments were not read for that long."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_TO_READ, every)
        return None if row is None else TicketToRead(**row)

    async def to_move(self, *, lease: timedelta) -> TicketToMove | None:
        """Claim a ticket that the tracker has in another state than we."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_TO_MOVE, lease)
        return None if row is None else TicketToMove(**row)

    async def moved(self, ticket: TicketToMove) -> None:
        """Write down that the tracker has it in the state that was asked for; if ours has changed since, it is due again."""
        async with self._database.acquire() as connection:
            await connection.execute(_MOVED, ticket.id, ticket.state)

    async def move_later(self, ticket: TicketToMove, *, reason: str) -> None:
        """Try again in five minutes: a workflow may be changed, rights may be given."""
        async with self._database.acquire() as connection:
            await connection.execute(_MOVE_LATER, ticket.id, _LONGEST_WAIT, reason)

    async def defect(self, *, every: timedelta) -> str | None:
        """Claim a known defect that was not looked at for that long; return its development ticket."""
        async with self._database.transaction() as connection:
            key: str | None = await connection.fetchval(_DEFECT, every)
        return key

    async def mended(self, development_ticket: str, *, by: str) -> None:
        """End what is known as a defect of this development ticket."""
        async with self._database.transaction() as connection:
            await DefectStore(connection).end_of(development_ticket, by=by)

    @asynccontextmanager
    async def reading(self, ticket: TicketToRead, *, author: str, role: str) -> AsyncIterator[TicketReading]:
        """Open the transaction in which a comment of somebody is kept. What it may take is locked before the ticket."""
        async with self._database.transaction() as connection:
            about = (ticket.incident_id, ticket.summons_id)
            await lock_incidents(connection, [each for each in about if each is not None])
            yield TicketReading(connection, principal=Principal(name=author, role=role))


class TicketReading:
    """What a comment that was read is kept with, in one transaction."""

    def __init__(self, connection: Connection, *, principal: Principal) -> None:
        self._connection = connection
        self.incident_store = IncidentStore(connection, principal=principal, request_id="tracker")
        self.notifications = NotificationStore(connection)
        self.roster = RosterReader(connection)

    async def keep(self, ticket: TicketToRead, comment: OutsideComment, *, author: str, text: str) -> bool:
        """Keep a comment once; returns whether it is new and not one of our own."""
        await self._connection.execute(_SEEN, ticket.id, comment.id)
        if await self._connection.fetchval(_KNOWN, ticket.id, str(comment.id)):
            return False
        if await self._connection.fetchval(_ARRIVED, ticket.id, str(comment.id), comment.text) is not None:
            return False
        kept = await self._connection.fetchval(_KEEP, ticket.id, author, text, str(comment.id))
        return kept is not None
