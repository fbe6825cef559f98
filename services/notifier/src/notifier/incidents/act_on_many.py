"""People take or close many incidents at once, by ids or by a filter, with a plan; one that is refused harms no other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from common.errors import Conflict
from common.http import Bulk, BulkDone, Change, Request
from common.postgres import Connection
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.act import ActOnIncident, NameNotices
from notifier.incidents.model import CallUnderWay
from notifier.incidents.store import IncidentStore, lock_incidents, select_incidents
from notifier.incidents.views import IncidentFilter


class BeingCalled(Conflict):
    """Somebody is being phoned because of the incident at this very moment: act on it alone, or again in a minute."""

    code = CallUnderWay.code


def act_on_many(
    act: ActOnIncident, name: Literal["ack", "resolve"], request: Request[Any, None], name_notices: NameNotices
) -> Bulk[int]:
    """Return the operation. Nobody waits for a call that is on its way: that incident is refused (``call_under_way``)."""
    return Bulk(
        operation=f"incident.{name}",
        find=_find,
        lock=lock_incidents,
        work=partial(_act, act=act, name=name, request=request, name_notices=name_notices),
    )


async def _act(
    change: Change,
    incident_id: int,
    *,
    act: ActOnIncident,
    name: Literal["ack", "resolve"],
    request: Request[Any, None],
    name_notices: NameNotices,
) -> BulkDone:
    notifications = NotificationStore(change.connection)
    try:
        before, after = await act(
            IncidentStore(change.connection, principal=change.principal, request_id=request.request_id),
            notifications,
            incident_id=incident_id,
            act=name,
            actor=change.principal.name,
            text=change.reason,
            dry_run=change.dry_run,
            take_over=getattr(request.body, "take_over", False),
        )
    except CallUnderWay as error:
        raise BeingCalled(error.detail) from None
    await name_notices(change, notifications, [incident_id])
    return BulkDone(outcome=after.value, detail=f"was {before.state.value}")


async def _find(
    connection: Connection, wanted: IncidentFilter, among: Sequence[int] | None, limit: int
) -> Sequence[int]:
    statement, values = select_incidents(wanted, among=among, limit=limit, live=wanted.state is None)
    return [row["id"] for row in await connection.fetch(statement, *values)]
