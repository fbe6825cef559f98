"""Operators take or close many incidents at once, by ids or by a filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.http import Bulk, BulkDone, Change, Request
from common.postgres import Connection
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.act import Act, ActOnIncident
from notifier.incidents.store import IncidentStore
from notifier.incidents.views import ActOnIncidents, IncidentFilter

_FIND = """
SELECT id FROM incidents
WHERE state <> 'resolved' AND ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR severity = $2)
  AND ($3::text IS NULL OR order_number = $3) AND ($4::text IS NULL OR kind = $4) AND ($5::text IS NULL OR service = $5)
  AND ($6::bigint[] IS NULL OR id = ANY($6))
ORDER BY id LIMIT $7
"""
_LOCK = "SELECT id, version FROM incidents WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE"


def act_on_many(act: Act, act_on_incident: ActOnIncident, *, request: Request[ActOnIncidents, None]) -> Bulk[int]:
    """Return the operation, for one request. Raises ``CallUnderWay`` as a single act does."""

    async def _work(change: Change, incident_id: int) -> BulkDone:
        incident, state = await act_on_incident(
            IncidentStore(change.connection, principal=request.principal, request_id=request.request_id),
            NotificationStore(change.connection),
            incident_id=incident_id,
            act=act,
            actor=request.principal.name,
            text=request.body.reason,
            dry_run=change.dry_run,
            take_over=request.body.take_over,
        )
        return BulkDone(outcome=state.value, detail=f"was {incident.state.value}: {incident.fact.summary}")

    return Bulk(operation=f"incident.{act}", find=_find, lock=_lock, work=_work)


async def _find(
    connection: Connection, wanted: IncidentFilter, among: Sequence[int] | None, limit: int
) -> Sequence[int]:
    asked = (wanted.state, wanted.severity, wanted.order, wanted.kind, wanted.service)
    return [row["id"] for row in await connection.fetch(_FIND, *asked, None if among is None else list(among), limit)]


async def _lock(connection: Connection, ids: Sequence[int]) -> Mapping[int, int]:
    return {row["id"]: row["version"] for row in await connection.fetch(_LOCK, list(ids))}
