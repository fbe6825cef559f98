"""Confirmed recipes in PostgreSQL, and the admin addresses of the services that carry them out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from aiohttp import ClientError, ClientSession

from common.http import new_session
from common.ids import derived_id
from common.postgres import Database
from notifier.buttons.store import request_of
from notifier.delivery.notifications import PostgresLedger
from notifier.duty.model import RecipeDone, RecipeOutcome, RecipeRefused, RecipeRequest, TryLater
from notifier.incidents.problems import Over
from notifier.incidents.recipe import Recipe, RecipeName
from notifier.inputs.events import TakeIn

_CLAIM = """
UPDATE recipe_requests SET state = 'running', attempts = attempts + 1, began_at = coalesce(began_at, clock_timestamp()),
    lease_until = clock_timestamp() + $1::interval, not_before = clock_timestamp() + $1::interval
WHERE id = (SELECT id FROM recipe_requests WHERE state IN ('confirmed', 'running') AND not_before <= clock_timestamp()
            ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *
"""
_RECORD = """
UPDATE recipe_requests SET state = $2, result = $3, not_before = clock_timestamp() + $4::interval, lease_until = NULL,
    ended_at = CASE WHEN $2 <> 'running' THEN clock_timestamp() END
WHERE id = $1 AND state = 'running' AND attempts = $5
RETURNING began_at
"""
_INCIDENT = "SELECT fingerprint, state FROM incidents WHERE id = $1"
_NOTE = "INSERT INTO incident_history (incident_id, actor, act, text) VALUES ($1, $2, $3, $4)"


class PostgresRecipeBook:
    """See ``application.people_ports.RecipeBook``."""

    def __init__(self, database: Database, *, take_in: TakeIn) -> None:
        self._database = database
        self._take_in = take_in

    async def claim(self, *, lease: timedelta) -> RecipeRequest | None:
        """Claim the next one; a claim whose owner died is due again after its lease."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_CLAIM, lease)
        return None if row is None else request_of(row)

    async def record(self, request: RecipeRequest, outcome: RecipeOutcome, *, text: str, give_up_after: int) -> str:
        """Write down what came of it.

        Done ends the incident as it stood when the recipe began: what was reported since (the workflow crashed again) stays open.
        """
        wait = timedelta(0)
        if isinstance(outcome, RecipeDone):
            state = "done"
        elif isinstance(outcome, TryLater) and request.attempts < give_up_after:
            state, wait = "running", timedelta(seconds=min(30, 2**request.attempts))
        else:
            state = "failed"
        async with self._database.transaction() as connection:
            incident = await connection.fetchrow(
                _INCIDENT, request.incident_id
            )  # its lock comes after its fingerprint's
            ours = await connection.fetchrow(_RECORD, request.id, state, text, wait, request.attempts)
            if ours is None:
                return "superseded"
            if state != "running":
                await connection.execute(_NOTE, request.incident_id, request.person, f"recipe_{state}", text)
            if state == "done" and incident is not None and incident["state"] != "resolved":
                over = Over(
                    fingerprint=incident["fingerprint"],
                    actor=request.person,
                    summary=text,
                    at=ours["began_at"],
                    event_id=derived_id("notifier.recipe-done", str(request.id)),
                )
                await self._take_in.problems(PostgresLedger(connection), [over])
        return state


class HttpRecipes:
    """The orchestrator's and the refunds service's admin addresses. Without an address a recipe is refused."""

    def __init__(self, *, orchestrator_url: str | None, refunds_url: str | None) -> None:
        self._urls = {"retry_workflow": orchestrator_url, "restart_refund": refunds_url}
        self._session: ClientSession | None = None

    async def run(self, request: RecipeRequest, *, token: str, reason: str, key: str, deadline: float) -> RecipeOutcome:
        """Carry a recipe out with somebody's own token."""
        base = self._urls.get(request.recipe)
        if base is None:
            return RecipeRefused("the service's address is not configured")
        recipe = Recipe(name=cast("RecipeName", request.recipe), target=request.target, version=request.version)
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
        if self._session is None:
            self._session = new_session(service="notifier")
        try:
            async with (
                asyncio.timeout(deadline),
                self._session.post(
                    base.rstrip("/") + recipe.path, json=dict(recipe.body(reason)), headers=headers
                ) as answer,
            ):
                if answer.status < 300:
                    return RecipeDone()
                detail = await _detail(answer)
                if answer.status in {408, 425, 429} or answer.status >= 500:
                    return TryLater(detail)
                return RecipeRefused(detail)
        except (TimeoutError, ClientError, OSError) as error:
            return TryLater(f"no answer ({type(error).__name__})")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


async def _detail(answer: Any) -> str:
    """The service's own sentence (RFC 9457), which holds no customer's data."""
    try:
        body = await answer.json(content_type=None)
    except (ValueError, ClientError):
        body = None
    if isinstance(body, Mapping) and isinstance(body.get("detail"), str):
        return f"{answer.status} {body['detail'][:200]}"
    return f"{answer.status}"
