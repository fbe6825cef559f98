"""How the messages that follow from a change are named, one line each: for its rehearsal, and for its answer when it is done."""

from __future__ import annotations

from collections.abc import Sequence

from common.contracts.notices import NOBODY, notice

from common.postgres import Connection
from notifier.delivery.model import NewNotice

_SAID_OTHERWISE = {"unmuted": "opened", "test": ""}
# Arrays instead of joins, as where they are marked for the edit (``posts.refresh``).
_EDITED = """
WITH told AS MATERIALIZED (
    SELECT d.id, d.destination, d.channel, d.digest_id, n.kind, n.transition, n.incident_id
    FROM notices AS n, deliveries AS d
    WHERE d.notice_id = n.id AND n.id = ANY(ARRAY(SELECT id FROM notices WHERE incident_id = ANY($1::bigint[])))
      AND d.notice_id = ANY(ARRAY(SELECT id FROM notices WHERE incident_id = ANY($1::bigint[])))
), edited AS (
    SELECT DISTINCT ON (pp.post_id) pp.post_id, told.*
    FROM post_parts AS pp JOIN told ON told.id = pp.delivery_id
    WHERE pp.delivery_id = ANY(ARRAY(SELECT id FROM told)) ORDER BY pp.post_id, pp.position
)
SELECT post_id AS place, destination, channel, kind, transition, incident_id, false AS digest FROM edited
UNION ALL
SELECT digest_id, min(destination), min(channel), '', '', NULL, true FROM told
WHERE digest_id = ANY(ARRAY(SELECT id FROM digests WHERE closed_at IS NULL AND id = ANY(ARRAY(SELECT digest_id FROM told))))
GROUP BY digest_id
ORDER BY digest, place
"""


def lines_of(new: NewNotice, *, about: str | None = None) -> list[str]:
    """Name a notice ``about`` something: a line for each place that it goes to, or one that says why nobody is notified."""
    event = _event(new.kind, new.transition)
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
        notice("edit of a digest", of=None, to=place(row["destination"], row["channel"]))
        if row["digest"]
        else notice(
            f"edit of {_event(row['kind'], row['transition'])}",
            of=incident_named(row["incident_id"]),
            to=place(row["destination"], row["channel"]),
        )
        for row in await connection.fetch(_EDITED, list(incident_ids))
    ]


def place(destination: str, channel: str) -> str:
    """Return how a place that notices go to is named."""
    return f"{destination} ({channel})"


def _event(kind: str, transition: str) -> str:
    """Name what is told. Stored transitions are unique: what makes them so stands behind a colon."""
    word = transition.partition(":")[0]
    word = "opened" if word == kind else _SAID_OTHERWISE.get(word, word)
    return f"{kind} {word}".rstrip()


def incident_named(incident_id: int) -> str:
    """Return how an incident is named."""
    return f"incident {incident_id}"
