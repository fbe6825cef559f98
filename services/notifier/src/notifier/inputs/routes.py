"""The ways in of Alertmanager and Sentry."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from common.http import INTERNAL, Moment, Request, Route
from notifier.inputs.alertmanager import Alert, IngestAlerts
from notifier.inputs.sentry import IngestSentry


def http_routes(*, ingest_alerts: IngestAlerts) -> list[Route]:
    """Return the routes of other systems."""

    async def alertmanager(request: Request[AlertmanagerNotification, None]) -> AlertsTaken:
        """Take a notification in; a repeat changes nothing but counters."""
        alerts = tuple(
            Alert(
                status=alert.status,
                fingerprint=alert.fingerprint,
                labels=alert.labels,
                annotations=alert.annotations,
                starts_at=alert.startsAt,
                ends_at=alert.endsAt,
                url=alert.generatorURL,
            )
            for alert in request.body.alerts
        )
        incidents = await ingest_alerts(alerts, traceparent=request.raw.headers.get("traceparent"))
        return AlertsTaken(incidents=list(incidents))

    return [
        Route(
            method="POST",
            path="/alerts/v1/alertmanager",
            handler=alertmanager,
            summary="Alertmanager's webhook, version 4",
            description="Each alert is an incident under its own fingerprint; repeated notifications are only counted.",
            request=AlertmanagerNotification,
            response=AlertsTaken,
            roles=INTERNAL,
            tags=("alerts",),
        )
    ]


class AlertmanagerAlert(BaseModel):
    """One alert of Alertmanager's webhook, version 4."""

    model_config = ConfigDict(extra="ignore")

    status: Literal["firing", "resolved"]
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    startsAt: Moment  # noqa: N815 - Alertmanager's own name
    endsAt: Moment | None = None  # noqa: N815 - as above
    generatorURL: str | None = None  # noqa: N815 - as above
    fingerprint: str = Field(min_length=1, max_length=200)


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


def sentry_routes(*, ingest_sentry: IngestSentry) -> list[Route]:
    """Return the route."""

    async def sentry(request: Request[SentryNotification, None]) -> SentryTaken:
        """Take a notification in; a repeat changes nothing but counters."""
        incidents, endangered = await ingest_sentry(
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
