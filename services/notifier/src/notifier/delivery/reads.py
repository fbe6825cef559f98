"""Reads of the notification log, of incidents, and of the state of the queues; for the admin routes and the gauges."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from common.ids import first_id
from common.postgres import Database
from notifier.incidents.model import REVISING

_NOTIFICATIONS = """
SELECT n.id::text AS notice_id, n.subject, n.transition, n.kind, n.severity, n.order_number, n.incident_id, n.document, n.event_id,
       n.occurred_at, n.created_at, coalesce(d.id, 0) AS delivery_id, d.destination, d.channel, d.lane, d.topic, d.route, d.attempts,
       d.fallback_of, d.digest_id, d.message_ids, d.possibly_repeated, d.not_before, d.sent_at, d.held_by, d.failed_at,
       d.held_behind::text AS held_behind, (SELECT b.kind FROM notices AS b WHERE b.id = d.held_behind) AS held_behind_kind,
       n.received_at, n.taken_at, n.came_by,
       coalesce(d.state, 'not_told') AS state, coalesce(d.reason, n.reason) AS reason
FROM notices AS n
LEFT JOIN deliveries AS d ON d.notice_id = n.id
"""
_WANTED = {
    "incident": "n.incident_id = {}::bigint",
    "order": "n.order_number = {}::text",
    "notice": "n.id = {}::uuid",
    "trace": "substr(n.traceparent, 4, 32) = {}::text",
}
# The states stand in the statement itself: only then the planner can use the indexes that leave the ordinary ones out.
_STATES = {
    "not_told": "n.reason IS NOT NULL AND d.id IS NULL",
    **{state: f"d.state = '{state}'" for state in ("pending", "sending", "sent", "failed", "unknown", "dropped")},
}
# Ids of notices grow with time, so the key itself finds a period.
# The period stands with the deliveries, too: they are read in one piece then, and not notice by notice.
_TOLD = """
SELECT count(*) AS orders, count(*) FILTER (WHERE sent) AS told, count(*) FILTER (WHERE waiting AND NOT sent) AS waiting,
       count(*) FILTER (WHERE deliveries = 0) AS nobody, count(*) FILTER (WHERE deliveries > 0 AND NOT sent AND NOT waiting) AS failed
FROM (
    SELECT count(d.id) AS deliveries, coalesce(bool_or(d.state = 'sent'), false) AS sent,
           coalesce(bool_or(d.state IN ('pending', 'sending', 'unknown')), false) AS waiting
    FROM notices AS n LEFT JOIN deliveries AS d ON d.notice_id = n.id AND d.notice_id >= $1 AND d.notice_id < $2
    WHERE n.id >= $1 AND n.id < $2 AND n.kind = 'order.created' GROUP BY n.id
) AS notices
"""
_INCIDENT = f"""
SELECT i.*, (SELECT count(*) FROM incident_history AS h WHERE h.incident_id = i.id AND h.act IN {REVISING}) AS revision
FROM incidents AS i WHERE i.id = $1
"""  # noqa: S608 - a constant
_HISTORY = """
SELECT * FROM (SELECT id, actor, act, text, at FROM incident_history WHERE incident_id = $1 ORDER BY id DESC LIMIT $2) AS h ORDER BY id
"""
_CALLS = """
SELECT id::text AS id, person, occasion, state, attempts, reason, outside_id, progress, progress_at, created_at, claimed_at, ended_at
FROM calls WHERE incident_id = $1 ORDER BY created_at, id LIMIT $2
"""
_RECIPES = """
SELECT DISTINCT ON (recipe) recipe, person, result, asked_at, ended_at,
    CASE WHEN state = 'asked' AND expires_at <= now() THEN 'expired' ELSE state END AS state
FROM recipe_requests WHERE incident_id = $1 ORDER BY recipe, id DESC
"""
_TIMERS = """
SELECT e.step, e.round, e.due_at FROM escalations AS e JOIN incidents AS i ON i.id = e.incident_id
WHERE e.incident_id = $1 AND i.state <> 'resolved'
"""
_QUEUE = """
SELECT channel, count(*) AS waiting, extract(epoch FROM now() - min(created_at))::float8 AS oldest
FROM deliveries WHERE state IN ('pending', 'unknown', 'sending') GROUP BY channel
"""
_DIGESTS = """
SELECT l.channel, count(*) AS open FROM digests AS g JOIN lanes AS l ON l.key = g.lane WHERE g.closed_at IS NULL GROUP BY l.channel
"""
_MUTED = "SELECT count(*) AS muted FROM incidents WHERE muted IS NOT NULL AND state = 'open'"
_OPEN = "SELECT severity, count(*) AS open FROM incidents WHERE state <> 'resolved' GROUP BY severity"


def select_told(since: datetime, until: datetime) -> tuple[str, Sequence[Any]]:
    """Return the statement that counts of how many new orders of a period a chat was told, and its values."""
    return _TOLD, (UUID(first_id(since)), UUID(first_id(until)))


def select_notifications(
    *, before: tuple[Any, ...] | None = None, limit: int, state: str | None = None, **wanted: int | str | UUID | None
) -> tuple[str, Sequence[Any]]:
    """Return the statement of notices with their deliveries, newest first, and its values. ``wanted``: of ``_WANTED``; None is any.

    ``state``: of ``_STATES``. A notice that was sent to nobody has one row without a delivery. There are only the conditions asked for: one
    plan for all would fit none.
    """
    given = {name: value for name, value in wanted.items() if value is not None}
    conditions = [_WANTED[name].format(f"${place}") for place, name in enumerate(given, 1)]
    if state is not None:
        conditions.append(_STATES[state])
    values = [*given.values(), *(before or ()), limit]
    if before is not None:
        conditions.append(f"(n.id, coalesce(d.id, 0)) < (${len(values) - 2}::uuid, ${len(values) - 1}::bigint)")
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"{_NOTIFICATIONS} {where} ORDER BY n.id DESC, coalesce(d.id, 0) DESC LIMIT ${len(values)}", values


class NotificationReads:
    """Reads only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def incident(self, incident_id: int, *, limit: int) -> dict[str, Any] | None:
        """Return one incident with the last lines of its history, its newest notices, its calls, timer and recipes, or None."""
        found = await self._fetch(_INCIDENT, incident_id)
        if not found:
            return None
        statement, values = select_notifications(incident=incident_id, limit=limit)
        return {
            **found[0],
            "history": await self._fetch(_HISTORY, incident_id, limit),
            "notices": await self._fetch(statement, *values),
            "calls": await self._fetch(_CALLS, incident_id, limit),
            "timers": await self._fetch(_TIMERS, incident_id),
            "recipes": await self._fetch(_RECIPES, incident_id),
        }

    async def told(self, since: datetime, until: datetime) -> dict[str, Any]:
        """Return of how many new orders a period's notices told, and of how many not."""
        statement, values = select_told(since, until)
        [row] = await self._fetch(statement, *values)
        return row

    async def notice(self, notice_id: UUID, *, limit: int) -> list[dict[str, Any]]:
        """Return one notice with each of its deliveries, the newest first; nothing if there is none."""
        statement, values = select_notifications(notice=notice_id, limit=limit)
        return await self._fetch(statement, *values)

    async def queue(self) -> dict[str, tuple[int, float]]:
        """Return channel → (deliveries not at their end, age of the oldest in seconds)."""
        rows = await self._fetch(_QUEUE)
        return {row["channel"]: (row["waiting"], row["oldest"]) for row in rows}

    async def open_digests(self) -> dict[str, int]:
        """Return channel → how many storms have an open digest."""
        return {row["channel"]: row["open"] for row in await self._fetch(_DIGESTS)}

    async def muted(self) -> int:
        """Return of how many open incidents nobody was notified."""
        [row] = await self._fetch(_MUTED)
        return int(row["muted"])

    async def open_incidents(self) -> dict[str, int]:
        """Return severity → how many incidents are not resolved."""
        return {row["severity"]: row["open"] for row in await self._fetch(_OPEN)}

    async def _fetch(self, statement: str, *arguments: object) -> list[dict[str, Any]]:
        async with self._database.acquire() as connection:
            return [dict(row) for row in await connection.fetch(statement, *arguments)]
