"""Alertmanager's way in (CONTRACT 7)."""

from __future__ import annotations

from common.http import INTERNAL, Request, Route
from notifier.incidents.views import AlertmanagerNotification, AlertsTaken
from notifier.inputs.alertmanager import Alert, TakeAlerts


def http_routes(*, take_alerts: TakeAlerts) -> list[Route]:
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
        incidents = await take_alerts(alerts, traceparent=request.raw.headers.get("traceparent"))
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
