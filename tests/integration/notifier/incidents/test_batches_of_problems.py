"""A batch of a storm is taken in at once: each problem's reports and ends in their order, whatever stands between them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from common.contracts import Envelope
from common.contracts.alerts import ProblemResolvedV1
from common.contracts.envelope import Message
from common.postgres import Database
from notifier.incidents.problems import Problems
from notifier.inputs.events import IngestEvents
from notifier.messages.words import Words
from notifier.routing.file import read_routes
from tests.integration.notifier.factories import NOW, ONE_CHAT, a_problem, created, enveloped


def over(fingerprint: str, *, minutes: int) -> ProblemResolvedV1:
    """The end of a problem."""
    return ProblemResolvedV1(
        fingerprint=fingerprint, summary="gone", service="orchestrator", occurred_at=NOW + timedelta(minutes=minutes)
    )


async def take(database: Database, *messages: Message | Envelope) -> None:
    """Take a batch in, in one transaction."""
    routes, words = read_routes(json.dumps(ONE_CHAT), name="test"), Words("en")
    problems = Problems(routes=routes, words=words, environment="production")
    ingest_events = IngestEvents(routes=routes, words=words, environment="production", problems=problems)
    async with database.transaction() as connection:
        envelopes = [message if isinstance(message, Envelope) else enveloped(message) for message in messages]
        await ingest_events(connection, envelopes)


async def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    """Read the database."""
    async with database.acquire() as connection:
        return [tuple(row.values()) for row in await connection.fetch(statement)]


async def test_each_problem_keeps_its_order_within_a_batch(
    database_for: Callable[[str], Awaitable[str]],
) -> None:
    database = Database(await database_for("notifier"), application_name="test")
    await database.open()
    try:
        await take(
            database,
            a_problem("a", severity="info"),
            a_problem("a"),
            over("b", minutes=60),  # over before it was reported
            a_problem("b", occurred_at=NOW + timedelta(minutes=30)),
            created(),
            a_problem("a", severity="critical", occurred_at=NOW + timedelta(minutes=1)),
            over("a", minutes=10),
            a_problem("a", occurred_at=NOW + timedelta(minutes=5)),  # late: older than the end
            a_problem("a", occurred_at=NOW + timedelta(minutes=20)),  # anew
            a_problem("c"),
        )
        incidents = await rows(
            database, "SELECT fingerprint, state, severity, occurrences FROM incidents ORDER BY fingerprint, id"
        )
        assert incidents == [
            ("a", "resolved", "critical", 3),
            ("a", "open", "warning", 1),
            ("c", "open", "warning", 1),
        ]
        notified = await rows(
            database,
            "SELECT i.fingerprint, i.id - min(i.id) OVER (PARTITION BY i.fingerprint) > 0, n.transition FROM notices AS n"
            " JOIN incidents AS i ON i.id = n.incident_id ORDER BY 1, 2, n.sequence",
        )
        assert notified == [
            ("a", False, "opened"),
            ("a", False, "graver"),
            ("a", False, "escalated"),
            ("a", False, "resolved"),
            ("a", True, "opened"),
            ("c", False, "opened"),
        ]
        history = await rows(database, "SELECT act, count(*) FROM incident_history GROUP BY 1 ORDER BY 1")
        assert history == [("opened", 3), ("resolved", 1)]
    finally:
        await database.close()


async def test_a_batch_that_comes_again_only_counts(database_for: Callable[[str], Awaitable[str]]) -> None:
    database = Database(await database_for("notifier"), application_name="test")
    await database.open()
    try:
        batch = [a_problem(f"p:{number}", order_number=None) for number in range(300)]
        for _ in range(2):
            await take(database, *batch)
        assert await rows(database, "SELECT count(*), sum(occurrences)::int FROM incidents") == [(300, 600)]
        assert await rows(database, "SELECT count(*) FROM deliveries") == [(300,)]
    finally:
        await database.close()
