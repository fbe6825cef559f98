"""Alertmanager's alerts as problems: each is one, under its own fingerprint."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from common.clock import Clock
from common.ids import derived_id
from common.postgres import Database
from common.telemetry import scrub_text
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.model import ProblemFact
from notifier.incidents.problems import Problems, Report, Resolution
from notifier.inputs.alert import Alert, Notification
from notifier.inputs.lenient import Vocabulary, first
from notifier.inputs.unread import keep_unread
from notifier.messages.words import Words

SENDER = "alertmanager"
_SHOWN_LABELS = 15
_SHOWN_ANNOTATIONS = 5
_LONGEST_LABEL = 300
_LONGEST_TEXT = 4000
_AT_A_TIME = 250
_MOST_PEOPLE = 5
_METHODS = ("method", "http_method")
_ADDRESSES = ("url", "uri", "route", "path", "handler", "endpoint")
_RESPONSIBLE = ("responsible", "owner")
_SEVERITY = ("severity", "priority")
_ENVIRONMENT = ("environment", "env")
_ELSEWHERE = {"alertname", "service", "source", "store_id", "zone", *_SEVERITY, *_ENVIRONMENT, *_RESPONSIBLE}
_TEXTS = ("summary", "message", "description", "title")
_TRANSLATED = re.compile(r"(summary|message|description|title)_[a-z]{2}")
_LINKS = ("sentry_url", "runbook_url")
# Labels that tell where it is, before those that only tell which exporter saw it.
_TELLING = (
    *("cluster", "namespace", "pod", "container", "deployment", "statefulset", "daemonset", "node", "instance"),
    *("host", "queue", "database", "job_name", "job"),
)


class IngestAlerts:
    """Alertmanager repeats a notification until it gets a 2xx, and while an alert lasts: repeats change nothing but counters."""

    def __init__(
        self,
        *,
        problems: Problems,
        database: Database,
        clock: Clock,
        vocabulary: Vocabulary,
        words: Words,
        wake: Callable[[], None],
    ) -> None:
        self._problems = problems
        self._database = database
        self._clock = clock
        self._vocabulary = vocabulary
        self._words = words
        self._wake = wake

    async def __call__(
        self, notification: Notification, *, content: bytes, traceparent: str | None
    ) -> tuple[tuple[int, ...], int]:
        """Take a notification in; returns the ids of the incidents that its alerts are, and how many were not taken.

        What is not taken is kept first, and a person is told. A large notification is several transactions: each holds a lock an
        alert, and the server has room for some thousands. When a later one fails, Alertmanager repeats the whole, and the earlier
        alerts are only counted again. Critical ones go first.
        """
        now = self._clock.now()
        incidents: list[int] = []
        not_taken = len(notification.unread) + notification.lost
        if not_taken:
            incidents += await self._keep(notification, not_taken, content, now=now)
        urgent = {alert.fingerprint for alert in notification.alerts if not alert.over and self._is_critical(alert)}
        ordered = sorted(notification.alerts, key=lambda each: (each.fingerprint not in urgent, each.fingerprint))
        for start in range(0, len(ordered), _AT_A_TIME):
            incidents += await self._take(ordered[start : start + _AT_A_TIME], now=now, traceparent=traceparent)
            self._wake()
        return tuple(incidents), not_taken

    def _is_critical(self, alert: Alert) -> bool:
        return self._vocabulary.severity(first(alert.labels, _SEVERITY)) == "critical"

    async def _keep(self, notification: Notification, count: int, content: bytes, *, now: datetime) -> list[int]:
        reason = "parts" if notification.readable else ("cut" if notification.alerts else "format")
        if notification.lost and notification.readable:
            reason = "left_out"
        async with self._database.transaction() as connection:
            report = await keep_unread(
                connection,
                sender=SENDER,
                reason=reason,
                count=count,
                content=content,
                parts=notification.unread,
                now=now,
                words=self._words,
            )
            incidents = await self._problems.ingest(NotificationStore(connection), [report])
        self._wake()
        return [incident for incident in incidents if incident is not None]

    async def _take(self, alerts: Sequence[Alert], *, now: datetime, traceparent: str | None) -> list[int]:
        entries: list[Report | Resolution] = []
        for alert in alerts:
            fingerprint = f"alertmanager:{alert.fingerprint}"
            begins = alert.begins or now
            event_id = derived_id("alertmanager", alert.fingerprint, begins.isoformat(), str(alert.over))
            if alert.over:
                entries.append(
                    Resolution(
                        fingerprint=fingerprint,
                        actor="alertmanager",
                        summary="resolved",
                        at=max(alert.ends or now, begins),
                        event_id=event_id,
                    )
                )
            else:
                fact = problem_of(alert, fingerprint, now=now, vocabulary=self._vocabulary, words=self._words)
                entries.append(Report(fact=fact, event_id=event_id, traceparent=traceparent))
        async with self._database.transaction() as connection:
            incidents = await self._problems.ingest(NotificationStore(connection), entries)
        return [incident for incident in incidents if incident is not None]


def problem_of(alert: Alert, fingerprint: str, *, now: datetime, vocabulary: Vocabulary, words: Words) -> ProblemFact:
    """Return the problem that an alert is.

    Annotation ``summary``, else ``message``, ``description`` or ``title`` says what it is; ``description`` besides is what to do; of
    each the notices' language is taken where there is one (``summary_ru``), and no other language is shown;
    ``sentry_url`` or ``runbook_url`` is the link; other annotations and the labels are details, those first that tell where it is.
    Labels ``responsible`` or ``owner`` name whom to tag, several with commas between. An alert about requests that fail names method
    and address first, whatever its labels call them.
    """
    labels = {name: scrub_text(text[:_LONGEST_LABEL]) for name, text in alert.labels.items()}
    annotations = {name: scrub_text(text[:_LONGEST_TEXT]) for name, text in alert.annotations.items()}
    annotations = _in_language(annotations, words)
    name = labels.get("alertname", "").strip() or "alert"
    chosen = next((each for each in _TEXTS if annotations.get(each, "").strip()), None)
    summary, _, rest = ("" if chosen is None else annotations[chosen].strip()).partition("\n")
    what_to_do = "" if chosen == "description" else annotations.get("description", "").strip()
    environment, unknown = vocabulary.environment(first(labels, _ENVIRONMENT))
    responsible = first(labels, _RESPONSIBLE)
    details = {"alert": name}
    request, used = _request(labels)
    if request:
        details["request"] = request
    if unknown is not None:
        details["environment"] = unknown
    if rest.strip() and what_to_do:
        details["text"] = rest.strip()
    details |= _shown(labels, _ELSEWHERE | used, words=words)
    details |= _others(annotations, chosen)
    return ProblemFact(
        kind="problem.alert",
        severity=vocabulary.severity(first(labels, _SEVERITY)),
        fingerprint=fingerprint,
        summary=summary.strip() or name,
        service=first(labels, ("service", "job")) or "prometheus",
        named_service=first(labels, ("service",)) or None,
        occurred_at=alert.begins or now,
        seen_at=now,
        details=details,
        source=labels.get("source"),
        store_id=labels.get("store_id"),
        zone=labels.get("zone"),
        link=first(alert.annotations, _LINKS)[: _LONGEST_LABEL * 3] or (alert.generator or "")[:2000] or None,
        what_to_do=what_to_do or rest.strip() or None,
        environment=environment,
        alert=name,
        responsible=tuple(each.strip() for each in responsible.split(",") if each.strip())[:_MOST_PEOPLE],
    )


def _in_language(annotations: Mapping[str, str], words: Words) -> dict[str, str]:
    """Return the annotations with each text in the notices' language where there is one in it, and no translations besides."""
    own = {each: annotations.get(f"{each}_{words.language}", "") for each in _TEXTS}
    kept = {name: text for name, text in annotations.items() if _TRANSLATED.fullmatch(name) is None}
    return kept | {name: text for name, text in own.items() if text.strip()}


def _request(labels: Mapping[str, str]) -> tuple[str, set[str]]:
    """Return method and address of the request that an alert is about, and the labels that say so: only of a path or an address."""
    address = next(
        (each for each in _ADDRESSES if labels.get(each, "").startswith("/") or "://" in labels.get(each, "")), None
    )
    if address is None:
        return "", set()
    method = next((each for each in _METHODS if labels.get(each)), None)
    shown = labels[address].partition("?")[0]
    return (f"{labels[method]} {shown}", {method, address}) if method is not None else (shown, {address})


def _shown(labels: Mapping[str, str], elsewhere: set[str], *, words: Words) -> dict[str, str]:
    """Return the labels that a message shows, and how many more there are."""
    left = [each for each in labels if each not in elsewhere]
    ordered = sorted(left, key=lambda each: _TELLING.index(each) if each in _TELLING else len(_TELLING))
    shown = {each: labels[each] for each in ordered[:_SHOWN_LABELS]}
    if len(ordered) > _SHOWN_LABELS:
        shown["labels"] = words["labels.more"].format(count=len(ordered) - _SHOWN_LABELS)
    return shown


def _others(annotations: Mapping[str, str], chosen: str | None) -> dict[str, str]:
    names = [each for each in annotations if each not in {chosen, "description", *_LINKS}]
    return {each: annotations[each].strip() for each in names[:_SHOWN_ANNOTATIONS] if annotations[each].strip()}
