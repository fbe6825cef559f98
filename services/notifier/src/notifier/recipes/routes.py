"""An incident's recipes by HTTP (`/admin/v1/incidents/{id}/recipes/{name}`)."""

from __future__ import annotations

from collections.abc import Callable

from common.errors import ChangedSince, Conflict, NotFound, SuiteError, Unavailable
from common.http import Answer, Change, Changes, Request, Route, change_route
from common.postgres import Database
from notifier.incidents.act import patiently
from notifier.incidents.model import CallUnderWay, IncidentState, TakenAlready
from notifier.recipes.model import RecipeDone
from notifier.recipes.start import NoKeyOfHerOwn, NoSuchRecipe, RecipeNotPossible, StartRecipe
from notifier.recipes.views import RecipeStarted, StartRecipeBody

_CALL_SECONDS = 8.0


class RecipeRoutes:
    """The handler; ``routes`` is the table of it."""

    def __init__(self, *, database: Database, start: StartRecipe, wake: Callable[[], None]) -> None:
        self._changes = Changes(database, committed=wake)
        self._start = start

    async def start(self, request: Request[StartRecipeBody, None]) -> Answer:
        """Start a recipe, once for an Idempotency-Key. A dry run asks the service that would carry it out, before any transaction."""
        incident_id, name = request.path_int("id"), request.path["name"]
        there = RecipeDone()
        try:
            there = await self._start.rehearse(
                incident_id, name, principal=request.principal, reason=request.body.reason
            )
        except SuiteError:
            if request.body.dry_run:
                raise  # else a worker tries, again and again, and what comes of it is told

        async def _work(change: Change) -> RecipeStarted:
            asked, incident, before = await self._start(
                change,
                incident_id,
                name,
                expected_revision=request.body.expected_version,
                request_id=request.request_id,
            )
            change.tells(*there.notices)
            held = incident.state is IncidentState.ACKNOWLEDGED and incident.holder not in (
                None,
                request.principal.name,
            )
            return RecipeStarted(
                outcome="under_way" if before else "started",
                id=incident_id,
                name=asked.recipe,
                target=asked.target,
                holder=incident.holder if held else None,
                held_since=incident.held_since if held else None,
                would=there.said if change.dry_run else None,
                dry_run=change.dry_run,
            )

        return await patiently(lambda: self._changes.carry_out(request, _work), seconds=_CALL_SECONDS)

    def routes(self) -> list[Route]:
        """Return the table of admin routes."""
        return [
            change_route(
                "POST",
                "/admin/v1/incidents/{id}/recipes/{name}",
                self.start,
                "Carry out a recipe of an incident: another service does it, in the person's name",
                StartRecipeBody,
                RecipeStarted,
                description="The same as the recipe's button in a chat. What came of it stands in the incident. `notices` are those of "
                "the service that carries it out, too: it is asked for them.",
                errors=(
                    NotFound,
                    NoSuchRecipe,
                    Conflict,
                    TakenAlready,
                    ChangedSince,
                    NoKeyOfHerOwn,
                    RecipeNotPossible,
                    CallUnderWay,
                    Unavailable,
                ),
            )
        ]
