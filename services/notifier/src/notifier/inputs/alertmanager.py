"""Alertmanager's alerts as problems: each is one, under its own fingerprint."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from common.clock import Clock
from common.ids import derived_id
from common.postgres import Database
from common.telemetry import scrub_text
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.model import ProblemFact, Severity
from notifier.incidents.problems import Problems, Report, Resolution, fingerprint_of
from notifier.inputs.alert import Alert, Notification
from notifier.inputs.lenient import PRODUCTION, Vocabulary, first, text_of
from notifier.inputs.relabelled import alerts_meant, remember_labels
from notifier.inputs.unread import UNFIT, keep_unread
from notifier.inputs.watchdog import WATCHDOG, sender_of, watchdog_came
from notifier.messages.words import Words

SENDER = "alertmanager"
_SHOWN_LABELS = 15
_SHOWN_ANNOTATIONS = 5
_LONGEST_LABEL = 300
_LONGEST_TEXT = 4000
_LONGEST_LINK = 600  # characters of up to four bytes: an index holds it
_AT_A_TIME = 250
_MOST_PEOPLE = 5
_METHODS = ("method", "http_method")
_ADDRESSES = ("url", "uri", "route", "path", "handler", "endpoint")
_RESPONSIBLE = ("responsible", "owner")
_SEVERITY = ("severity", "priority", "level")
_ENVIRONMENT = ("environment", "env", "deployment_environment_name", "deployment_environment")  # OpenTelemetry's, too
_SERVICE = ("service", "service_name", "job")
_ELSEWHERE = {"alertname", "service", "source", "store_id", "zone", *_SEVERITY, *_ENVIRONMENT, *_RESPONSIBLE}
_TEXTS = ("summary", "message", "description", "title")
_MOST_READ = 200  # labels or annotations of one alert: more are only counted
_TRANSLATED = re.compile(r"(summary|message|description|title)_[a-z]{2}")
_LINKS = ("sentry_url", "runbook_url")
# Labels that tell where it is, before those that only tell which exporter saw it.
_TELLING = (
    *("cluster", "namespace", "pod", "container", "deployment", "statefulset", "daemonset", "node", "instance"),
    *("host", "queue", "database", "job_name", "job"),
)
_PLACES = {name: place for place, name in enumerate(_TELLING)}
_READ = (*_ELSEWHERE, *_SERVICE, *_METHODS, *_ADDRESSES, *_TELLING)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrival:
    """How alerts came. ``ended``: those whose end is in the same notification, so that nothing in it is later than that.

    ``firing``: the incidents' fingerprints of those that fire in it.
    """

    at: datetime
    traceparent: str | None
    sender: str | None
    ended: frozenset[str]
    firing: frozenset[str]


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
        watched: bool = False,
    ) -> None:
        """``watched``: the alert that always fires is no problem, but a sign of life."""
        self._problems = problems
        self._database = database
        self._clock = clock
        self._vocabulary = vocabulary
        self._words = words
        self._wake = wake
        self._watched = watched

    async def __call__(
        self, notification: Notification, *, content: bytes, traceparent: str | None, sender: str | None = None
    ) -> tuple[tuple[int, ...], int]:
        """Take a notification in; ``sender`` sends one after the other.

        Returns the ids of the incidents that its alerts are, and how many were not taken: what is not taken is kept first, and a person
        is told. A large notification is several transactions: each holds two locks an alert, and the server has room for some
        thousands. When a later one fails, Alertmanager repeats the whole, and the earlier alerts are only counted again. Critical ones
        go first; reports and ends of one alert are taken in the order of their times.
        """
        now = self._clock.now()
        incidents: list[int] = []
        not_taken = len(notification.unread) + notification.lost
        if not_taken:
            incidents += await self._keep(notification, not_taken, content, now=now)
        signs = [alert for alert in notification.alerts if self._watched and name_of(alert) == WATCHDOG]
        heard = [sender_of(each.labels, notification.sender, self._vocabulary) for each in signs if not each.over]
        if heard:
            async with self._database.transaction() as connection:
                await watchdog_came(connection, heard, now)
        alerts = [alert for alert in notification.alerts if alert not in signs] if signs else notification.alerts
        urgent = {alert.fingerprint for alert in alerts if not alert.over and self._is_critical(alert)}
        ordered = sorted(
            alerts, key=lambda each: (each.fingerprint not in urgent, each.fingerprint, _moment(each, now), each.over)
        )
        ended = frozenset(alert.fingerprint for alert in notification.alerts if alert.over)
        firing = frozenset(_fingerprint(alert.fingerprint) for alert in notification.alerts if not alert.over)
        arrival = _Arrival(at=now, traceparent=traceparent, sender=sender, ended=ended, firing=firing)
        unfit: list[Alert] = []
        for start in range(0, len(ordered), _AT_A_TIME):
            incidents += await self._take_what_fits(ordered[start : start + _AT_A_TIME], unfit, arrival)
            self._wake()
        if unfit:
            left = Notification(
                unread=tuple(text_of([each.fingerprint, each.labels, each.annotations]) for each in unfit)
            )
            incidents += await self._keep(left, len(unfit), content, now=now)
        return tuple(incidents), not_taken + len(unfit)

    def _is_critical(self, alert: Alert) -> bool:
        return _severity(alert.labels, alert.annotations, self._vocabulary)[0] == "critical"

    async def _take_what_fits(self, alerts: Sequence[Alert], unfit: list[Alert], arrival: _Arrival) -> list[int]:
        """Take alerts in; one that the database refuses harms no other, and is added to ``unfit``."""
        try:
            return await self._take(alerts, arrival)
        except UNFIT:
            if len(alerts) == 1:
                unfit += alerts
                return []
        middle = len(alerts) // 2
        return [
            incident
            for half in (alerts[:middle], alerts[middle:])
            for incident in await self._take_what_fits(half, unfit, arrival)
        ]

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

    async def _take(self, alerts: Sequence[Alert], arrival: _Arrival) -> list[int]:
        entries = [self._entry(alert, arrival) for alert in alerts]
        # Releases before this one knew alerts by their sender's fingerprint alone.
        former = [
            (_fingerprint(alert.bare), _fingerprint(alert.fingerprint), name_of(alert))
            for alert in alerts
            if alert.bare is not None
        ]
        async with self._database.transaction() as connection:
            ends = [(_fingerprint(alert.fingerprint), name_of(alert), alert) for alert in alerts if alert.over]
            meant = await alerts_meant(connection, ends, firing=arrival.firing)
            entries = [
                replace(entry, fingerprint=meant.get(entry.fingerprint, entry.fingerprint))
                if isinstance(entry, Resolution)
                else entry
                for entry in entries
            ]
            notifications = NotificationStore(connection)
            await notifications.lock([*map(fingerprint_of, entries), *(before for before, _, _ in former)])
            await notifications.adopt(former)
            incidents = await self._problems.ingest(notifications, entries)
            reported = zip(incidents, alerts, strict=True)
            await remember_labels(connection, {each: alert for each, alert in reported if each and not alert.over})
        return [incident for incident in incidents if incident is not None]

    def _entry(self, alert: Alert, arrival: _Arrival) -> Report | Resolution:
        fingerprint, now = _fingerprint(alert.fingerprint), arrival.at
        begins = alert.begins or now
        event_id = derived_id("alertmanager", alert.fingerprint, begins.isoformat(), str(alert.over))
        if alert.over:
            return Resolution(
                fingerprint=fingerprint,
                actor="alertmanager",
                summary="resolved",
                at=_moment(alert, now),
                event_id=event_id,
                sender=arrival.sender,
                seen_at=now,
                began_at=begins,
            )
        fact = problem_of(alert, fingerprint, now=now, vocabulary=self._vocabulary, words=self._words)
        fact = replace(fact, sender=None if alert.fingerprint in arrival.ended else arrival.sender)
        return Report(fact=fact, event_id=event_id, traceparent=arrival.traceparent)


def _fingerprint(fingerprint: str) -> str:
    return f"{SENDER}:{fingerprint}"


def name_of(alert: Alert) -> str:
    """Return the name by which people know an alert, without contacts."""
    return scrub_text(_folded(alert.labels).get("alertname", "")[:_LONGEST_LABEL]).strip() or "alert"


def problem_of(alert: Alert, fingerprint: str, *, now: datetime, vocabulary: Vocabulary, words: Words) -> ProblemFact:
    """Return the problem that an alert is.

    Annotation ``summary``, else ``message``, ``description`` or ``title`` says what it is; ``description`` besides is what to do; of
    each the notices' language is taken where there is one (``summary_ru``), and no other language is shown;
    ``sentry_url``, else ``runbook_url`` is the link; other annotations and the labels are details, those first that tell where it is, and
    how many more there are is said.
    Labels ``responsible`` or ``owner`` name whom to tag, several with commas between. An alert about requests that fail names method
    and address first, whatever its labels call them.
    """
    labels = _scrubbed(alert.labels, _READ, longest=_LONGEST_LABEL)
    translated = [f"{each}_{words.language}" for each in _TEXTS]
    annotations = _scrubbed(alert.annotations, (*_TEXTS, *translated, *_LINKS), longest=_LONGEST_TEXT)
    annotations = _in_language(annotations, words)
    name = name_of(alert)
    chosen = next((each for each in _TEXTS if annotations.get(each, "").strip()), None)
    summary, _, rest = ("" if chosen is None else annotations[chosen].strip()).partition("\n")
    what_to_do = "" if chosen == "description" else annotations.get("description", "").strip()
    severity, unheard_of = _severity(labels, annotations, vocabulary)
    said = [vocabulary.environment(labels.get(each, "")) for each in _ENVIRONMENT]
    # Of several that contradict each other production is believed.
    environment, unknown = max(said, key=lambda each: (each[0] == PRODUCTION, each[0] is not None))
    responsible = first(labels, _RESPONSIBLE)
    details = {"alert": name}
    request, used = _request(labels)
    if request:
        details["request"] = request
    if unheard_of is not None:
        details["severity"] = unheard_of
    if unknown is not None:
        details["environment"] = unknown
    if rest.strip() and what_to_do:
        details["text"] = rest.strip()
    more = max(len(alert.labels) - _MOST_READ, 0)
    left = {each: text for each, text in labels.items() if each not in _ELSEWHERE | used}
    details |= _shown(left, more, most=_SHOWN_LABELS, more_as="labels", words=words)
    more = max(len(alert.annotations) - _MOST_READ, 0)
    left = {each: text for each, text in annotations.items() if text.strip()}
    linked = next((each for each in _LINKS if each in left), None)
    left = {each: text.strip() for each, text in left.items() if each not in {chosen, "description", linked}}
    details |= _shown(left, more, most=_SHOWN_ANNOTATIONS, more_as="annotations", words=words)
    return ProblemFact(
        kind="problem.alert",
        severity=severity,
        fingerprint=fingerprint,
        summary=summary.strip() or name,
        service=first(labels, _SERVICE) or "prometheus",
        named_service=first(labels, ("service",)) or None,
        occurred_at=alert.begins or now,
        seen_at=now,
        details=details,
        source=labels.get("source"),
        store_id=labels.get("store_id"),
        zone=labels.get("zone"),
        link=first(alert.annotations, _LINKS)[:_LONGEST_LINK] or (alert.generator or "")[:_LONGEST_LINK] or None,
        what_to_do=what_to_do or rest.strip() or None,
        environment=environment,
        alert=name,
        responsible=tuple(each.strip() for each in responsible.split(",") if each.strip())[:_MOST_PEOPLE],
    )


def _moment(alert: Alert, now: datetime) -> datetime:
    """Return when it began, or ended; no end is before its beginning."""
    begins = alert.begins or now
    return max(alert.ends or now, begins) if alert.over else begins


def _severity(
    labels: Mapping[str, str], annotations: Mapping[str, str], vocabulary: Vocabulary
) -> tuple[Severity, str | None]:
    """Return how grave an alert says that it is, and its word where nobody knows it."""
    places = (_folded(labels), _folded(annotations))
    said = [word for texts in places for name in _SEVERITY if (word := texts.get(name, "").strip())]
    known = next((meant for word in said if (meant := vocabulary.known_severity(word)) is not None), None)
    return known or "warning", said[0] if said and known is None else None


def _folded(texts: Mapping[str, str]) -> dict[str, str]:
    return {**{_fold(name): text for name, text in texts.items()}, **texts}  # as it should be spelled, if it is there


def _fold(name: str) -> str:
    return name.strip().casefold().replace(".", "_")


def _scrubbed(texts: Mapping[str, str], before: Sequence[str], *, longest: int) -> dict[str, str]:
    """Return texts without contacts, ``_MOST_READ`` of them: those of these names, in whatever spelling, before all others."""
    places = {name: place for place, name in enumerate(before)}
    plain = {name: name if (folded := _fold(name)) not in places or folded in texts else folded for name in texts}
    ordered = sorted(texts, key=lambda name: places.get(plain[name], len(places)))
    return {plain[name]: scrub_text(texts[name][:longest]) for name in ordered[:_MOST_READ]}


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


def _shown(texts: Mapping[str, str], unread: int, *, most: int, more_as: str, words: Words) -> dict[str, str]:
    """Return what a message shows of labels or annotations, and how many more there are."""
    # What senders keep for themselves ("__orgId__") comes last.
    ordered = sorted(texts, key=lambda each: (each.startswith("__"), _PLACES.get(each, len(_PLACES))))
    shown = {each: texts[each] for each in ordered[:most]}
    left_out = max(len(ordered) - most, 0) + unread
    if left_out:
        shown[more_as] = words["labels.more"].format(count=left_out)
    return shown
