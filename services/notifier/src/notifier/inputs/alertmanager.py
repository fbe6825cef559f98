"""Alertmanager's webhook (version 4) as problems: each alert is one, under its own fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from common.http import Moment
from common.ids import derived_id
from common.postgres import Database
from common.telemetry import scrub_text
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.model import ProblemFact, Severity
from notifier.incidents.problems import Problems, Report, Resolution

_SEVERITIES: Mapping[str, Severity] = {"critical": "critical", "page": "critical", "info": "info", "none": "info"}
_SHOWN_LABELS = 15
_AT_A_TIME = 250
_MOST_PEOPLE = 5
_METHODS = ("method", "http_method")
_ADDRESSES = ("url", "route", "path", "handler", "endpoint")
_RESPONSIBLE = ("responsible", "owner")
_ELSEWHERE = {"alertname", "severity", "service", "environment", *_RESPONSIBLE}


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


class IngestAlerts:
    """Alertmanager repeats a notification until it gets a 2xx, and while an alert lasts: repeats change nothing but counters."""

    def __init__(self, *, problems: Problems, database: Database, wake: Callable[[], None]) -> None:
        self._problems = problems
        self._database = database
        self._wake = wake

    async def __call__(self, alerts: Sequence[AlertmanagerAlert], *, traceparent: str | None) -> tuple[int, ...]:
        """Take all alerts of a notification in; returns the ids of the incidents they are.

        A large notification is several transactions: each holds a lock an alert, and the server has room for some thousands. When a
        later one fails, Alertmanager repeats the whole, and the earlier alerts are only counted again.
        """
        incidents: list[int] = []
        # Sorted: two notifications with the same alerts would otherwise lock incidents crosswise.
        ordered = sorted(alerts, key=lambda each: each.fingerprint)
        for start in range(0, len(ordered), _AT_A_TIME):
            incidents.extend(await self._take(ordered[start : start + _AT_A_TIME], traceparent=traceparent))
            self._wake()
        return tuple(incidents)

    async def _take(self, alerts: Sequence[AlertmanagerAlert], *, traceparent: str | None) -> list[int]:
        entries: list[Report | Resolution] = []
        for alert in alerts:
            fingerprint = f"alertmanager:{alert.fingerprint}"
            event_id = derived_id("alertmanager", alert.fingerprint, alert.startsAt.isoformat(), alert.status)
            if alert.status == "resolved":
                at = alert.endsAt or alert.startsAt
                entries.append(
                    Resolution(
                        fingerprint=fingerprint, actor="alertmanager", summary="resolved", at=at, event_id=event_id
                    )
                )
            else:
                entries.append(Report(fact=problem_of(alert, fingerprint), event_id=event_id, traceparent=traceparent))
        async with self._database.transaction() as connection:
            incidents = await self._problems.ingest(NotificationStore(connection), entries)
        return [incident for incident in incidents if incident is not None]


def problem_of(alert: AlertmanagerAlert, fingerprint: str) -> ProblemFact:
    """Return the problem that an alert is: annotations ``summary``, ``description``, ``runbook_url``; the labels are details.

    Labels ``responsible`` or ``owner`` name whom to tag, several with commas between. An alert about requests that fail names method
    and address first, whatever its labels call them.
    """
    labels, annotations = alert.labels, alert.annotations
    name = labels.get("alertname", "alert")
    request = " ".join(
        value
        for names in (_METHODS, _ADDRESSES)
        if (value := next((labels[each] for each in names if labels.get(each)), ""))
    )
    shown_elsewhere = _ELSEWHERE | ({*_METHODS, *_ADDRESSES} if request else set())
    shown = {"request": scrub_text(request)} if request else {}
    shown |= {label: scrub_text(value) for label, value in labels.items() if label not in shown_elsewhere}
    responsible = next((labels[each] for each in _RESPONSIBLE if labels.get(each)), "")
    description = annotations.get("description")
    return ProblemFact(
        kind="problem.alert",
        severity=_SEVERITIES.get(labels.get("severity", ""), "warning"),
        fingerprint=fingerprint,
        summary=scrub_text(annotations.get("summary") or name),
        service=labels.get("service") or labels.get("job") or "prometheus",
        occurred_at=alert.startsAt,
        details={"alert": name, **dict(list(shown.items())[:_SHOWN_LABELS])},
        source=labels.get("source"),
        store_id=labels.get("store_id"),
        zone=labels.get("zone"),
        link=annotations.get("runbook_url") or alert.generatorURL,
        what_to_do=scrub_text(description) if description else None,
        environment=labels.get("environment"),
        alert=name,
        responsible=tuple(each.strip() for each in responsible.split(",") if each.strip())[:_MOST_PEOPLE],
    )
