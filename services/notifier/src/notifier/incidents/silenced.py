"""Which silence covers an incident now, however it stood when people were told of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.postgres import Connection
from notifier.delivery.notifications import NotificationStore
from notifier.routing.model import labels_of
from notifier.silences.model import silence_of, why_muted

# Said once of each silence, however often it is looked at.
_HELD = """
INSERT INTO incident_history (incident_id, actor, act, text)
SELECT $1, 'notifier', 'held', $2
WHERE NOT EXISTS (SELECT FROM incident_history WHERE incident_id = $1 AND act = 'held' AND text = $2)
"""
_IN_FORCE = "SELECT *, clock_timestamp() AS now FROM silences WHERE ends_at > now() ORDER BY id"


async def silenced_by(notifications: NotificationStore, row: Any) -> str | None:
    """Return why nobody is to be called about an incident (its row): the silence that covers it now, or None."""
    [why] = await silenced_of(notifications, [row])
    return why


async def silenced_of(notifications: NotificationStore, rows: list[Any]) -> list[str | None]:
    """Return the same of several incidents, in their order."""
    silences, now = await notifications.silences()
    return [
        why_muted(labels_of(row), now=now, silences=silences, inhibitions=(), open_incidents=()) if silences else None
        for row in rows
    ]


async def in_force(connection: Connection) -> Sequence[Any]:
    """Return the rows of the silences that are not over, for ``covering``."""
    return await connection.fetch(_IN_FORCE)


def covering(silences: Sequence[Any], row: Any) -> list[dict[str, Any]]:
    """Return those that cover an incident (its row) now, the one that ``silenced_by`` names first; an incident that is over has none."""
    if row["state"] == "resolved":
        return []
    labels = labels_of(row)
    return [dict(each) for each in silences if silence_of(each).covers(labels, each["now"])]


async def note_held(connection: Connection, incident_id: int, why: str) -> None:
    """Write into a locked incident's history that nobody is reminded or phoned, because of this silence."""
    await connection.execute(_HELD, incident_id, why)
