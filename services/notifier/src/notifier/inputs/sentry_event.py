"""What a notification of Sentry says: the problem, and, where the front end attached one, the basket that could not be placed.

All of Sentry's shapes are read: the integration platform's (``data.event``, ``data.error``, ``data.issue``, ``data.metric_alert``) and the
older plugin's (``event``). The
front end attaches the order to its error as ``order`` (the body that it sent or would have sent), or as ``basket`` or ``cart`` (a list of
positions, or an object that has one) with ``customer`` and ``address`` beside it, and the server's words as ``answer`` or ``response``;
all of it in ``extra`` or as contexts, as objects or as JSON text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from notifier.inputs.lenient import clean, moment_of, text_of, texts_of

_BASKETS = ("basket", "cart")
_POSITIONS = ("positions", "items")
_ANSWERS = ("answer", "response")
_ENDS = frozenset({"resolved", "ignored", "archived", "deleted"})
_BEGINS = frozenset({"created", "unresolved"})
_NEITHER = frozenset({"assigned", "unassigned"})
_QUIET = frozenset({"installation", "comment", "seer", "preprod_artifact"})
_SLUG = re.compile(r"/projects/[^/]+/([^/]+)/")
_AFTER_AN_END = timedelta(microseconds=1)
_BESIDE = ("customer", "address", "externalId", "comment", "payment", "manager", "managerId")


@dataclass(frozen=True, slots=True, kw_only=True)
class LostBasket:
    """An order that the front end could not place. ``status`` is 0 when it got no answer at all."""

    order: Mapping[str, Any]
    status: int
    answer: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SentryEvent:
    """One notification. ``issue`` groups events of one kind; ``basket`` is None where none is attached.

    ``request`` is method and address (without its query) of the request that failed; ``responsible`` comes from the tag of that name;
    ``text`` is what a metric alert says.
    """

    event_id: str
    issue: str
    title: str
    level: str
    project: str
    occurred_at: datetime
    resolved: bool
    link: str | None
    basket: LostBasket | None
    request: str | None = None
    environment: str | None = None
    responsible: tuple[str, ...] = ()
    text: str | None = None


def is_quiet(notification: Mapping[str, Any], resource: str | None) -> bool:
    """Whether a notification is about no error on purpose: an installation, a comment, somebody who was assigned."""
    data = _dict(notification.get("data"))
    return (
        (resource or "").casefold() in _QUIET
        or not _QUIET.isdisjoint(data)
        or (_dict(data.get("issue")) != {} and text_of(notification.get("action")).strip().casefold() in _NEITHER)
    )


def read(notification: Mapping[str, Any], *, now: datetime, at: datetime | None = None) -> SentryEvent | None:
    """Read a notification; None when it is about no error. ``at`` is when the hook says that it happened.

    What a person did to an issue (resolved, archived, opened anew) has the hook's time: an issue's ``lastSeen`` is older. Hooks say whole
    seconds and overtake each other: what began anew in the second of its end is taken to have begun after it, whichever comes first. An
    incident that is over and open is seen by somebody, one that nobody hears of is not.
    """
    at = at or now
    data = _dict(notification.get("data"))
    metric = _dict(data.get("metric_alert"))
    if metric:
        return _metric(notification, data, metric, at=at, now=now)
    event = _dict(data.get("event")) or _dict(notification.get("event")) or _dict(data.get("error"))
    issue = _dict(data.get("issue"))
    subject = event or issue
    identity = _text(event.get("event_id") or event.get("id") or issue.get("id"))
    action = text_of(notification.get("action")).strip().casefold()
    if not subject or identity is None or (not event and action in _NEITHER):
        return None
    # Of an act that nobody knows, on an issue that is over, only the end is believed.
    ends = not event and (action in _ENDS or (action not in _BEGINS and text_of(issue.get("status")) in _ENDS))
    anew = not event and action == "unresolved"
    seen = moment_of(subject.get("datetime") or subject.get("lastSeen") or subject.get("timestamp"), now=now)
    return SentryEvent(
        event_id=identity,
        issue=_text(event.get("issue_id") or event.get("groupID") or issue.get("id") or notification.get("id"))
        or identity,
        title=_text(subject.get("title") or subject.get("message") or notification.get("message")) or "error",
        level=_text(subject.get("level") or notification.get("level")) or "error",
        project=_project(notification, event, issue),
        occurred_at=at + _AFTER_AN_END if anew else min(at, now) if ends or seen is None else seen,
        resolved=ends,
        link=_text(event.get("web_url") or issue.get("web_url") or issue.get("permalink") or notification.get("url")),
        basket=_basket(event),
        request=_request(event),
        environment=_text(event.get("environment") or _tags(event).get("environment") or _tags(event).get("env")),
        responsible=tuple(part.strip() for part in _tags(event).get("responsible", "").split(",") if part.strip())[:5],
    )


def _metric(
    notification: Mapping[str, Any], data: Mapping[str, Any], metric: Mapping[str, Any], *, at: datetime, now: datetime
) -> SentryEvent:
    """Read a metric alert: its action is how grave it is, and "resolved" is its end."""
    rule = _dict(metric.get("alert_rule"))
    identity = _text(rule.get("id") or metric.get("identifier") or metric.get("id")) or "metric"
    projects = metric.get("projects") or rule.get("projects")
    action = text_of(notification.get("action")).strip().casefold() or "critical"
    return SentryEvent(
        event_id=f"metric-{_text(metric.get('id')) or identity}-{action}",
        issue=f"metric-{identity}",
        title=_text(data.get("description_title") or metric.get("title") or rule.get("name")) or "metric alert",
        level="warning" if action == "warning" else "critical",
        project=next(filter(None, map(_text, projects)), "sentry") if isinstance(projects, list) else "sentry",
        occurred_at=min(at, now) if action in _ENDS else at + _AFTER_AN_END,
        resolved=action in _ENDS,
        link=_text(data.get("web_url")),
        basket=None,
        environment=_text(rule.get("environment")),
        text=_text(data.get("description_text")),
    )


def _project(notification: Mapping[str, Any], event: Mapping[str, Any], issue: Mapping[str, Any]) -> str:
    """Return the project's short name; an event of the integration platform has only a number, and the name in its address."""
    for value in (
        event.get("project_name"),
        event.get("project_slug"),
        notification.get("project_slug"),
        issue.get("project"),
        event.get("project"),
        notification.get("project"),
    ):
        found = _text(_dict(value).get("slug") or _dict(value).get("name") if isinstance(value, Mapping) else value)
        if found is not None and not found.isdecimal():
            return found
    slug = _SLUG.search(text_of(event.get("url")))
    numbered = event.get("project") or notification.get("project")
    return slug[1] if slug is not None else _text(numbered) or "sentry"


def _request(event: Mapping[str, Any]) -> str | None:
    request = _dict(event.get("request"))
    url = _text(request.get("url"))
    if url is None:
        return None
    return f"{_text(request.get('method')) or 'GET'} {url.partition('?')[0].partition('#')[0]}"


def _tags(event: Mapping[str, Any]) -> dict[str, str]:
    return texts_of(event.get("tags"))


def _basket(event: Mapping[str, Any]) -> LostBasket | None:
    attached: dict[str, Any] = {}
    for holder in _holders(event):
        for name, value in holder.items():
            attached.setdefault(name, _plain(value))
    order = attached.get("order")
    if not isinstance(order, Mapping) or not _positions(order):
        order = _order_of(attached, _dict(event.get("user")))
    if order is None:
        return None
    answer = next((attached[name] for name in _ANSWERS if attached.get(name)), None)
    status = _dict(answer).get("status", attached.get("status"))
    return LostBasket(
        order=order, status=status if isinstance(status, int) and 100 <= status <= 599 else 0, answer=answer
    )


def _order_of(attached: Mapping[str, Any], user: Mapping[str, Any]) -> dict[str, Any] | None:
    for name in _BASKETS:
        basket = attached.get(name)
        positions = basket if isinstance(basket, list) else _positions(_dict(basket))
        if not positions:
            continue
        around = {**attached, **_dict(basket)}
        order = {key: around[key] for key in _BESIDE if around.get(key)}
        known = {field: user[field] for field in ("name", "email", "phone") if user.get(field)}
        if "customer" not in order and known:
            order["customer"] = known
        return {**order, "positions": positions}
    return None


def _positions(order: Mapping[str, Any]) -> list[Any]:
    return next((order[name] for name in _POSITIONS if isinstance(order.get(name), list) and order[name]), [])


def _holders(event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    extra, contexts = _dict(event.get("extra")), _dict(event.get("contexts"))
    yield extra
    yield contexts
    yield from (value for value in contexts.values() if isinstance(value, Mapping))


def _plain(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return (
        clean(str(value)[:500]) if isinstance(value, str | int) and not isinstance(value, bool) and str(value) else None
    )
