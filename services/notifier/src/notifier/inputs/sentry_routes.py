"""Sentry's way in (CONTRACT 7)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from common.http import INTERNAL, Request, Route
from notifier.inputs.sentry import TakeSentry


class SentryNotification(BaseModel):
    """A webhook of Sentry's integration platform, or of its older plugin; other fields are read too where they help."""

    model_config = ConfigDict(extra="allow")

    action: str | None = None
    data: dict[str, Any] | None = None
    event: dict[str, Any] | None = None


class SentryTaken(BaseModel):
    """The incidents that it is, and the endangered order that its basket becomes, at the gateway."""

    incidents: list[int]
    endangered_order: str | None


def sentry_routes(*, take_sentry: TakeSentry) -> list[Route]:
    """Return the route."""

    async def sentry(request: Request[SentryNotification, None]) -> SentryTaken:
        """Take a notification in; a repeat changes nothing but counters."""
        incidents, endangered = await take_sentry(
            request.body.model_dump(), traceparent=request.raw.headers.get("traceparent")
        )
        return SentryTaken(incidents=list(incidents), endangered_order=endangered)

    return [
        Route(
            method="POST",
            path="/alerts/v1/sentry",
            handler=sentry,
            summary="Sentry's webhook",
            description=(
                "Issue alerts, errors and issues. A front end's error that carries an order (`order`, or `basket` with `customer` and "
                "`address`, in `extra` or as contexts) becomes an endangered order."
            ),
            request=SentryNotification,
            response=SentryTaken,
            roles=INTERNAL,
            tags=("alerts",),
        )
    ]
