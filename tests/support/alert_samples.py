"""Notifications as Alertmanager, Grafana and Sentry send them, from their public formats; each call gives a fresh copy."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

KUBE_STATE_LABELS = {
    "alertname": "KubePodCrashLooping",
    "severity": "warning",
    "prometheus": "monitoring/k8s",
    "job": "kube-state-metrics",
    "endpoint": "http",
    "instance": "10.0.7.12:8080",
    "service": "kube-state-metrics",
    "uid": "2d6cf2a2",
    "reason": "CrashLoopBackOff",
    "condition": "true",
    "created_by_kind": "ReplicaSet",
    "created_by_name": "tips-7d9c",
    "host_ip": "10.0.7.1",
    "image": "tips:1.4",
    "image_id": "sha256-1",
    "label_app": "tips",
    "label_team": "orders",
    "phase": "Running",
    "pod_ip": "10.0.9.4",
    "priority_class": "high",
    "qos_class": "Burstable",
    "region": "ru-central1",
    "scrape": "true",
    "shard": "0",
    "container": "tips",
    "namespace": "orders",
    "pod": "tips-7d9c-xk2",
    "node": "worker-3",
}


def stamp(minutes: float) -> str:
    """Return the time so many minutes from now, as Alertmanager writes it (nanoseconds)."""
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06d}123Z"


def one_alert(name: str = "DiskFull", *, severity: str = "critical", **changes: Any) -> dict[str, Any]:
    """One alert that fires since ten minutes ago; ``labels`` and ``annotations`` are added to its own."""
    labels = {"alertname": name, "severity": severity, **(changes.pop("labels", None) or {})}
    annotations = {"summary": f"{name} fires", **(changes.pop("annotations", None) or {})}
    return {
        "status": "firing",
        "labels": labels,
        "annotations": annotations,
        "startsAt": stamp(-10),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://prometheus.example/graph?g0.expr=up",
        "fingerprint": f"fp-{name}",
        **changes,
    }


def notification(*alerts: Any, **changes: Any) -> dict[str, Any]:
    """A notification of Alertmanager, version 4."""
    return {
        "receiver": "notifier",
        "status": "firing",
        "alerts": list(alerts),
        "groupLabels": {"alertname": "DiskFull"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "https://alertmanager.example",
        "version": "4",
        "groupKey": '{}:{alertname="DiskFull"}',
        "truncatedAlerts": 0,
        **changes,
    }


GRAFANA: dict[str, Any] = {
    "receiver": "orders",
    "status": "firing",
    "orgId": 1,
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "High memory usage", "team": "blue", "zone": "us-1", "severity": "Critical"},
            "annotations": {
                "description": "The system has high memory usage",
                "runbook_url": "https://wiki.example/mem",
            },
            "startsAt": "2026-11-12T09:51:03.157076+02:00",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "https://grafana.example/alerting/1afz29v7z/edit",
            "fingerprint": "c6eadffa33fcdf37",
            "silenceURL": "https://grafana.example/alerting/silence/new",
            "values": {"B": 44.23943737541908, "C": 1},
        }
    ],
    "groupLabels": {},
    "commonLabels": {"team": "blue"},
    "version": "1",
    "truncatedAlerts": 0,
    "title": "[FIRING:1]  (High memory usage blue)",
    "state": "alerting",
    "message": "**Firing**\n\nLabels:\n - alertname = High memory usage",
}

SENTRY_ISSUE_ALERT: dict[str, Any] = {
    "action": "triggered",
    "installation": {"uuid": "a8e5d37a-696c-4c54-adb5-b3f28d64c7de"},
    "data": {
        "event": {
            "event_id": "e4874d664c3540c1a32eab185f12c5ab",
            "issue_id": "1170820242",
            "url": "https://sentry.example/api/0/projects/test-org/front-end/events/e4874d664c3540c1a32eab185f12c5ab/",
            "web_url": "https://sentry.example/organizations/test-org/issues/1170820242/events/e4874d664c3540c1a32eab185f12c5ab/",
            "project": 1,
            "platform": "javascript",
            "title": "ReferenceError: heck is not defined",
            "level": "fatal",
            "culprit": "?(<anonymous>)",
            "datetime": "2026-08-19T21:06:17.403000Z",
            "timestamp": 1787346377.403,
            "environment": "prod",
            "request": {"method": "POST", "url": "https://shop.example/api/v1/orders/?debug=1"},
            "tags": [["browser", "Chrome 75.0.3770"], ["responsible", "ivan"]],
            "extra": {},
        },
        "triggered_rule": "Very Important Alert Rule!",
        "issue_alert": {"title": "Very Important Alert Rule!", "settings": []},
    },
    "actor": {"type": "application", "id": "sentry", "name": "Sentry"},
}
SENTRY_ISSUE: dict[str, Any] = {
    "action": "resolved",
    "data": {
        "issue": {
            "id": "1170820242",
            "shortId": "FRONT-END-1A",
            "title": "ReferenceError: heck is not defined",
            "culprit": "?(<anonymous>)",
            "level": "fatal",
            "status": "resolved",
            "permalink": "https://sentry.example/organizations/test-org/issues/1170820242/",
            "project": {"id": "1", "name": "Front End", "slug": "front-end", "platform": "javascript"},
            "firstSeen": "2026-08-19T20:00:00Z",
            "lastSeen": "2026-08-19T21:06:12.403000Z",
            "count": "12",
            "metadata": {"type": "ReferenceError", "value": "heck is not defined"},
        }
    },
    "actor": {"type": "user", "id": 789, "name": "Person"},
}
SENTRY_METRIC_ALERT: dict[str, Any] = {
    "action": "critical",
    "data": {
        "metric_alert": {
            "id": "4",
            "identifier": "4",
            "title": "Failure rate of checkout",
            "alert_rule": {"id": "7", "name": "Failure rate", "environment": "production", "projects": ["back-end"]},
            "projects": ["back-end"],
            "date_started": "2026-11-29T10:00:00Z",
            "status": 20,
        },
        "description_text": "1,2 % failed in the last 5 minutes",
        "description_title": "Critical: Failure rate of checkout",
        "web_url": "https://sentry.example/organizations/test-org/alerts/4/",
    },
}
SENTRY_ERROR: dict[str, Any] = {
    "action": "created",
    "data": {
        "error": {
            "event_id": "bb78c1407cea4519aa397afc059c793d",
            "issue_id": "1170820243",
            "project": 1,
            "title": "ZeroDivisionError: division by zero",
            "level": "error",
            "datetime": "2026-08-19T21:06:17Z",
            "web_url": "https://sentry.example/organizations/test-org/issues/1170820243/events/bb78/",
        }
    },
}
SENTRY_LEGACY: dict[str, Any] = {
    "id": "27379932",
    "project": "front-end",
    "project_name": "Front End",
    "project_slug": "front-end",
    "logger": None,
    "level": "fatal",
    "culprit": "raven.scripts.runner in main",
    "message": "This is an example Python exception",
    "url": "https://sentry.example/organizations/test-org/issues/27379932/",
    "triggering_rules": ["Very Important Alert Rule!"],
    "event": {
        "event_id": "7b9fde34dc434e2aa4dd30b2b3d0b0e1",
        "level": "fatal",
        "title": "This is an example Python exception",
        "timestamp": 1787346377.0,
        "tags": [["level", "fatal"]],
        "extra": {"emptyList": []},
    },
}
SENTRY = {
    "event_alert": SENTRY_ISSUE_ALERT,
    "issue": SENTRY_ISSUE,
    "metric_alert": SENTRY_METRIC_ALERT,
    "error": SENTRY_ERROR,
    "legacy": SENTRY_LEGACY,
}


def sentry(name: str) -> dict[str, Any]:
    """Return a fresh copy of one of Sentry's notifications."""
    return copy.deepcopy(SENTRY[name])
