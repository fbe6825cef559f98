"""Two replicas of a service that has dead letters, and how they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp

from common.contracts import Envelope
from common.contracts.journal import JournalEntryV1
from common.messaging.dead_letters import store_dead_letter
from common.messaging.topology import ORCHESTRATOR_JOURNAL
from common.postgres import Database

QUEUE = ORCHESTRATOR_JOURNAL.name
WHY = {"reason": "the handler was mended"}
PHONE = "+7 916 123-45-67"


def entry(event_id: str, *, of: str | None = "N1", **changes: Any) -> Envelope:
    """A line for an order's timeline."""
    line = JournalEntryV1(
        order_number="N1", service="test", kind="k", actor="a", summary=PHONE, occurred_at=datetime.now(UTC)
    )
    event = Envelope.of(line, event_id=event_id, source="/test", subject=of, time=line.occurred_at)
    return event.model_copy(update={"data": {**(event.data or {}), **changes}})


class Replicas:
    """Two replicas of a service that share a database, and who calls them."""

    def __init__(self, database: Database, urls: Sequence[str]) -> None:
        self.database = database
        self._urls = urls

    async def dead(self, *events: Envelope, reason: str = "poison") -> list[int]:
        """Give up on events; return the ids of their letters."""
        async with self.database.transaction() as connection:
            for event in events:
                await store_dead_letter(
                    connection,
                    queue=QUEUE,
                    handler="journal",
                    service="test",
                    reason=reason,
                    error="ValueError at journal.py:1",
                    body=event.encode(),
                    envelope=event,
                )
            return [row["id"] for row in await connection.fetch("SELECT id FROM dead_letters ORDER BY id")][
                -len(events) :
            ]

    async def ask(
        self, method: str, path: str, body: Any = None, *, who: str = "operator", at: int = 0
    ) -> tuple[int, Any]:
        """Ask one of the replicas about dead letters."""
        headers = {"Authorization": f"Bearer t-{who}"}
        address = f"{self._urls[at]}/admin/v1/{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, address, json=body, headers=headers) as answer,
        ):
            return answer.status, await answer.json()

    async def decide(self, path: str, at: int = 0, **body: Any) -> tuple[int, Any]:
        """Post a decision."""
        return await self.ask("POST", f"dead-letters/{path}", {**WHY, **body}, at=at)

    async def outgoing(self, kind: str) -> list[Envelope]:
        """What waits in the outbox: of that type, or for that queue."""
        async with self.database.acquire() as connection:
            rows = await connection.fetch("SELECT body FROM outbox WHERE routing_key = $1 ORDER BY id", kind)
        return [Envelope.decode(row["body"]) for row in rows]

    async def ended(self) -> list[str]:
        """The problems that are over, each as often as that was said."""
        return [(over.data or {})["fingerprint"] for over in await self.outgoing("alerts.problem.resolved.v1")]

    async def sql(self, statement: str) -> list[Any]:
        """The first column of what a statement finds."""
        async with self.database.acquire() as connection:
            return [row[0] for row in await connection.fetch(statement)]
