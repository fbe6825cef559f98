"""Silences and maintenance windows in PostgreSQL, within a transaction that somebody else commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from common.errors import NotFound
from common.postgres import Connection
from notifier.incidents.model import Incident
from notifier.routing.model import Labels, fits, labels_of, like, literal

_ADD = """
INSERT INTO silences (match, purpose, starts_at, ends_at, reason, created_by)
VALUES ($1, $2, coalesce($3, now()), greatest($4, coalesce($3, now())), $5, $6) RETURNING *
"""
_LIST = """
SELECT * FROM silences
WHERE ($1::boolean OR ends_at > now()) AND ($2::bigint IS NULL OR id < $2)
ORDER BY id DESC LIMIT $3
"""
# By the clock: whoever waited for the incident's lock began before the silence that it finds.
_JUST_MADE = (
    "SELECT EXISTS (SELECT FROM silences WHERE match = $1 AND starts_at <= clock_timestamp() AND ends_at >= $2)"
)
_THE_SAME_PRESS = timedelta(minutes=5)
_LOCK = "SELECT *, greatest(starts_at, least(ends_at, now())) AS ends_now FROM silences WHERE id = $1 FOR UPDATE"
# What has not begun ends before it begins; what is over stays as it was.
_END = "UPDATE silences SET ends_at = $2, ended_by = $3 WHERE id = $1 AND ends_at > $2"
_OPEN = "SELECT * FROM incidents WHERE state <> 'resolved' AND kind LIKE ANY($1::text[]) ORDER BY id LIMIT 2000"
# By what the routes looked at, so that a storm of one problem is looked at once.
_SENT = """
SELECT n.traits, sum(sent.deliveries)::bigint AS messages, array_agg(DISTINCT n.incident_id) AS incidents
FROM notices AS n, LATERAL (SELECT count(*) AS deliveries FROM deliveries AS d WHERE d.notice_id = n.id) AS sent
WHERE n.traits IS NOT NULL AND n.created_at > now() - $1::interval AND n.incident_id IS NOT NULL AND sent.deliveries > 0
  AND n.traits->>'kind' LIKE ANY($2::text[])
GROUP BY n.traits
"""


def select_silences(*, over_too: bool, before: int | None, limit: int) -> tuple[str, list[Any]]:
    """Return the statement of silences, newest first, with ids below ``before``, and its values."""
    return _LIST, [over_too, before, limit]


class SilenceStore:
    """The silences, inside one transaction. One connection inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(
        self,
        *,
        match: Mapping[str, Sequence[str]],
        purpose: str,
        starts_at: datetime | None,
        ends_at: datetime,
        reason: str,
        by: str,
    ) -> dict[str, Any]:
        """Store a silence; it begins now unless ``starts_at`` says otherwise. Returns its row."""
        kept = {label: list(patterns) for label, patterns in match.items()}
        row = await self._connection.fetchrow(_ADD, kept, purpose, starts_at, ends_at, reason, by)
        assert row is not None  # noqa: S101 - INSERT … RETURNING gives its row
        return dict(row)

    async def end(self, silence_id: int, *, by: str) -> tuple[datetime, datetime]:
        """End a silence now; returns its end before and after. One that is over stays as it is. Raises ``NotFound``."""
        row = await self._connection.fetchrow(_LOCK, silence_id)
        if row is None:
            raise NotFound("no such silence")
        await self._connection.execute(_END, silence_id, row["ends_now"], by)
        return row["ends_at"], row["ends_now"]

    async def fitting(self, match: Mapping[str, Sequence[str]]) -> list[int]:
        """Return the incidents that are not over and fit; of very many, the oldest."""
        patterns = {label: tuple(values) for label, values in match.items()}
        rows = await self._connection.fetch(_OPEN, [like(each) for each in patterns.get("kind", ("*",))])
        return [row["id"] for row in rows if fits(patterns, labels_of(row))]

    async def sent_before(self, match: Mapping[str, Sequence[str]], *, within: timedelta) -> tuple[int, int]:
        """Return how many messages went out within the last while about problems that fit, and about how many incidents."""
        patterns = {label: tuple(values) for label, values in match.items()}
        rows = await self._connection.fetch(_SENT, within, [like(each) for each in patterns.get("kind", ("*",))])
        fitting = [row for row in rows if fits(patterns, Labels(**row["traits"]))]
        return sum(row["messages"] for row in fitting), len({each for row in fitting for each in row["incidents"]})


async def silence(
    connection: Connection, incident: Incident, person: str, lasts: timedelta, reason: str
) -> tuple[int, datetime] | None:
    """Keep notices of the (locked) incident's problem back for a while, in the caller's transaction; returns the silence's id and end.

    None: one that was just made, for as long, is in force; taken back, it leaves no other behind.
    """
    now = await connection.fetchval("SELECT now()")
    match = {"fingerprint": [literal(incident.fact.fingerprint)]}
    if await connection.fetchval(_JUST_MADE, match, now + lasts - _THE_SAME_PRESS):
        return None
    row = await SilenceStore(connection).add(
        match=match, purpose="silence", starts_at=None, ends_at=now + lasts, reason=reason, by=person
    )
    return row["id"], row["ends_at"]
