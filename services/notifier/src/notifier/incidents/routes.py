"""Incidents by HTTP: the list of them, and what operators do to one (`/admin/v1/incidents`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from common.errors import Conflict, NotFound
from common.http import (
    BULK_ERRORS,
    OPERATOR,
    VIEWER,
    Answer,
    BulkAnswer,
    Change,
    Changes,
    Page,
    Request,
    Route,
    decode_cursor,
    page_of,
)
from common.postgres import Database
from notifier.delivery.notifications import NotificationStore
from notifier.delivery.reads import NotificationReads
from notifier.delivery.routes import notification_of
from notifier.incidents import views as models
from notifier.incidents.act import Act, ActOnIncident, patiently
from notifier.incidents.act_on_many import act_on_many
from notifier.incidents.model import CallUnderWay
from notifier.incidents.store import IncidentStore

_ADMIN = ("admin",)
_CALL_SECONDS = 8.0
_STORY = 500


class IncidentRoutes:
    """The handlers; ``routes`` is the table of them."""

    def __init__(self, *, database: Database, act: ActOnIncident, wake: Callable[[], None]) -> None:
        self._changes = Changes(database, committed=wake)
        self._reader = NotificationReads(database)
        self._act = act

    async def incidents(self, request: Request[None, models.IncidentQuery]) -> Page[models.IncidentView]:
        """Answer the incidents."""
        query = request.query
        position = decode_cursor(query.cursor, int)
        rows = await self._reader.incidents(
            state=query.state,
            severity=query.severity,
            order=query.order,
            before=None if position is None else position[0],
            limit=query.limit + 1,
        )
        return page_of(
            rows, limit=query.limit, item=lambda row: models.IncidentView(**row), key=lambda row: (row["id"],)
        )

    async def incident(self, request: Request[None, None]) -> models.IncidentStory:
        """Answer one incident with everything that was done about it."""
        row = await self._reader.incident(request.path_int("id"), limit=_STORY)
        if row is None:
            raise NotFound("no such incident")
        return models.IncidentStory.model_validate({**row, "notices": list(map(notification_of, row["notices"]))})

    async def act_on_many(self, act: Act, request: Request[models.ActOnIncidents, None]) -> Answer:
        """Carry an act out on many incidents; done again while a call because of one is on its way."""
        bulk = act_on_many(act, self._act, request=request)
        return await patiently(lambda: bulk.carry_out(self._changes, request), seconds=_CALL_SECONDS)

    async def act(self, act: Act, request: Request[models.IncidentChange, None]) -> Answer:
        """Carry an act on an incident out, once for an Idempotency-Key; done again while a call is on its way."""
        work = partial(self._acted, act, request)
        return await patiently(lambda: self._changes.carry_out(request, work), seconds=_CALL_SECONDS)

    async def _acted(
        self, act: Act, request: Request[models.IncidentChange, None], change: Change
    ) -> models.IncidentChanged:
        incident_id = request.path_int("id")
        incident, state = await self._act(
            IncidentStore(change.connection, principal=request.principal, request_id=request.request_id),
            NotificationStore(change.connection),
            incident_id=incident_id,
            act=act,
            actor=request.principal.name,
            text=request.body.reason,
            dry_run=change.dry_run,
            take_over=request.body.take_over,
        )
        return models.IncidentChanged(
            id=incident_id, before=incident.state.value, after=state.value, dry_run=change.dry_run
        )

    def routes(self) -> list[Route]:
        """Return the table of admin routes."""
        acts: tuple[tuple[Act, str], ...] = (
            ("ack", "Take an incident: mine, nobody else needs to act"),
            ("resolve", "Close an incident"),
            ("comment", "Add a remark to an incident's history"),
        )
        return [
            Route(
                method="GET",
                path="/admin/v1/incidents",
                handler=self.incidents,
                summary="Problems, newest first",
                query=models.IncidentQuery,
                response=Page[models.IncidentView],
                roles=VIEWER,
                tags=_ADMIN,
            ),
            Route(
                method="GET",
                path="/admin/v1/incidents/{id}",
                handler=self.incident,
                summary="One problem with its history, notices, calls and timers",
                response=models.IncidentStory,
                errors=(NotFound,),
                roles=VIEWER,
                tags=_ADMIN,
            ),
            *(
                Route(
                    method="POST",
                    path=f"/admin/v1/incidents/{act}",
                    handler=partial(self.act_on_many, act),
                    summary=f"{summary}: many, by ids or by a filter",
                    request=models.ActOnIncidents,
                    response=BulkAnswer,
                    errors=(*BULK_ERRORS, CallUnderWay),
                    roles=OPERATOR,
                    tags=_ADMIN,
                    idempotent=True,
                )
                for act, summary in acts[:2]
            ),
            *(
                Route(
                    method="POST",
                    path=f"/admin/v1/incidents/{{id}}/{act}",
                    handler=partial(self.act, act),
                    summary=summary,
                    request=models.IncidentChange,
                    response=models.IncidentChanged,
                    errors=(NotFound, Conflict, CallUnderWay),
                    roles=OPERATOR,
                    tags=_ADMIN,
                    idempotent=True,
                )
                for act, summary in acts
            ),
        ]
