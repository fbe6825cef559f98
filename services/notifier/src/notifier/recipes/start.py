"""A person starts an incident's recipe outside a chat: she has seen its rehearsal, so nobody asks back."""

from __future__ import annotations

from datetime import timedelta

from common.errors import Conflict, NotFound, Unavailable
from common.http import Change, Principal
from common.postgres import Database
from common.telemetry import current_traceparent
from notifier.delivery.notifications import NotificationStore
from notifier.duty.model import TryLater
from notifier.incidents.kinds import recipe_of
from notifier.incidents.model import Incident, IncidentState, Recipe, TakenAlready
from notifier.incidents.problems import Problems
from notifier.incidents.store import IncidentStore, read_incident
from notifier.messages.words import Words
from notifier.people.model import Directory
from notifier.recipes.begin import BeginRecipe
from notifier.recipes.http import HttpRecipes
from notifier.recipes.model import RecipeDone, RecipeRefused, RecipeRequest, named
from notifier.recipes.requests import RecipeRequests
from notifier.recipes.store import ends
from notifier.tickets.name_notices import NameNotices

_CHANNEL = "http"
_ASKED_LASTS = timedelta(minutes=5)  # it is confirmed in the same transaction


class NoSuchRecipe(NotFound):
    """The problem has no recipe of this name, or its target cannot be told."""

    code = "no_recipe"


class NoKeyOfHerOwn(Conflict):
    """The person has no token in the people file, so no service would know who acts."""

    code = "no_key_of_own"


class RecipeNotPossible(Conflict):
    """The service that is to carry the recipe out refuses it."""

    code = "recipe_refused"


class StartRecipe:
    """Raises ``NotFound`` for an unknown incident, ``NoSuchRecipe``, ``NoKeyOfHerOwn``, ``Conflict`` for one that is resolved,
    ``TakenAlready`` where somebody else has asked for the same, and as ``ActOnIncident`` does.

    One recipe of an incident is under way at a time, whether it was asked for here or in a chat; starting one's own again changes nothing.
    """

    def __init__(
        self,
        *,
        database: Database,
        http: HttpRecipes,
        begin: BeginRecipe,
        name_notices: NameNotices,
        problems: Problems,
        directory: Directory,
        words: Words,
        deadline: float,
    ) -> None:
        self._database = database
        self._http = http
        self._begin = begin
        self._name_notices = name_notices
        self._problems = problems
        self._directory = directory
        self._words = words
        self._deadline = deadline

    async def rehearse(self, incident_id: int, name: str, *, principal: Principal, reason: str) -> RecipeDone:
        """Ask the service what the recipe would do there; nothing does.

        Opens no transaction. Raises ``RecipeNotPossible``, ``Unavailable`` when the service does not answer.
        """
        async with self._database.acquire() as connection:
            incident = await read_incident(connection, incident_id)
        recipe = self._possible(incident, name, principal)
        outcome = await self._http.rehearse(
            recipe, token=self._token_of(principal), reason=reason, deadline=self._deadline
        )
        if isinstance(outcome, RecipeRefused):
            raise RecipeNotPossible(outcome.reason)
        if isinstance(outcome, TryLater):
            raise Unavailable(outcome.reason, retry_after=5.0)
        return outcome

    async def __call__(
        self, change: Change, incident_id: int, name: str, *, expected_revision: int | None, request_id: str
    ) -> tuple[RecipeRequest, Incident, bool]:
        """Start it; returns the request that is carried out, the incident before it, and whether it was under way before.

        Raises ``ChangedSince`` when somebody has taken or ended the incident since that revision.
        """
        incident_store = IncidentStore(change.connection, principal=change.principal, request_id=request_id)
        requests, notifications = RecipeRequests(change.connection), NotificationStore(change.connection)
        # Locks: problem → incident → request, as where it ends: its end is foreseen here.
        fingerprint = (await read_incident(change.connection, incident_id)).fact.fingerprint
        await notifications.lock([fingerprint])
        incident = await incident_store.incident(incident_id)
        recipe = self._possible(incident, name, change.principal)
        person = change.principal.name
        request, new = await requests.ask(
            incident_id=incident_id, recipe=recipe, person=person, channel=_CHANNEL, lasts=_ASKED_LASTS
        )
        if request.person != person:
            raise TakenAlready(f"{request.person} has asked for this recipe already")
        if not new and request.state != "asked":
            return request, incident, True
        await incident_store.ensure_revision(incident, expected_revision)
        await self._begin(
            requests,
            incident_store,
            notifications,
            request,
            named=named(request, self._words),
            reason=change.reason,
            traceparent=current_traceparent(),
            dry_run=change.dry_run,
        )
        await self._name_notices(change, notifications, [incident_id])
        change.tells(
            *await ends(
                notifications,
                request,
                incident.fact.fingerprint,
                text=named(request, self._words),
                problems=self._problems,
                lines=lambda store: self._name_notices.lines(store, [incident_id]),
            )
        )
        return request, incident, False

    def _possible(self, incident: Incident, name: str, principal: Principal) -> Recipe:
        recipe = recipe_of(incident.fact)
        if recipe is None or recipe.name != name:
            raise NoSuchRecipe(f"incident {incident.id} has no recipe of this name")
        if incident.state is IncidentState.RESOLVED:
            raise Conflict("the incident is resolved already")
        self._token_of(principal)
        return recipe

    def _token_of(self, principal: Principal) -> str:
        person = self._directory.person(principal.name)
        if person is None or person.token is None:
            raise NoKeyOfHerOwn(f"the people file has no token of {principal.name}: act at the service itself")
        return person.token
