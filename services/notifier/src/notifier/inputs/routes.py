"""The webhooks of Alertmanager and Sentry. A repeated notification changes nothing but counters."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from common.http import INTERNAL, Request, Route
from notifier.inputs.alertmanager import AlertmanagerAlert, IngestAlerts
from notifier.inputs.sentry import IngestSentry


class AlertmanagerNotification(BaseModel):
    """Alertmanager's webhook body, version 4; other fields are ignored."""

    model_config = ConfigDict(extra="ignore")

    version: Literal["4"] = "4"
    status: Literal["firing", "resolved"]
    alerts: list[AlertmanagerAlert] = Field(max_length=5000)


class AlertsTaken(BaseModel):
    """The incidents that the alerts are."""

    incidents: list[int]


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


class InputRoutes:
    """The handlers; ``routes`` is the table of them."""

    def __init__(self, *, ingest_alerts: IngestAlerts, ingest_sentry: IngestSentry) -> None:
        self._ingest_alerts = ingest_alerts
        self._ingest_sentry = ingest_sentry

    async def alertmanager(self, request: Request[AlertmanagerNotification, None]) -> AlertsTaken:
        """Take a notification of Alertmanager in."""
        incidents = await self._ingest_alerts(request.body.alerts, traceparent=request.raw.headers.get("traceparent"))
        return AlertsTaken(incidents=list(incidents))

    async def sentry(self, request: Request[SentryNotification, None]) -> SentryTaken:
        """Take a notification of Sentry in."""
        incidents, endangered = await self._ingest_sentry(
            request.body.model_dump(), traceparent=request.raw.headers.get("traceparent")
        )
        return SentryTaken(incidents=list(incidents), endangered_order=endangered)

    def routes(self) -> list[Route]:
        """Return the routes that other systems call."""
        return [
            Route(
                method="POST",
                path="/alerts/v1/alertmanager",
                handler=self.alertmanager,
                summary="Alertmanager's webhook, version 4",
                description="Each alert is an incident under its own fingerprint; repeated notifications are only counted.",
                request=AlertmanagerNotification,
                response=AlertsTaken,
                roles=INTERNAL,
                any_query=True,
                tags=("alerts",),
            ),
            Route(
                method="POST",
                path="/alerts/v1/sentry",
                handler=self.sentry,
                summary="Sentry's webhook",
                description=(
                    "Issue alerts, errors and issues. A front end's error that carries an order (`order`, or `basket` with `customer` and "
                    "`address`, in `extra` or as contexts) becomes an endangered order."
                ),
                request=SentryNotification,
                response=SentryTaken,
                roles=INTERNAL,
                any_query=True,
                tags=("alerts",),
            ),
        ]
