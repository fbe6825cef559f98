"""The services' admin addresses: how a recipe is carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from aiohttp import ClientError, ClientSession

from common.http import new_session
from notifier.duty.model import TryLater
from notifier.incidents.model import Recipe, RecipeName
from notifier.recipes.model import RecipeDone, RecipeOutcome, RecipeRefused, RecipeRequest


class HttpRecipes:
    """The orchestrator's and the refunds service's admin addresses. Without an address a recipe is refused."""

    def __init__(self, *, orchestrator_url: str | None, refunds_url: str | None) -> None:
        self._urls = {"retry_workflow": orchestrator_url, "restart_refund": refunds_url}
        self._session: ClientSession | None = None

    async def run(self, request: RecipeRequest, *, token: str, reason: str, key: str, deadline: float) -> RecipeOutcome:
        """Carry a recipe out with somebody's own token; the same ``key`` acts once."""
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
