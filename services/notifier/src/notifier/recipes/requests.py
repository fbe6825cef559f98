"""Recipes that people ask for: of one incident each recipe is open once, whoever asks and wherever."""

from __future__ import annotations

from datetime import timedelta

from common.postgres import Connection
from notifier.incidents.model import Recipe
from notifier.recipes.model import RecipeRequest, request_of

_EXPIRE = """
UPDATE recipe_requests SET state = 'expired', ended_at = clock_timestamp()
WHERE incident_id = $1 AND recipe = $2 AND state = 'asked' AND expires_at <= clock_timestamp()
"""
_ASK = """
INSERT INTO recipe_requests (incident_id, recipe, target, version, person, channel, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp() + $7::interval)
ON CONFLICT (incident_id, recipe) WHERE state IN ('asked', 'confirmed', 'running') DO NOTHING RETURNING *
"""
_OPEN = """
SELECT * FROM recipe_requests WHERE incident_id = $1 AND recipe = $2 AND state IN ('asked', 'confirmed', 'running')
"""
_LOCK_INCIDENT = """
SELECT FROM incidents WHERE id = (SELECT incident_id FROM recipe_requests WHERE id = $1) FOR UPDATE
"""
_FIND = """
SELECT *, CASE WHEN state = 'asked' AND expires_at <= clock_timestamp() THEN 'expired' ELSE state END AS state_now
FROM recipe_requests WHERE id = $1 FOR UPDATE
"""
_DECIDE = """
UPDATE recipe_requests SET state = $2, not_before = clock_timestamp(), traceparent = $3, reason = $4,
    ended_at = CASE WHEN $2 = 'declined' THEN clock_timestamp() END
WHERE id = $1 AND state = 'asked'
"""


class RecipeRequests:
    """Requests for recipes, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ask(
        self, *, incident_id: int, recipe: Recipe, person: str, channel: str, lasts: timedelta
    ) -> tuple[RecipeRequest, bool]:
        """Keep that somebody wants a recipe; returns the open request and whether it is new. One an incident and recipe is open.

        To be called under the incident's lock: without it no open request begins or ends.
        """
        await self._connection.execute(_EXPIRE, incident_id, recipe.name)
        row = await self._connection.fetchrow(
            _ASK, incident_id, recipe.name, recipe.target, recipe.version, person, channel, lasts
        )
        if row is not None:
            return request_of(row), True
        return request_of(await self._connection.fetchrow(_OPEN, incident_id, recipe.name)), False

    async def find(self, request_id: int) -> RecipeRequest | None:
        """Lock and return a request, after its incident; one whose time is over is ``expired``."""
        await self._connection.execute(_LOCK_INCIDENT, request_id)
        row = await self._connection.fetchrow(_FIND, request_id)
        return None if row is None else request_of({**dict(row), "state": row["state_now"]})

    async def confirm(self, request_id: int, *, traceparent: str | None, reason: str | None) -> None:
        """Have a request that was asked carried out."""
        await self._connection.execute(_DECIDE, request_id, "confirmed", traceparent, reason)

    async def decline(self, request_id: int, *, traceparent: str | None) -> None:
        """End a request that was asked."""
        await self._connection.execute(_DECIDE, request_id, "declined", traceparent, None)
