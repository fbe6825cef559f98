"""The operator's view of dead letters: what a service's consumers gave up on, and sending it round again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from common.http import (
    OPERATOR,
    VIEWER,
    AdminChange,
    Answer,
    Change,
    Changes,
    Page,
    PageQuery,
    Request,
    Route,
    decode_cursor,
    page_of,
)
from common.messaging import dead_letters
from common.postgres import Database

_BEFORE_ALL = 2**63 - 1


class DeadLetter(BaseModel):
    """An event that a consumer gave up on. Its body stays in the database: it may hold a customer's data."""

    id: int
    queue: str
    handler: str
    event_id: str | None
    event_type: str | None
    subject: str | None = Field(description="the number of the order, where the event is about one")
    reason: str = Field(description="poison, undecodable or delivery_limit")
    error: str
    dead_at: datetime
    replayed_at: datetime | None
    replayed_by: str | None


class DeadLetterQuery(PageQuery):
    """Filters of the list."""

    open: bool = Field(default=False, description="only those that were not replayed")


class Replayed(BaseModel):
    """What a replay did; with ``dry_run`` what it would do."""

    id: int
    queue: str
    event_id: str | None
    replayed: bool


def dead_letter_routes(database: Database, *, after_commit: Callable[[], None] = lambda: None) -> list[Route]:
    """Return ``GET /admin/v1/dead-letters`` and ``POST /admin/v1/dead-letters/{id}/replay``.

    A replay is one transaction with its audit record; two at once send the event once. ``after_commit`` wakes the outbox relay.
    """

    changes = Changes(database, committed=after_commit)

    async def _read(request: Request[None, DeadLetterQuery]) -> Page[DeadLetter]:
        position = decode_cursor(request.query.cursor, int)
        async with database.acquire() as connection:
            rows = await dead_letters.page(
                connection,
                before=position[0] if position else _BEFORE_ALL,
                open_only=request.query.open,
                limit=request.query.limit + 1,
            )
        return page_of(rows, limit=request.query.limit, item=_letter, key=lambda row: (row["id"],))

    async def _replay(request: Request[AdminChange, None]) -> Answer:
        letter_id = request.path_int("id")

        async def _work(change: Change) -> Replayed:
            letter = await dead_letters.replay(change.connection, letter_id, actor=change.principal.name)
            sent = {"queue": letter["queue"], "event_id": letter["event_id"]}
            await change.record(
                "dead_letter.replay", f"dead_letter:{letter_id}", before={"replayed_at": None}, after=sent
            )
            return Replayed(id=letter_id, **sent, replayed=not change.dry_run)

        return await changes.carry_out(request, _work)

    return [
        Route(
            method="GET",
            path="/admin/v1/dead-letters",
            handler=_read,
            summary="Events that a consumer gave up on, newest first",
            query=DeadLetterQuery,
            response=Page[DeadLetter],
            roles=VIEWER,
            tags=("admin",),
        ),
        Route(
            method="POST",
            path="/admin/v1/dead-letters/{id}/replay",
            handler=_replay,
            summary="Send a dead letter to its queue again",
            request=AdminChange,
            response=Replayed,
            roles=OPERATOR,
            tags=("admin",),
            idempotent=True,
        ),
    ]


def _letter(row: Any) -> DeadLetter:
    return DeadLetter(**dict(row))
