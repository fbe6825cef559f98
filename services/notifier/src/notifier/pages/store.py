"""What the notifier knows of the thing that a page is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.postgres import Database, Record
from notifier.messages.links import Page

_MOST = 20
_ID = "CASE WHEN $1 ~ '^[0-9]{1,18}$' THEN $1::bigint END"
_LINK = "link = $1 AND link LIKE '/%'"  # as the index has it
# The condition, and what stands before the name in its value.
_CONDITIONS: Mapping[Page, tuple[str, str]] = {
    "i": (f"id = {_ID}", ""),
    "o": ("order_number = $1", ""),
    "w": ("fingerprint = $1", "workflow:"),
    "r": ("details ? 'refund_id' AND details ->> 'refund_id' = $1", ""),
    "d": (_LINK, "/d/"),
    "e": (_LINK, "/e/"),
    "t": (f"id = (SELECT incident_id FROM tickets WHERE key = $1 OR id = {_ID} ORDER BY id LIMIT 1)", ""),  # noqa: S608 - constants
}
_INCIDENTS = "SELECT * FROM incidents WHERE {} ORDER BY id DESC LIMIT $2"
_TICKETS = """
SELECT t.*, coalesce((SELECT jsonb_agg(jsonb_build_object('author', c.author, 'text', c.text) ORDER BY c.id)
                      FROM ticket_comments AS c WHERE c.ticket_id = t.id), '[]') AS comments
FROM tickets AS t
WHERE t.incident_id = ANY($1::bigint[]) OR ($2 = 'o' AND t.order_number = $3) OR ($2 = 't' AND (t.key = $3 OR t.id::text = $3))
ORDER BY t.id DESC LIMIT $4
"""
_NOTICES = """
SELECT n.kind, n.document, n.occurred_at, d.destination, d.channel, coalesce(d.state, 'not_told') AS state
FROM notices AS n LEFT JOIN deliveries AS d ON d.notice_id = n.id
WHERE n.incident_id = ANY($1::bigint[]) OR ($2 = 'o' AND n.order_number = $3)
ORDER BY n.id DESC, d.id LIMIT $4
"""
_MOST_NOTICES = 100


@dataclass(frozen=True, slots=True)
class Known:
    """Incidents and tickets, the newest first; notices with where they went."""

    incidents: Sequence[Record]
    tickets: Sequence[Record]
    notices: Sequence[Record]


async def known_of(database: Database, page: Page, name: str) -> Known:
    """Return everything known of it; empty when nothing is."""
    async with database.acquire() as connection:
        condition, before = _CONDITIONS[page]
        incidents = await connection.fetch(_INCIDENTS.replace("{}", condition), before + name, _MOST)
        ids = [row["id"] for row in incidents]
        tickets = await connection.fetch(_TICKETS, ids, page, name, _MOST)
        notices = await connection.fetch(_NOTICES, ids, page, name, _MOST_NOTICES)
    return Known(incidents, tickets, notices)
