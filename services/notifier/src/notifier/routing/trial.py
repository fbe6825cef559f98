"""Routes on trial: who would be notified of an event, and of the events that came, by the routes in force or by others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from common.errors import ConfigurationError, InvalidInput, NotFound
from common.http import VIEWER, Request, Route
from common.postgres import Database, Record
from notifier.incidents.model import NOBODY_NOTIFIED
from notifier.routing.file import read_routes
from notifier.routing.model import Labels, Routes
from notifier.routing.views import PastAnswer, RouteAnswer, RouteDifference, RouteQuestion, RouteTarget

_MOST_DIFFERENCES = 100
# Newest first: what notices were to the routes (`traits`), and where they went (`was`).
_PAST = f"""
SELECT n.id::text AS notice_id, n.kind, n.order_number, n.incident_id, n.traits, n.created_at, n.reason,
       n.reason LIKE ANY(ARRAY['silenced%', 'inhibited%', '{NOBODY_NOTIFIED}%']) AS kept_back,
       ARRAY(SELECT d.destination FROM deliveries AS d WHERE d.notice_id = n.id AND d.fallback_of IS NULL ORDER BY d.id) AS was
FROM notices AS n
WHERE n.traits IS NOT NULL AND n.created_at >= $1 AND n.created_at < coalesce($2::timestamptz, 'infinity')
ORDER BY n.created_at DESC
LIMIT $3
"""  # noqa: S608 - made of constants
_NOTICE = "SELECT traits FROM notices WHERE id = $1"


class RouteTrials:
    """Changes nothing."""

    def __init__(self, *, table: Routes, environment: str, database: Database) -> None:
        self._table = table
        self._environment = environment
        self._database = database

    def routes(self) -> list[Route]:
        """Return the table of admin routes."""
        return [
            Route(
                method="POST",
                path="/admin/v1/routes/dry-run",
                handler=self.dry_run,
                summary="Who would be told of such an event, and of the events of the past?",
                request=RouteQuestion,
                response=RouteAnswer,
                errors=(InvalidInput, NotFound),
                roles=VIEWER,
                tags=("admin",),
            )
        ]

    async def dry_run(self, request: Request[RouteQuestion, None]) -> RouteAnswer:
        """Answer who would be notified. A routes file that is wrong is a 400 with the line that the start would give."""
        question = request.body
        table = self._table if question.routes is None else _on_trial(question.routes)
        targets: list[RouteTarget] = []
        labels = await self._labels(question)
        if labels is not None:
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
            asked = question.past
            async with self._database.acquire() as connection:
                past = _compare(table, await connection.fetch(_PAST, asked.since, asked.until, asked.limit))
        return RouteAnswer(targets=targets, past=past)

    async def _labels(self, question: RouteQuestion) -> Labels | None:
        """Return the event that is asked about. Raises ``NotFound`` where it is none, or is too old for what routes saw to be kept."""
        if question.notice is not None:
            async with self._database.acquire() as connection:
                traits = await connection.fetchval(_NOTICE, question.notice)
            if traits is None:
                raise NotFound("no such notice, or nobody knows any more what the routes saw of it")
            return Labels(**traits)
        if question.kind is None:
            return None
        said = question.model_dump(exclude={"environment", "notice", "past", "routes"})
        return Labels(environment=question.environment or self._environment, **said)


def _on_trial(routes: dict[str, Any]) -> Routes:
    try:
        return read_routes(json.dumps(routes), name="on trial")
    except ConfigurationError as error:
        raise InvalidInput(error.detail) from None


def _compare(table: Routes, rows: Sequence[Record]) -> PastAnswer:
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
            differences.append(RouteDifference.model_validate({**row, "was": was, "would": would}))
    return PastAnswer(
        events=len(rows),
        unrouted=unrouted,
        by_destination=dict(sorted(counts.items())),
        changed=changed,
        differences=differences,
    )
