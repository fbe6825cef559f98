"""Alertmanager's webhook as it comes from whoever speaks its format, item by item: what fits is an alert, the rest is kept as it came."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from notifier.inputs.body import count_beginnings
from notifier.inputs.lenient import json_of, moment_of, text_of, texts_of

_OVER = frozenset({"resolved", "ok", "normal", "inactive", "closed", "recovered"})
_LONGEST_FINGERPRINT = 200
# Which some senders write beside the labels instead of among them.
_BESIDE = ("alertname", "severity", "priority", "level", "environment", "env", "service")
_MOST_LEFT_OUT = 10**9
_MOST = 20_000  # parts of a notification that are read; more are only counted
_LIST = re.compile(rb'"alerts"\s*:\s*\[')
_NEXT = re.compile(r"\s*([,\]])")


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
    whole = True
    try:
        document: Any = json_of(content)
    except ValueError:
        document, whole = _whole_alerts(content)
    items, common, truncated, readable = _items(document)
    alerts: list[Alert] = []
    unread: list[str] = []
    for item in map(_opened, items[:_MOST]):
        if isinstance(item, Mapping):
            alerts.append(_alert(item, common, now=now))
        else:
            unread.append(text_of(item))
    if not readable:
        unread.append(content[:20_000].decode("utf-8", "replace"))
    lost = truncated + cut_off
    if readable and not whole:
        lost = max(count_beginnings(content) - len(items) + cut_off, 1)
    lost += max(len(items) - _MOST, 0)
    sender = text_of(document.get("externalURL"))[:_LONGEST_FINGERPRINT] if isinstance(document, Mapping) else ""
    return Notification(
        alerts=tuple(alerts), unread=tuple(unread), lost=lost, readable=readable and whole, sender=sender
    )


def _items(document: Any) -> tuple[Sequence[Any], dict[str, dict[str, str]], int, bool]:
    """Return items, what they have in common, how many their sender left out, and whether this is a notification at all."""
    if isinstance(document, list):
        return document, {}, 0, True
    if not isinstance(document, Mapping):
        return (), {}, 0, False
    alerts = document.get("alerts")
    if isinstance(alerts, Mapping):
        alerts = [alerts]
    if not isinstance(alerts, list):
        alone = isinstance(document.get("labels"), Mapping) or isinstance(document.get("annotations"), Mapping)
        return ([document], {}, 0, True) if alone else ((), {}, 0, False)
    common = {
        "labels": texts_of(document.get("commonLabels")),
        "annotations": texts_of(document.get("commonAnnotations")),
        "status": {"status": text_of(document.get("status"))},
    }
    return alerts, common, _count(document.get("truncatedAlerts")), True


def _count(value: Any) -> int:
    """Return how many alerts the sender says that it left out."""
    try:
        return 0 if isinstance(value, bool) else min(max(int(float(text_of(value))), 0), _MOST_LEFT_OUT)
    except (ValueError, OverflowError):
        return 0


def _digest(named: Any) -> str:
    return hashlib.blake2b(json.dumps(named).encode(), digest_size=8).hexdigest()


def _alert(item: Mapping[str, Any], common: Mapping[str, Mapping[str, str]], *, now: datetime) -> Alert:
    labels = {**common.get("labels", {}), **texts_of(item.get("labels"))}
    labels |= {name: text for name in _BESIDE if name not in labels and (text := _plain(item.get(name)))}
    annotations = {**common.get("annotations", {}), **texts_of(item.get("annotations"))}
    status = text_of(item.get("status")) or common.get("status", {}).get("status", "")
    bare = text_of(item.get("fingerprint")).strip()
    if 1 <= len(bare) <= _LONGEST_FINGERPRINT:
        fingerprint = f"{bare}:{_digest(sorted(labels.items()))}"
    else:
        fingerprint = _digest([sorted(labels.items()), bare] if labels or bare else sorted(annotations.items()))
        bare = ""
    begins = moment_of(item.get("startsAt"), now=now)
    return Alert(
        fingerprint=fingerprint,
        bare=bare or None,
        over=status.strip().casefold() in _OVER if status.strip() else _has_ended(item, begins, now=now),
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


def _opened(item: Any) -> Any:
    """Return an alert that came as text as what it says."""
    if not isinstance(item, str) or not item.lstrip().startswith("{"):
        return item
    try:
        return json.loads(item)
    except (ValueError, RecursionError):
        return item


def _plain(value: Any) -> str:
    return text_of(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _whole_alerts(content: bytes) -> tuple[dict[str, Any] | None, bool]:
    """Return the alerts that stand whole in a body that cannot be read as one, and whether all do; None when there is no list of them."""
    found = _LIST.search(content)
    if found is None:
        return None, False
    text = content[found.end() :].decode("utf-8", "replace")
    decoder, alerts, missed = json.JSONDecoder(), [], False
    place = text.find("{")
    while place >= 0:
        try:
            alert, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            # Not whole, but what follows may be. An alert begins with its status in what Alertmanager writes.
            missed, place = True, text.find('{"status"', place + 1)
            continue
        alerts.append(alert)
        following = _NEXT.match(text, end)
        if following is None or following[1] == "]":
            return {"alerts": alerts}, not missed and following is not None
        place = text.find("{", following.end())
    return {"alerts": alerts}, False
