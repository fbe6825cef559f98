"""What of our tickets the outside tracker has, in PostgreSQL: leases, keys, and comments in their order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

from common.http import Principal
from common.postgres import Connection, Database
from notifier.delivery.notifications import NotificationStore
from notifier.duty.roster_store import RosterReader
from notifier.incidents.store import IncidentStore, lock_incidents
from notifier.tickets.model import (
    CommentToSend,
    OutsideComment,
    OutsideIssue,
    TicketToCreate,
    TicketToLook,
    TicketToMove,
    TicketToRead,
)
from notifier.tickets.store import TicketStore

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
_SENT = "UPDATE ticket_comments SET outside = 'sent', outside_id = $2 WHERE id = $1 RETURNING ticket_id"
_ASSIGNED = (
    "UPDATE tickets SET outside_assignee = nullif($2, ''), outside_revision = outside_revision + 1 WHERE id = $1"
)
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
_MOVED = """
UPDATE tickets SET outside_state = $2, outside_revision = outside_revision + 1,
    outside_due = clock_timestamp(), look_due = clock_timestamp()
WHERE id = $1
"""
_MOVE_LATER = "UPDATE tickets SET outside_due = clock_timestamp() + $2::interval, reason = $3 WHERE id = $1"
_TO_LOOK = """
UPDATE tickets SET look_due = clock_timestamp() + $1::interval, outside_revision = outside_revision + 1
WHERE id IN (SELECT id FROM tickets WHERE outside = 'created' AND look_due <= clock_timestamp()
             ORDER BY look_due LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING id, key, seen_comment AS seen, incident_id, summons_id, outside_revision, outside_state, outside_assignee
"""
# The longer it is closed, the less often.
_LOOKED = """
UPDATE tickets SET look_due = clock_timestamp()
    + CASE WHEN state = 'open' THEN $2::interval ELSE $3::interval + coalesce(clock_timestamp() - closed_at, interval '0') / 100 END
WHERE id = ANY($1::bigint[])
"""
_DEFECTS_TO_LOOK = """
UPDATE known_defects SET looked_at = clock_timestamp()
WHERE id IN (SELECT d.id FROM known_defects AS d
             WHERE d.ended_at IS NULL AND d.development_ticket IS NOT NULL AND d.looked_at < clock_timestamp() - $1::interval
               AND NOT EXISTS (SELECT FROM tickets AS t WHERE t.key = d.development_ticket AND t.outside = 'created')
             ORDER BY d.looked_at LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING development_ticket
"""
_FOLLOWED = """
SELECT t.*, EXISTS (SELECT FROM ticket_comments AS c
                    WHERE c.ticket_id = t.id AND c.assign IS NOT NULL AND c.outside IN ('pending', 'sending')) AS assigning
FROM tickets AS t WHERE t.id = $1 AND t.outside_revision = $2
"""
_KNOWN_STATE = "UPDATE tickets SET outside_state = $2 WHERE id = $1"
_KNOWN_ASSIGNEE = "UPDATE tickets SET outside_assignee = $2 WHERE id = $1"
_SEEN = "UPDATE tickets SET seen_comment = greatest(seen_comment, $2) WHERE id = $1"
_OTHERS = """
SELECT o.outside_id FROM ticket_comments AS c JOIN ticket_comments AS o ON o.ticket_id = c.ticket_id AND o.id <> c.id
WHERE c.id = $1 AND o.outside_id = ANY($2::text[])
"""
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
_CLOSED_REST = 30


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

    async def sent(self, comment: CommentToSend, outside_id: str, *, assigned: bool) -> None:
        """Write down that the tracker has it, and whose it made the ticket if it ``assigned`` it."""
        async with self._database.transaction() as connection:
            ticket_id = await connection.fetchval(_SENT, comment.id, outside_id)
            if assigned:
                await connection.execute(_ASSIGNED, ticket_id, comment.assign)

    async def known(self, comment: CommentToSend, outside_ids: Sequence[str]) -> Set[str]:
        """Return which of these of the tracker's comments are known as another comment of its ticket."""
        async with self._database.acquire() as connection:
            return {row["outside_id"] for row in await connection.fetch(_OTHERS, comment.id, list(outside_ids))}

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

    async def to_look(self, *, lease: timedelta, limit: int) -> Sequence[TicketToLook]:
        """Claim tickets that were not looked at for a while: an older look at them is worth nothing from now on."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_TO_LOOK, lease, limit)
        return [
            TicketToLook(
                reading=TicketToRead(
                    **{name: row[name] for name in ("id", "key", "seen", "incident_id", "summons_id")}
                ),
                revision=row["outside_revision"],
                state=row["outside_state"],
                assignee=row["outside_assignee"],
            )
            for row in rows
        ]

    async def looked(self, tickets: Sequence[TicketToLook], *, every: timedelta) -> None:
        """Look at them again after that time, at closed ones much later."""
        if tickets:
            async with self._database.acquire() as connection:
                await connection.execute(
                    _LOOKED, [ticket.reading.id for ticket in tickets], every, every * _CLOSED_REST
                )

    async def defects_to_look(self, *, every: timedelta, limit: int) -> Sequence[str]:
        """Claim development tickets of known defects that were made by others, so are none of our tickets; returns their keys."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_DEFECTS_TO_LOOK, every, limit)
        return list(dict.fromkeys(row["development_ticket"] for row in rows))

    @asynccontextmanager
    async def following(self, ticket: TicketToLook) -> AsyncIterator[FollowedTicket | None]:
        """Lock a ticket to do what was done there; None when there was a newer look, or something of ours has arrived since."""
        async with self._database.transaction() as connection:
            await TicketStore(connection, outside=True).ticket(str(ticket.reading.id))
            row = await connection.fetchrow(_FOLLOWED, ticket.reading.id, ticket.revision)
            yield None if row is None else FollowedTicket(connection, dict(row))

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """Open a transaction."""
        return self._database.transaction()

    @asynccontextmanager
    async def reading(self, ticket: TicketToRead, *, author: str, role: str) -> AsyncIterator[TicketReading]:
        """Open the transaction in which a comment of somebody is kept. What it may take is locked before the ticket."""
        async with self._database.transaction() as connection:
            about = (ticket.incident_id, ticket.summons_id)
            await lock_incidents(connection, [each for each in about if each is not None])
            yield TicketReading(connection, principal=Principal(name=author, role=role))


class FollowedTicket:
    """A ticket, locked, of which something was done in the tracker."""

    def __init__(self, connection: Connection, row: Mapping[str, Any]) -> None:
        self.connection = connection
        self.id: int = row["id"]
        self.state: str = row["state"]
        self.known_state: str | None = row["outside_state"]
        self.assignee: str | None = row["assignee"]
        self.known_assignee: str | None = row["outside_assignee"]
        self.assigning: bool = row["assigning"]
        """Whether an assignment of ours is on its way there."""

    async def know(self, issue: OutsideIssue) -> None:
        """Write down what the tracker has; not whose it is while we are assigning it."""
        await self.connection.execute(_KNOWN_STATE, self.id, issue.state)
        if not self.assigning:
            await self.connection.execute(_KNOWN_ASSIGNEE, self.id, issue.assignee)


class TicketReading:
    """What a comment that was read is kept with, in one transaction."""

    def __init__(self, connection: Connection, *, principal: Principal) -> None:
        self._connection = connection
        self.incident_store = IncidentStore(connection, principal=principal, request_id="tracker")
        self.notifications = NotificationStore(connection)
        self.roster = RosterReader(connection)

    async def keep(
        self, ticket: TicketToRead, comment: OutsideComment, *, author: str, text: str, of_person: bool
    ) -> bool:
        """Keep a comment once; returns whether it is new and not one of our own. A person's never is, whatever it says."""
        await self._connection.execute(_SEEN, ticket.id, comment.id)
        if await self._connection.fetchval(_KNOWN, ticket.id, str(comment.id)):
            return False
        arrived = (_ARRIVED, ticket.id, str(comment.id), comment.text)
        if not of_person and await self._connection.fetchval(*arrived) is not None:
            return False
        kept = await self._connection.fetchval(_KEEP, ticket.id, author, text, str(comment.id))
        return kept is not None
