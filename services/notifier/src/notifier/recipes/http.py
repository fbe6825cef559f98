"""The services' admin addresses: how a recipe is carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from ssl import SSLContext
from typing import Any

from aiohttp import ClientError, ClientResponse

from common.http import Calling
from notifier.duty.model import TryLater
from notifier.incidents.model import Recipe
from notifier.recipes.model import RecipeDone, RecipeOutcome, RecipeRefused


class HttpRecipes(Calling):
    """The orchestrator's and the refunds service's admin addresses. Without an address a recipe is refused."""

    def __init__(
        self, *, orchestrator_url: str | None, refunds_url: str | None, trusted: SSLContext | None = None
    ) -> None:
        self._trusted = trusted
        self._urls = {"retry_workflow": orchestrator_url, "restart_refund": refunds_url}

    async def run(self, recipe: Recipe, *, token: str, reason: str, key: str, deadline: float) -> RecipeOutcome:
        """Carry a recipe out with somebody's own token; the same ``key`` acts once."""
        return await self._call(
            recipe, recipe.body(reason), token=token, headers={"Idempotency-Key": key}, deadline=deadline
        )

    async def rehearse(self, recipe: Recipe, *, token: str, reason: str, deadline: float) -> RecipeOutcome:
        """Ask what would come of it; nothing is done."""
        body = {**recipe.body(reason), "dry_run": True}
        return await self._call(recipe, body, token=token, headers={}, deadline=deadline)

    async def _call(
        self, recipe: Recipe, body: Mapping[str, object], *, token: str, headers: Mapping[str, str], deadline: float
    ) -> RecipeOutcome:
        base = self._urls.get(recipe.name)
        if base is None:
            return RecipeRefused("the service's address is not configured")
        try:
            async with (
                asyncio.timeout(deadline),
                self._opened(service="notifier", trusted=self._trusted).post(
                    base.rstrip("/") + recipe.path,
                    json=dict(body),
                    headers={"Authorization": f"Bearer {token}", **headers},
                ) as answer,
            ):
                if answer.status < 300:
                    said = await _json(answer)
                    return RecipeDone(_outcome(said), tuple(map(str, said.get("notices") or ())))
                detail = _detail(answer.status, await _json(answer))
                if answer.status in {408, 425, 429} or answer.status >= 500:
                    return TryLater(detail)
                return RecipeRefused(detail)
        except (TimeoutError, ClientError, OSError) as error:
            return TryLater(f"no answer ({type(error).__name__})")


async def _json(answer: ClientResponse) -> Mapping[str, Any]:
    """The answer's object; an empty one where it is none."""
    try:
        body = await answer.json(content_type=None)
    except (ValueError, LookupError, RecursionError):
        return {}
    return body if isinstance(body, Mapping) else {}


def _detail(status: int, body: Mapping[str, Any]) -> str:
    """The service's own sentence (RFC 9457), which holds no customer's data."""
    detail = body.get("detail")
    return f"{status} {detail[:200]}" if isinstance(detail, str) else str(status)


def _outcome(body: Mapping[str, Any]) -> str | None:
    after = body.get("after")
    outcome = body.get("outcome") or (after.get("state_name") if isinstance(after, Mapping) else None)
    return outcome if isinstance(outcome, str) else None
