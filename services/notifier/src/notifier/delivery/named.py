"""How the messages that follow from a change are named, one line each: for its rehearsal, and for its answer when it is done."""

from __future__ import annotations

from collections.abc import Sequence

from common.contracts.notices import NOBODY, notice
from common.postgres import Connection
from notifier.delivery.model import NewNotice

EDITED = "message.edited"
# Arrays instead of joins, as where they are marked for the edit (``posts.refresh``).
_EDITED = """
WITH told AS MATERIALIZED (
    SELECT d.id, d.destination, d.channel, d.digest_id, n.kind, n.incident_id
    FROM deliveries AS d, notices AS n
    WHERE n.id = d.notice_id AND n.id = ANY(ARRAY(SELECT id FROM notices WHERE incident_id = ANY($1::bigint[])))
      AND d.notice_id = ANY(ARRAY(SELECT id FROM notices WHERE incident_id = ANY($1::bigint[])))
), edited AS (
    SELECT DISTINCT ON (pp.post_id) pp.post_id, told.*
    FROM post_parts AS pp JOIN told ON told.id = pp.delivery_id
    WHERE pp.delivery_id = ANY(ARRAY(SELECT id FROM told)) ORDER BY pp.post_id, pp.position
)
SELECT false AS digest, post_id AS one, destination, channel, kind, incident_id FROM edited
UNION ALL
SELECT true, digest_id, min(destination), min(channel), 'digest', NULL FROM told
WHERE digest_id = ANY(ARRAY(SELECT id FROM digests WHERE closed_at IS NULL AND id = ANY(ARRAY(SELECT digest_id FROM told))))
GROUP BY digest_id
ORDER BY digest, one
"""


def lines_of(new: NewNotice, *, about: str | None = None) -> list[str]:
    """Name a notice ``about`` something: a line for each place that it goes to, or one that says why nobody is notified."""
    event = event_of(new.kind, new.transition, incident=new.incident_id is not None)
    if not new.chosen:
        return [notice(event, of=about, to=f"{NOBODY} ({new.reason})")]
    return [
        notice(event, of=about, to=place(chosen.destination.name, chosen.destination.channel)) for chosen in new.chosen
    ]


async def lines_of_edits(connection: Connection, incident_ids: Sequence[int]) -> list[str]:
    """Name the messages that stand in chats and are edited when these incidents have changed."""
    if not incident_ids:
        return []
    return [
        notice(
            f"{EDITED} ({row['kind']})",
            of=None if row["incident_id"] is None else incident_named(row["incident_id"]),
            to=place(row["destination"], row["channel"]),
        )
        for row in await connection.fetch(_EDITED, list(incident_ids))
    ]


def place(destination: str, channel: str) -> str:
    """Return how a place that notices go to is named."""
    return f"{destination} ({channel})"


def incident_named(incident_id: int) -> str:
    """Return how an incident is named, as audits do."""
    return f"incident:{incident_id}"


def event_of(kind: str, transition: str, *, incident: bool) -> str:
    """Name what is told. Stored transitions are unique: what makes them so stands behind a colon."""
    word = transition.partition(":")[0]
    if not incident:
        return kind if word == kind else f"{kind} ({word})"
    return f"incident.{'opened' if word in (kind, 'unmuted') else word} ({kind})"
