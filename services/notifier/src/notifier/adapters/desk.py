"""Incidents under a person's hands, in PostgreSQL."""

from __future__ import annotations

from typing import Any

from common.errors import NotFound
from common.http import Principal, audit
from common.postgres import Connection
from notifier.adapters.ledger import problem_of
from notifier.application.ports import Incident
from notifier.domain.incidents import IncidentState

_LOCK = "SELECT * FROM incidents WHERE id = $1 FOR UPDATE"
_CHANGE = """
UPDATE incidents
SET state = $2, version = version + 1,
    acknowledged_at = CASE WHEN $3 = 'ack' THEN now() ELSE acknowledged_at END,
    acknowledged_by = CASE WHEN $3 = 'ack' THEN $4 ELSE acknowledged_by END,
    resolved_at = CASE WHEN $3 = 'resolve' THEN now() ELSE resolved_at END,
    resolved_by = CASE WHEN $3 = 'resolve' THEN $4 ELSE resolved_by END
WHERE id = $1
"""
_HISTORY = "INSERT INTO incident_history (incident_id, actor, act, text) VALUES ($1, $2, $3, $4)"


class PostgresDesk:
    """See ``application.ports.Desk``. One connection inside a transaction, one person."""

    def __init__(self, connection: Connection, *, principal: Principal, request_id: str) -> None:
        self._connection = connection
        self._principal = principal
        self._request_id = request_id

    async def incident(self, incident_id: int) -> Incident:
        """Lock and return an incident."""
        row = await self._connection.fetchrow(_LOCK, incident_id)
        if row is None:
            raise NotFound("no such incident")
        return Incident(id=row["id"], state=IncidentState(row["state"]), fact=problem_of(row), version=row["version"])

    async def change(self, incident: Incident, state: IncidentState, *, act: str, actor: str, text: str) -> None:
        """Write the new state and a line of history."""
        await self._connection.execute(_CHANGE, incident.id, state.value, act, actor)
        await self._connection.execute(_HISTORY, incident.id, actor, act, text)

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
