"""Alertmanager's webhook as it comes from whoever speaks its format, item by item: what fits is an alert, the rest is kept as it came."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from notifier.inputs.body import count_beginnings
from notifier.inputs.documents import documents_of, salvaged
from notifier.inputs.lenient import labels_of, moment_of, opened, spelled, text_of, texts_of

_OVER = {
    *("resolved", "resolve", "autoresolved", "ok", "normal", "inactive", "closed", "recovered", "recovery", "clear"),
    *("cleared", "up", "fixed", "ended", "success", "healthy", "green"),
    *("решено", "решена", "закрыто", "восстановлено", "устранено", "норма"),
}
"""What others call an end, as ``spelled``; what stands in brackets behind it ("Normal (Updated)") is left out."""
_LONGEST_FINGERPRINT = 200
_LONGEST_TEXT = 20_000
# Which some senders write beside the labels instead of among them.
_BESIDE = ("alertname", "severity", "priority", "level", "environment", "env", "service")
_TEXTS = ("summary", "message", "description", "title")
_SAID_BESIDE = (*_TEXTS, "valueString", "panelURL", "dashboardURL")  # the last three by Grafana
_NAMES = ("name", "alert")
_OWN = frozenset({"labels", "annotations", "status", "startsAt", "fingerprint", *_BESIDE, *_TEXTS})
_MOST_LEFT_OUT = 10**9
_MOST = 20_000  # parts of a notification that are read; more are only counted
_DEEPEST = 5
_NOTHING: Mapping[str, Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert. ``begins`` and ``ends`` are never later than now; None where none that can be meant was given.

    ``fingerprint`` is the sender's, with a digest of the labels: of no two alerts of different labels is it the same. ``bare`` is the
    sender's alone, which releases before this one took (None: it gave none).
    """

    fingerprint: str
    bare: str | None = None
    over: bool
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    begins: datetime | None = None
    ends: datetime | None = None
    generator: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What a notification holds. ``unread`` are its parts that are no alerts, as text; ``lost`` counts what is not even there.

    ``readable``: it was JSON, whole, with a list of alerts. ``sender`` is where its sender says that it is found.
    """

    alerts: tuple[Alert, ...] = ()
    unread: tuple[str, ...] = ()
    lost: int = 0
    readable: bool = True
    sender: str = ""


def read_notification(content: bytes, *, now: datetime, cut_off: int = 0) -> Notification:
    """Read a notification. ``cut_off``: so many alerts came behind ``content``, which ends where no more was taken.

    Of a body that is cut or broken every whole alert before the break is read.
    """
    broken: Sequence[str] = ()
    try:
        documents, readable = documents_of(content), True
    except ValueError:
        documents, broken, readable = salvaged(content)
        readable = readable or any(_is_notification(document) for document in documents)
    else:
        documents = [opened(document) for document in documents]
        readable = any(_is_notification(document) for document in documents)
    if not readable:
        return Notification(unread=(content[:_LONGEST_TEXT].decode("utf-8", "replace"),), lost=cut_off, readable=False)
    alerts: list[Alert] = []
    unread: list[str] = []
    lost = 0
    for place, (item, common) in enumerate(each for document in documents for each in _parts(document, _NOTHING, 0)):
        if place >= _MOST:
            lost += 1
        elif (alert := _alert(item, common, now=now) if isinstance(item, Mapping) else None) is not None:
            alerts.append(alert)
        else:
            unread.append(text_of(item))
    if broken:
        lost += max(count_beginnings(content) + cut_off - len(alerts) - len(unread) - lost - len(broken), 0)
    else:
        lost += cut_off
    unread += [part[:_LONGEST_TEXT] for part in broken]
    lost += sum(_count(each.get("truncatedAlerts")) for each in documents if isinstance(each, Mapping))
    senders = (text_of(each.get("externalURL")) for each in documents if isinstance(each, Mapping))
    return Notification(
        alerts=tuple(alerts),
        unread=tuple(unread),
        lost=lost,
        readable=not broken,
        sender=next(filter(None, senders), "")[:_LONGEST_FINGERPRINT],
    )


def _is_notification(document: Any) -> bool:
    """Whether a document holds alerts, or is one."""
    return isinstance(document, list) or (
        isinstance(document, Mapping)
        and (
            isinstance(opened(document.get("alerts")), list | Mapping)
            or isinstance(document.get("alert"), Mapping)
            or any(isinstance(document.get(each), Mapping) for each in ("labels", "annotations"))
            or bool(labels_of(document.get("labels")))
        )
    )


def _parts(
    value: Any, common: Mapping[str, Mapping[str, str]], depth: int
) -> Iterator[tuple[Any, Mapping[str, Mapping[str, str]]]]:
    """Give the alerts of a value, whatever they are wrapped in, with what each has in common with others; also what is no alert."""
    value = opened(value)
    inner: Any = None
    if depth < _DEEPEST and isinstance(value, list) and (value or depth == 0):
        inner = value
    elif depth < _DEEPEST and isinstance(value, Mapping):
        alerts = opened(value.get("alerts"))
        if isinstance(alerts, list | Mapping):
            common = _in_common(value)
            # Several under their names, or one alone.
            inner = list(alerts.values()) if isinstance(alerts, Mapping) and not _OWN & alerts.keys() else alerts
            inner = inner if isinstance(inner, list) else [inner]
        elif isinstance(value.get("alert"), Mapping):
            inner = [{**{name: each for name, each in value.items() if name != "alert"}, **value["alert"]}]
        elif not _OWN & value.keys() and any(_is_notification(each) for each in value.values()):
            inner = list(value.values())
    if inner is None:
        yield value, common
        return
    for each in inner:
        yield from _parts(each, common, depth + 1)


def _in_common(document: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {
        "labels": labels_of(document.get("commonLabels")),
        "annotations": texts_of(document.get("commonAnnotations")),
        "status": {"status": _status(document)},
    }


def _count(value: Any) -> int:
    """Return how many alerts the sender says that it left out."""
    try:
        return 0 if isinstance(value, bool) else min(max(int(float(text_of(value))), 0), _MOST_LEFT_OUT)
    except (ValueError, OverflowError):
        return 0


def _digest(named: Any) -> str:
    return hashlib.blake2b(json.dumps(named).encode(), digest_size=8).hexdigest()


def _alert(item: Mapping[str, Any], common: Mapping[str, Mapping[str, str]], *, now: datetime) -> Alert | None:
    """Return the alert that an item is; None when it says nothing, or its labels cannot be read: nobody knows how grave it is."""
    own, said = labels_of(item.get("labels")), opened(item.get("labels"))
    if said and not own and not isinstance(said, Mapping):
        return None
    beside = {name: text for name in _BESIDE if name not in own and (text := _plain(item.get(name)))}
    name = next(filter(None, (_plain(item.get(each)) for each in _NAMES)), "")
    if name:
        beside.setdefault("alertname", name)
    texts = _annotations(item)
    status = _status(item) or common.get("status", {}).get("status", "")
    labels = {**beside, **common.get("labels", {}), **own}
    annotations = {**common.get("annotations", {}), **texts}
    bare = text_of(item.get("fingerprint")).strip()
    if 1 <= len(bare) <= _LONGEST_FINGERPRINT:
        fingerprint = f"{bare}:{_digest(sorted(labels.items()))}"
    else:
        fingerprint = _digest([sorted(labels.items()), bare] if labels or bare else sorted(annotations.items()))
        bare = ""
    begins = moment_of(item.get("startsAt"), now=now)
    over = spelled(status.partition("(")[0]) in _OVER if status.strip() else _has_ended(item, begins, now=now)
    if not (own or beside or texts or (over and bare)):
        return None
    return Alert(
        fingerprint=fingerprint,
        bare=bare or None,
        over=over,
        labels=labels,
        annotations=annotations,
        begins=begins,
        ends=moment_of(item.get("endsAt"), now=now),
        generator=text_of(item.get("generatorURL")) or None,
    )


def _has_ended(item: Mapping[str, Any], begins: datetime | None, *, now: datetime) -> bool:
    """Whether an alert without a status is over: Prometheus writes none, and an end in the future while it fires."""
    ends = moment_of(item.get("endsAt"), now=datetime.max.replace(tzinfo=UTC))
    return ends is not None and (begins or ends) <= ends <= now


def _status(item: Mapping[str, Any]) -> str:
    """Return whether it fires, in the sender's word; Alertmanager's own interface says it as an object."""
    status = item.get("status")
    return text_of(status.get("state") if isinstance(status, Mapping) else status) or text_of(item.get("state"))


def _annotations(item: Mapping[str, Any]) -> dict[str, str]:
    """Return an alert's texts: annotations of whatever form, and what stands beside them."""
    said = opened(item.get("annotations"))
    found = texts_of(said)
    if said and not isinstance(said, Mapping) and len(found) < (len(said) if isinstance(said, list) else 1):
        lines = said if isinstance(said, list) and all(isinstance(each, str) for each in said) else [said]
        found.setdefault("message", "\n".join(map(text_of, lines)))
    beside = {name: text for name in _SAID_BESIDE if name not in found and (text := _plain(item.get(name)))}
    return {**beside, **found}


def _plain(value: Any) -> str:
    return text_of(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
