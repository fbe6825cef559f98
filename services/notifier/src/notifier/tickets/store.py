"""Tickets, their comments and the operators' instructions in PostgreSQL: the built-in tracker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from common.errors import ChangedSince, NotFound
from common.postgres import Connection
from notifier.incidents.store import lock_incidents
from notifier.tickets.model import Instruction, NewTicket, TicketComment
from notifier.tickets.views import TicketQuery

_NUMBERS = """
INSERT INTO ticket_queues AS q (queue, last) VALUES ($1, $2)
ON CONFLICT (queue) DO UPDATE SET last = q.last + excluded.last RETURNING last
"""
_WITHOUT = """
SELECT incident_id FROM unnest($1::bigint[]) AS asked (incident_id)
WHERE NOT EXISTS (SELECT FROM tickets AS t WHERE t.incident_id = asked.incident_id)
"""
_ADD = """
INSERT INTO tickets (key, queue, incident_id, order_number, kind, summary, description, created_by, develops, outside)
SELECT key, queue, incident_id, order_number, kind, summary, description, created_by, develops, $10
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[]) WITH ORDINALITY
     AS new (key, queue, incident_id, order_number, kind, summary, description, created_by, develops, position)
ORDER BY position
ON CONFLICT (incident_id) DO NOTHING
RETURNING id, key, queue, incident_id
"""
# The ticket of the same problem, if it is open or was closed so short a time ago.
_REOPEN = """
UPDATE tickets AS t SET incident_id = $1, first_incident = coalesce(t.first_incident, t.incident_id), state = 'open', closed_at = NULL
WHERE t.id = (
    SELECT o.id FROM incidents AS i JOIN incidents AS before ON before.fingerprint = i.fingerprint AND before.id < i.id
    JOIN tickets AS o ON o.incident_id = before.id
    WHERE i.id = $1 AND (o.closed_at IS NULL OR o.closed_at > now() - $2::interval)
      AND NOT EXISTS (SELECT FROM tickets AS own WHERE own.incident_id = $1)
    ORDER BY before.id DESC LIMIT 1)
RETURNING t.id, t.key, t.queue, t.incident_id
"""
_COMMENT = """
INSERT INTO ticket_comments (ticket_id, history_id, author, text, summon, link, assign, outside)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (history_id) DO NOTHING
RETURNING id, ticket_id, author, text, at
"""
_INSTRUCTIONS = "SELECT kind, text, call, queue FROM instructions ORDER BY kind"
_INCIDENTS = "SELECT incident_id, summons_id FROM tickets WHERE key = $1 OR id = $2 ORDER BY id DESC LIMIT 1"
_TICKET = "SELECT * FROM tickets WHERE key = $1 OR id = $2 ORDER BY id DESC LIMIT 1 FOR NO KEY UPDATE"
_DEVELOPMENT = "UPDATE tickets SET development_ticket = $2 WHERE id = $1"
_WHOLE = """
SELECT t.*, coalesce((SELECT jsonb_agg(jsonb_build_object('id', c.id, 'author', c.author, 'text', c.text, 'at', c.at) ORDER BY c.id)
                      FROM ticket_comments AS c WHERE c.ticket_id = t.id), '[]') AS comments,
    (SELECT 1 + count(*) FROM ticket_comments AS c WHERE c.ticket_id = t.id AND c.history_id IS NULL) AS version,
    ARRAY(SELECT other FROM ticket_links WHERE ticket_id = t.id
          UNION SELECT coalesce(o.key, o.id::text) FROM ticket_links AS l JOIN tickets AS o ON o.id = l.ticket_id WHERE l.other = t.key
          UNION SELECT coalesce(o.key, o.id::text) FROM tickets AS o WHERE o.development_ticket = t.key OR o.id = t.develops
          ORDER BY 1) AS links
FROM tickets AS t
"""
_ONE = _WHOLE + "WHERE t.key = $1 OR t.id = $2 ORDER BY t.id DESC LIMIT 1"
_ASSIGN = "UPDATE tickets SET assignee = $2 WHERE id = $1"
_SUMMONS = "UPDATE tickets SET summons_id = $2 WHERE id = $1"
_CLOSE = "UPDATE tickets SET state = 'closed', closed_at = now() WHERE id = $1"
_OPEN_AGAIN = "UPDATE tickets SET state = 'open', closed_at = NULL WHERE id = $1"
_LINK = "INSERT INTO ticket_links (ticket_id, other, linked_by) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_DEVELOPED_BY = "SELECT coalesce(key, '#' || id) FROM tickets WHERE develops = $1 ORDER BY id LIMIT 1"
# Whatever people do to a ticket leaves a comment; what happens to its problem is a line of history.
_VERSION = "SELECT 1 + count(*) FROM ticket_comments WHERE ticket_id = $1 AND history_id IS NULL"
_PAGE = (
    _WHOLE
    + """
WHERE ($1::text IS NULL OR t.queue = $1) AND ($2::text IS NULL OR t.state = $2) AND ($3::text IS NULL OR t.order_number = $3)
  AND ($4::bigint IS NULL OR t.incident_id = $4) AND ($5::bigint IS NULL OR t.id < $5)
ORDER BY t.id DESC LIMIT $6
"""
)
_PUT_INSTRUCTION = """
INSERT INTO instructions AS i (kind, text, call, queue, updated_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (kind) DO UPDATE SET text = excluded.text, call = excluded.call, queue = excluded.queue, version = i.version + 1,
    updated_at = now(), updated_by = excluded.updated_by
RETURNING *
"""
_GET_INSTRUCTION = "SELECT * FROM instructions WHERE kind = $1 FOR UPDATE"
_ALL_INSTRUCTIONS = "SELECT * FROM instructions ORDER BY kind"
_DROP_INSTRUCTION = "DELETE FROM instructions WHERE kind = $1"


def select_tickets(wanted: TicketQuery, *, before: int | None, limit: int) -> tuple[str, list[Any]]:
    """Return the statement of tickets with their comments, newest first, with ids below ``before``, and its values."""
    return _PAGE, [wanted.queue, wanted.state, wanted.order, wanted.incident, before, limit]


class TicketStore:
    """Tickets and their comments, on one connection. ``outside``: the outside tracker is to get them."""

    def __init__(self, connection: Connection, *, outside: bool) -> None:
        self._connection = connection
        self._outside = outside

    async def open(self, tickets: Sequence[NewTicket]) -> Sequence[Mapping[str, Any]]:
        """Open tickets; an incident that has one keeps it. Returns id, key, queue and incident of the new ones.

        Built-in tickets have their key at once; an outside tracker gives it later.
        """
        asked = [ticket.incident_id for ticket in tickets if ticket.incident_id is not None]
        without = {row["incident_id"] for row in await self._connection.fetch(_WITHOUT, asked)}
        wanted = [ticket for ticket in tickets if ticket.incident_id is None or ticket.incident_id in without]
        if not wanted:
            return []
        keys = [None] * len(wanted) if self._outside else await self._keys([ticket.queue for ticket in wanted])
        rows = await self._connection.fetch(
            _ADD,
            keys,
            [ticket.queue for ticket in wanted],
            [ticket.incident_id for ticket in wanted],
            [ticket.order_number for ticket in wanted],
            [ticket.kind for ticket in wanted],
            [ticket.summary for ticket in wanted],
            [ticket.description for ticket in wanted],
            [ticket.created_by for ticket in wanted],
            [ticket.develops for ticket in wanted],
            "pending" if self._outside else "kept",
        )
        return [dict(row) for row in rows]

    async def _keys(self, queues: Sequence[str]) -> Sequence[str]:
        """Take the next number of a queue for each; queues are locked in their order."""
        left = Counter(queues)
        last = {queue: await self._connection.fetchval(_NUMBERS, queue, count) for queue, count in sorted(left.items())}
        keys = []
        for queue in queues:
            left[queue] -= 1
            keys.append(f"{queue}-{last[queue] - left[queue]}")
        return keys

    async def comment(
        self, comment: TicketComment, *, link: str | None = None, assign: str | None = None
    ) -> Mapping[str, Any] | None:
        """Add a remark, each line of history once: returns its row, None for a line that was there.

        What the outside tracker is to do first: ``link`` another ticket, ``assign`` it to a login ('' is nobody).
        """
        row = await self._connection.fetchrow(
            _COMMENT,
            comment.ticket_id,
            comment.history_id,
            comment.author,
            comment.text,
            list(comment.summon),
            link,
            assign,
            "pending" if self._outside else "kept",
        )
        return None if row is None else dict(row)

    async def reopen(self, incident_id: int, *, within: timedelta) -> Mapping[str, Any] | None:
        """Give an incident the ticket that its problem had before, opened again; None when there is none, or it was closed longer ago."""
        row = await self._connection.fetchrow(_REOPEN, incident_id, within)
        return None if row is None else dict(row)

    async def whole(self, key: str) -> Mapping[str, Any]:
        """Return a ticket with its comments and links. Raises ``NotFound``."""
        row = await self._connection.fetchrow(_ONE, key, _number(key))
        if row is None:
            raise NotFound("no such ticket")
        return dict(row)

    async def ticket(self, key: str) -> Mapping[str, Any]:
        """Lock and return a ticket by its key, or by our own number (``12``). Raises ``NotFound``.

        Its incidents are locked before it, as everybody does who wants both.
        """
        about = await self._connection.fetchrow(_INCIDENTS, key, _number(key))
        if about is not None:
            await lock_incidents(self._connection, [each for each in about.values() if each is not None])
        row = await self._connection.fetchrow(_TICKET, key, _number(key))
        if row is None:
            raise NotFound("no such ticket")
        return dict(row)

    async def ensure_version(self, ticket: Mapping[str, Any], expected: int | None) -> None:
        """Raise ``ChangedSince`` when a ticket that is locked is at another version than expected."""
        if expected is not None:
            at = await self._connection.fetchval(_VERSION, ticket["id"])
            ChangedSince.require(f"ticket {ticket['key'] or ticket['id']}", at=at, expected=expected)

    async def develop(self, ticket_id: int, key: str) -> None:
        """Name the development ticket that mends the cause."""
        await self._connection.execute(_DEVELOPMENT, ticket_id, key)

    async def assign(self, ticket_id: int, person: str | None) -> None:
        """Write down whose it is."""
        await self._connection.execute(_ASSIGN, ticket_id, person)

    async def summon(self, ticket_id: int, incident_id: int) -> None:
        """Write down by which incident somebody is summoned to it."""
        await self._connection.execute(_SUMMONS, ticket_id, incident_id)

    async def close(self, ticket_id: int) -> None:
        """Close it."""
        await self._connection.execute(_CLOSE, ticket_id)

    async def open_again(self, ticket_id: int) -> None:
        """Open it again."""
        await self._connection.execute(_OPEN_AGAIN, ticket_id)

    async def link(self, ticket_id: int, other: str, *, by: str) -> None:
        """Link another ticket, here or elsewhere."""
        await self._connection.execute(_LINK, ticket_id, other, by)

    async def developed_by(self, ticket_id: int) -> str | None:
        """Return the development ticket that was made of this one, by its key or our own number."""
        found: str | None = await self._connection.fetchval(_DEVELOPED_BY, ticket_id)
        return found


class InstructionStore:
    """What operators do about each kind of problem, on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def all(self) -> Sequence[Mapping[str, Any]]:
        """Return the rows of all instructions."""
        return [dict(row) for row in await self._connection.fetch(_ALL_INSTRUCTIONS)]

    async def by_kind(self) -> Sequence[Instruction]:
        """Return what people wrote that operators are to do; ``built_in`` has the rest."""
        return [Instruction(**row) for row in await self._connection.fetch(_INSTRUCTIONS)]

    async def locked(self, kind: str) -> Mapping[str, Any] | None:
        """Lock and return one row."""
        row = await self._connection.fetchrow(_GET_INSTRUCTION, kind)
        return None if row is None else dict(row)

    async def put(self, kind: str, *, text: str, call: bool, queue: str | None, by: str) -> Mapping[str, Any]:
        """Write an instruction, its version one higher than before; returns its row."""
        row = await self._connection.fetchrow(_PUT_INSTRUCTION, kind, text, call, queue, by)
        assert row is not None  # noqa: S101 - INSERT … ON CONFLICT DO UPDATE … RETURNING always gives a row
        return dict(row)

    async def remove(self, kind: str) -> None:
        """Remove an instruction, if there is one."""
        await self._connection.execute(_DROP_INSTRUCTION, kind)


def _number(key: str) -> int | None:
    return int(key) if key.isascii() and key.isdecimal() and len(key) < 19 else None
