"""Incidents by HTTP: the list of them, and what operators do to one (`/admin/v1/incidents`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal

from common.errors import Conflict, NotFound
from common.http import (
    BULK_ERRORS,
    Answer,
    BulkAnswer,
    Change,
    Changes,
    Page,
    Request,
    Route,
    change_route,
    listed,
    read_route,
)
from common.postgres import Database
from notifier.delivery.notifications import NotificationStore, problem_of
from notifier.delivery.reads import NotificationReads
from notifier.delivery.routes import notification_of
from notifier.incidents import views as models
from notifier.incidents.act import Act, ActOnIncident, NameNotices, patiently
from notifier.incidents.act_on_many import act_on_many
from notifier.incidents.kinds import runbook_page
from notifier.incidents.model import CallUnderWay
from notifier.incidents.offers import offers_of
from notifier.incidents.silenced import covering, in_force
from notifier.incidents.store import IncidentStore, select_groups, select_incidents
from notifier.messages.links import page_of
from notifier.messages.otherwise import otherwise
from notifier.messages.words import Language, languages
from notifier.people.model import Directory

_CALL_SECONDS = 8.0
_STORY = 500


class IncidentRoutes:
    """The handlers; ``routes`` is the table of them."""

    def __init__(
        self,
        *,
        database: Database,
        act: ActOnIncident,
        name_notices: NameNotices,
        directory: Directory,
        language: Language,
        wake: Callable[[], None],
    ) -> None:
        self._directory = directory
        self._language = language
        self._changes = Changes(database, committed=wake)
        self._database = database
        self._name_notices = name_notices
        self._reader = NotificationReads(database)
        self._act = act

    async def incidents(self, request: Request[None, models.IncidentQuery]) -> Page[models.IncidentView]:
        """Answer the incidents."""

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
            """Return the statement of a page and its values."""
            return select_incidents(request.query, before=None if after is None else after[0], limit=limit)

        async with self._database.acquire() as connection:
            silences = await in_force(connection)
        return await listed(
            self._database,
            request.query,
            select,
            key={"id": int},
            item=lambda row: models.IncidentView(
                **self._told(request, row), silenced_until=_latest(covering(silences, row))
            ),
        )

    def _told(self, request: Request[Any, Any], row: Mapping[str, Any]) -> dict[str, Any]:
        """Return an incident's row in the language that the request asks for first, else as it is kept."""
        asked = request.raw.headers.get("Accept-Language", "")[:2].lower()
        language = next((each for each in languages() if each == asked), self._language)
        return otherwise(row, kept_in=self._language, language=language)

    async def groups(self, request: Request[None, models.GroupQuery]) -> models.IncidentGroups:
        """Answer how many incidents have what in common."""
        statement, values = select_groups(request.query)
        async with self._database.acquire() as connection:
            rows = [dict(row) for row in await connection.fetch(statement, *values)]
        items = [models.IncidentGroup.model_validate(row) for row in rows]
        return models.IncidentGroups(by=request.query.by, count=rows[0]["total"] if rows else 0, items=items)

    async def incident(self, request: Request[None, None]) -> models.IncidentStory:
        """Answer one incident with everything that was done about it."""
        row = await self._reader.incident(request.path_int("id"), limit=_STORY)
        if row is None:
            raise NotFound("no such incident")
        person = self._directory.person(request.principal.name)
        with_token = person is not None and person.token is not None
        async with self._database.acquire() as connection:
            silences = covering(await in_force(connection), row)
        told = self._told(request, row)
        return models.IncidentStory.model_validate(
            {
                **told,
                "page": page_of(problem_of(row)),
                "silenced_until": _latest(silences),
                "silence": next(iter(silences), None),
                "runbook": runbook_page(row["kind"], service=row["service"]),
                "recipes": offers_of(problem_of(row), told["recipes"], with_token=with_token),
                "notices": list(map(notification_of, row["notices"])),
            }
        )

    async def act_on_many(
        self, act: Literal["ack", "resolve"], request: Request[models.ChangeIncidents, None]
    ) -> Answer:
        """Carry an act on many incidents out."""
        return await act_on_many(self._act, act, request, self._name_notices).carry_out(self._changes, request)

    async def act(self, act: Act, request: Request[models.IncidentChange, None]) -> Answer:
        """Carry an act on an incident out, once for an Idempotency-Key; done again while a call is on its way."""
        work = partial(self._acted, act, request)
        return await patiently(lambda: self._changes.carry_out(request, work), seconds=_CALL_SECONDS)

    async def _acted(
        self, act: Act, request: Request[models.IncidentChange, None], change: Change
    ) -> models.IncidentChanged:
        incident_id, notifications = request.path_int("id"), NotificationStore(change.connection)
        incident, state = await self._act(
            IncidentStore(change.connection, principal=request.principal, request_id=request.request_id),
            notifications,
            incident_id=incident_id,
            act=act,
            actor=request.principal.name,
            text=change.reason,
            dry_run=change.dry_run,
            take_over=request.body.take_over,
        )
        await self._name_notices(change, notifications, [incident_id])
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
        many: tuple[tuple[Literal["ack", "resolve"], str, type[models.ChangeIncidents]], ...] = (
            ("ack", "Take many incidents, by ids or by a filter", models.AcknowledgeIncidents),
            ("resolve", "Close many incidents, by ids or by a filter", models.ChangeIncidents),
        )
        return [
            read_route(
                "/admin/v1/incidents",
                self.incidents,
                "Problems, newest first",
                Page[models.IncidentView],
                query=models.IncidentQuery,
            ),
            read_route(
                "/admin/v1/incident-groups",
                self.groups,
                "Problems by what they have in common, the largest groups first",
                models.IncidentGroups,
                query=models.GroupQuery,
            ),
            read_route(
                "/admin/v1/incidents/{id}",
                self.incident,
                "One problem with its history, notices, calls and timers",
                models.IncidentStory,
                errors=(NotFound,),
            ),
            *(
                change_route(
                    "POST",
                    f"/admin/v1/incidents/{name}",
                    partial(self.act_on_many, name),
                    summary,
                    model,
                    BulkAnswer,
                    errors=BULK_ERRORS,
                )
                for name, summary, model in many
            ),
            *(
                change_route(
                    "POST",
                    f"/admin/v1/incidents/{{id}}/{act}",
                    partial(self.act, act),
                    summary,
                    models.IncidentChange,
                    models.IncidentChanged,
                    errors=(NotFound, Conflict, CallUnderWay),
                )
                for act, summary in acts
            ),
        ]


def _latest(silences: Sequence[Mapping[str, Any]]) -> datetime | None:
    return max((each["ends_at"] for each in silences), default=None)
