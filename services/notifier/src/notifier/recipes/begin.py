"""Begin a recipe that somebody asked for and confirmed, in a chat or at the console: the one way in which any of them begins."""

from __future__ import annotations

from notifier.delivery.notifications import NotificationStore
from notifier.incidents.act import ActOnIncident
from notifier.incidents.store import IncidentStore
from notifier.recipes.model import RecipeRequest
from notifier.recipes.requests import RecipeRequests


class BeginRecipe:
    """Whoever runs the recipe has the incident: nobody is phoned about what is being mended. Raises as ``ActOnIncident`` does."""

    def __init__(self, act: ActOnIncident) -> None:
        self._act = act

    async def __call__(
        self,
        requests: RecipeRequests,
        incident_store: IncidentStore,
        notifications: NotificationStore,
        request: RecipeRequest,
        *,
        named: str,
        reason: str | None = None,
        traceparent: str | None,
        dry_run: bool = False,
    ) -> None:
        """Take the incident, whoever has it, and let a worker carry the request out, audited, in the caller's transaction.

        The request is locked. A dry run is rolled back by the caller.
        """
        await self._act(
            incident_store,
            notifications,
            incident_id=request.incident_id,
            act="ack",
            actor=request.person,
            text=named if reason is None else f"{named}: {reason}",
            dry_run=dry_run,
            take_over=True,
        )
        await requests.confirm(request.id, traceparent=traceparent, reason=reason)
        await incident_store.audit(
            action="incident.recipe",
            target=f"incident:{request.incident_id}",
            reason=named if reason is None else reason,
            before=None,
            after={"recipe": request.recipe, "target": request.target, "request": request.id},
        )
