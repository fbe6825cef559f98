"""Routes on trial: who would be told of an event, and of the events that came, by the routes in force or by others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from common.errors import ConfigurationError, InvalidInput
from common.http import Request
from notifier.routing.file import read_routes
from notifier.routing.model import Labels, Routes
from notifier.routing.views import PastAnswer, RouteAnswer, RouteDifference, RouteQuestion, RouteTarget

_MOST_DIFFERENCES = 100


class Past(Protocol):
    """What came."""

    async def past(self, *, since: datetime, until: datetime | None, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return notices with what they were to the routes (`traits`) and where they went (`was`), newest first."""
        ...


class RouteTrials:
    """Changes nothing."""

    def __init__(self, *, table: Routes, environment: str, past: Past) -> None:
        self._table = table
        self._environment = environment
        self._past = past

    async def dry_run(self, request: Request[RouteQuestion, None]) -> RouteAnswer:
        """Answer who would be told. A routes file that is wrong is a 400 with the line that the start would give."""
        question = request.body
        table = self._table if question.routes is None else _on_trial(question.routes)
        targets: list[RouteTarget] = []
        if question.kind is not None:
            labels = Labels(
                environment=question.environment or self._environment,
                kind=question.kind,
                severity=question.severity,
                source=question.source,
                store_id=question.store_id,
                zone=question.zone,
                service=question.service,
                alert=question.alert,
            )
            targets = [
                RouteTarget(
                    destination=each.destination.name,
                    channel=each.destination.channel,
                    address=each.destination.address,
                    topic=each.destination.topic,
                    route=each.route,
                )
                for each in table.choose(labels)
            ]
        past = None
        if question.past is not None:
            rows = await self._past.past(
                since=question.past.since, until=question.past.until, limit=question.past.limit
            )
            past = _compare(table, rows)
        return RouteAnswer(targets=targets, past=past)


def _on_trial(routes: dict[str, Any]) -> Routes:
    try:
        return read_routes(json.dumps(routes), name="on trial")
    except ConfigurationError as error:
        raise InvalidInput(error.detail) from None


def _compare(table: Routes, rows: Sequence[Mapping[str, Any]]) -> PastAnswer:
    counts: Counter[str] = Counter()
    unrouted = changed = 0
    differences: list[RouteDifference] = []
    for row in rows:
        would = [each.destination.name for each in table.choose(Labels(**row["traits"]))]
        counts.update(would)
        unrouted += not would
        was = list(row["was"])
        # What was kept back (silenced, inhibited) went nowhere; that is no difference between routes.
        if sorted(was) == sorted(would) or (not was and row["reason"] is not None and row["kept_back"]):
            continue
        changed += 1
        if len(differences) < _MOST_DIFFERENCES:
            differences.append(
                RouteDifference(
                    notice_id=row["notice_id"],
                    kind=row["kind"],
                    order_number=row["order_number"],
                    incident_id=row["incident_id"],
                    created_at=row["created_at"],
                    was=was,
                    would=would,
                )
            )
    return PastAnswer(
        events=len(rows),
        unrouted=unrouted,
        by_destination=dict(sorted(counts.items())),
        changed=changed,
        differences=differences,
    )
