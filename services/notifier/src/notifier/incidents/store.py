"""What a person's act changes about an incident, in PostgreSQL; what reports change is in ``delivery/notifications.py``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from common.errors import ChangedSince, NotFound
from common.http import Principal, audit
from common.postgres import Connection, member
from notifier.delivery.notifications import problem_of
from notifier.incidents.model import REVISING, CallUnderWay, Incident, IncidentState
from notifier.incidents.views import GroupQuery, IncidentConditions

_READ = "SELECT * FROM incidents WHERE id = $1"
_LOCK = f"{_READ} FOR UPDATE"
# What matters to whoever takes or closes it: being reported again does not.
_LOCK_MANY = """
SELECT id, concat_ws('/', state, severity, acknowledged_by, extract(epoch FROM ack_until)) AS version
FROM incidents WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE
"""
_COLUMNS = {
    "state": "state",
    "severity": "severity",
    "order": "order_number",
    "kind": "kind",
    "alert": "lower(details ->> 'alert')",
    "service": "service",
    "source": "source",
}
_MOST_GROUPS = 200
_CHANGE = """
UPDATE incidents
SET state = $2, version = version + 1,
    acknowledged_at = CASE WHEN $3 = 'ack' THEN clock_timestamp() ELSE acknowledged_at END,
    acknowledged_by = CASE WHEN $3 = 'ack' THEN $4 ELSE acknowledged_by END,
    ack_until = CASE WHEN $3 = 'ack' THEN clock_timestamp() + $5::interval ELSE ack_until END,
    resolved_at = CASE WHEN $3 = 'resolve' THEN clock_timestamp() ELSE resolved_at END,
    resolved_by = CASE WHEN $3 = 'resolve' THEN $4 ELSE resolved_by END
WHERE id = $1
"""
_HISTORY = "INSERT INTO incident_history (incident_id, actor, act, text, origin) VALUES ($1, $2, $3, $4, $5)"
_REVISED = f"""
SELECT actor, act, at, count(*) OVER () AS revision FROM incident_history
WHERE incident_id = $1 AND act IN {REVISING} ORDER BY id DESC LIMIT 1
"""  # noqa: S608 - a constant
_CALL_UNDER_WAY = """
SELECT EXISTS (SELECT FROM calls WHERE incident_id = $1 AND state = 'calling' AND lease_until > clock_timestamp())
"""
_HOLD_TIMER = """
INSERT INTO escalations (incident_id, due_at) SELECT id, ack_until FROM incidents WHERE id = $1
ON CONFLICT (incident_id) DO UPDATE SET step = 0, round = 0, due_at = excluded.due_at
"""
_END_TIMER = "UPDATE escalations SET due_at = NULL WHERE incident_id = $1"


class IncidentStore:
    """Incidents that one person acts on, inside one transaction."""

    def __init__(self, connection: Connection, *, principal: Principal, request_id: str) -> None:
        self._connection = connection
        self._principal = principal
        self._request_id = request_id

    async def incident(self, incident_id: int) -> Incident:
        """Lock and return an incident. Raises ``NotFound``."""
        row = await self._connection.fetchrow(_LOCK, incident_id)
        if row is None:
            raise NotFound("no such incident")
        return incident_of(row)

    async def ensure_revision(self, incident: Incident, expected: int | None) -> None:
        """Raise ``ChangedSince``, with who did what and when, if somebody has taken or ended this (locked) incident since a revision."""
        row = await self._connection.fetchrow(_REVISED, incident.id)
        if expected is not None and expected != (0 if row is None else row["revision"]):
            last = "" if row is None else f": {row['actor']}, {row['act']} at {row['at']:%Y-%m-%dT%H:%M:%SZ}"
            raise ChangedSince(f"incident {incident.id} has changed hands since it was looked at{last}")

    async def ensure_no_call_in_progress(self, incident: Incident) -> None:
        """Raise ``CallUnderWay`` while a call because of this (locked) incident is on its way: after its end none can begin."""
        if await self._connection.fetchval(_CALL_UNDER_WAY, incident.id):
            raise CallUnderWay("somebody is being phoned because of this incident right now", retry_after=1.0)

    async def change(
        self,
        incident: Incident,
        state: IncidentState,
        *,
        act: str,
        actor: str,
        text: str,
        ack_lasts: timedelta | None = None,
        origin: str | None = None,
    ) -> None:
        """Write the new state and a line of the incident's history; set the escalation's timer to the end of an acknowledgement.

        ``origin`` is where it was said; the line is not repeated there.
        """
        await self._connection.execute(_CHANGE, incident.id, state.value, act, actor, ack_lasts)
        await self._connection.execute(_HISTORY, incident.id, actor, act, text, origin)
        if act == "ack":
            await self._connection.execute(_HOLD_TIMER, incident.id)
        elif act == "resolve":
            await self._connection.execute(_END_TIMER, incident.id)

    async def audit(self, *, action: str, target: str, reason: str, before: Any, after: Any) -> None:
        """Leave an audit record."""
        await audit.record(
            self._connection,
            principal=self._principal,
            action=action,
            target=target,
            reason=reason,
            before=before,
            after=after,
            request_id=self._request_id,
        )


async def read_incident(connection: Connection, incident_id: int) -> Incident:
    """Return an incident as it is now, locking nothing. Raises ``NotFound``."""
    row = await connection.fetchrow(_READ, incident_id)
    if row is None:
        raise NotFound("no such incident")
    return incident_of(row)


def select_incidents(
    wanted: IncidentConditions,
    *,
    limit: int,
    before: int | None = None,
    among: Sequence[int] | None = None,
    live: bool = False,
) -> tuple[str, list[Any]]:
    """Return the statement of incidents that match, newest first, and its values.

    Only those with ids below ``before``, of ``among``, and ``live`` (not resolved), where asked for.
    """
    conditions, values = _conditions(
        wanted, more=[("id < ", before), ("id = ANY ", None if among is None else list(among))], live=live
    )
    statement = f"SELECT * FROM incidents WHERE {conditions} ORDER BY id DESC LIMIT ${len(values) + 1}"  # noqa: S608 - constants and placeholders
    return statement, [*values, limit]


def select_groups(wanted: GroupQuery) -> tuple[str, list[Any]]:
    """Return the statement of groups of incidents, the largest first, and its values."""
    conditions, values = _conditions(wanted, more=(), live=wanted.state is None)
    statement = f"""
        SELECT {_COLUMNS[wanted.by]} AS value, count(*) AS count, count(*) FILTER (WHERE state = 'open') AS open,
               count(*) FILTER (WHERE severity = 'critical') AS critical, sum(occurrences)::bigint AS occurrences,
               max(last_seen_at) AS last_seen_at, (sum(count(*)) OVER ())::bigint AS total
        FROM incidents WHERE {conditions} GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {_MOST_GROUPS}
        """  # noqa: S608 - constants and placeholders
    return statement, values


def _conditions(wanted: IncidentConditions, *, more: Sequence[tuple[str, Any]], live: bool) -> tuple[str, list[Any]]:
    """A state stands in the statement itself: only then the planner can use the index of what is not over."""
    given = [
        (f"{column} = {'lower' if name == 'alert' else ''}", getattr(wanted, name))
        for name, column in _COLUMNS.items()
        if name != "state"
    ]
    asked = [(condition, value) for condition, value in (*given, *more) if value is not None]
    conditions = [f"{condition}(${place})" for place, (condition, _) in enumerate(asked, start=1)]
    if wanted.state is not None:
        conditions.append(f"state = '{IncidentState(wanted.state).value}'")
    if live:
        conditions.append("state <> 'resolved'")
    return " AND ".join(conditions) or "true", [value for _, value in asked]


async def lock_incidents(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """Lock incidents, in the order of their ids, and return of each that there is how it stands, for `common.http.Bulk`."""
    return {row["id"]: row["version"] for row in await connection.fetch(_LOCK_MANY, ids)}


def incident_of(row: Any) -> Incident:
    """Read an incident's row as people act on it."""
    return Incident(
        id=row["id"],
        state=member(IncidentState, row["state"]),
        fact=problem_of(row),
        version=row["version"],
        holder=row["acknowledged_by"],
        held_since=row["acknowledged_at"],
        ack_until=row["ack_until"],
        muted=row["muted"],
    )
