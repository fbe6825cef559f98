"""Carry a confirmed recipe out with the person's own token: claim, call the service's admin address, write down what came of it."""

from __future__ import annotations

from datetime import timedelta

from common.ids import derived_id
from common.service import apart
from common.telemetry import get_logger
from notifier.messages.words import Words
from notifier.metrics import PeopleMetrics
from notifier.people.model import Directory
from notifier.recipes.http import HttpRecipes
from notifier.recipes.model import RecipeDone, RecipeOutcome, RecipeRefused, RecipeRequest, named
from notifier.recipes.store import RecipeStore

_log = get_logger()
_GIVE_UP_AFTER = 6
_MARGIN = timedelta(seconds=5)


class RunRecipes:
    """A request has one Idempotency-Key, so a try whose answer was lost is repeated and acts once. The service checks the person's role."""

    def __init__(
        self,
        *,
        store: RecipeStore,
        http: HttpRecipes,
        directory: Directory,
        words: Words,
        metrics: PeopleMetrics,
        deadline: float,
    ) -> None:
        self._store = store
        self._http = http
        self._directory = directory
        self._words = words
        self._metrics = metrics
        self._deadline = deadline

    async def __call__(self) -> bool:
        """Carry one out; returns whether there was one."""
        request = await self._store.claim(lease=timedelta(seconds=self._deadline) + _MARGIN)
        if request is None:
            return False
        with apart(f"recipe {request.id}"):  # its lease keeps it apart
            what = named(request, self._words)
            outcome = await self._run(request, what)
            text = what if isinstance(outcome, RecipeDone) else f"{what}: {outcome.reason}"
            state = await self._store.record(request, outcome, text=text, give_up_after=_GIVE_UP_AFTER)
            self._metrics.recipes.labels(request.recipe, state).inc()
            _log.info("recipe_run", recipe=request.recipe, incident_id=str(request.incident_id), outcome=state)
        return True

    async def _run(self, request: RecipeRequest, what: str) -> RecipeOutcome:
        person = self._directory.person(request.person)
        if person is None or person.token is None:
            return RecipeRefused(self._words["recipe.no_token"].format(who=self._directory.name_of(request.person)))
        why = "" if request.reason is None else f": {request.reason}"
        return await self._http.run(
            request.wanted,
            token=person.token,
            reason=f"{person.id}: {what} (incident {request.incident_id}){why}",
            key=derived_id("notifier.recipe", str(request.id)),
            deadline=self._deadline,
        )
