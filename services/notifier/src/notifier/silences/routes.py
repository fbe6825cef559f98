"""Silences and maintenance windows (`/admin/v1/silences`): nobody is notified of problems that fit, until the end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from common.clock import Clock
from common.errors import NotFound, Unprocessable
from common.http import (
    OPERATOR,
    VIEWER,
    AdminChange,
    Answer,
    Change,
    Changes,
    Moment,
    Page,
    PageQuery,
    Request,
    Route,
    decode_cursor,
    page_of,
)
from common.postgres import Database
from notifier.routing.file import Match
from notifier.silences.store import SilenceStore

_ADMIN = ("admin",)
_Pattern = Annotated[str, Field(min_length=1, max_length=200)]


class SilenceQuery(PageQuery):
    """Which silences."""

    over: bool = Field(default=False, description="also those that are over")


class Silence(BaseModel):
    """One silence. `match` reads as in routes: trait → patterns."""

    id: int
    match: dict[str, list[str]]
    purpose: Literal["silence", "maintenance"]
    starts_at: datetime
    ends_at: datetime
    reason: str
    created_by: str
    created_at: datetime
    ended_by: str | None


class NewSilence(AdminChange):
    """Problems that fit `match` are told to nobody from `starts_at` (now unless given) to `ends_at`; orders are always told.

    What is still not over when the silence ends is told then.
    """

    match: Annotated[Match, Field(min_length=1, examples=[{"service": ["tips"], "severity": ["warning"]}])]
    purpose: Literal["silence", "maintenance"] = "silence"
    starts_at: Moment | None = None
    ends_at: Moment

    @model_validator(mode="after")
    def _sensible(self) -> NewSilence:
        if self.starts_at is not None and self.ends_at <= self.starts_at:
            raise ValueError("ends_at is not after starts_at")
        if any(not patterns or not all(1 <= len(each) <= 200 for each in patterns) for patterns in self.match.values()):
            raise ValueError("every trait of match needs patterns of 1 to 200 characters")
        if any("\0" in each for patterns in self.match.values() for each in patterns):
            raise ValueError("a pattern holds no NUL")
        return self


class SilenceKept(BaseModel):
    """The silence, and the open incidents that fit it now. A dry run has no id."""

    id: int | None
    ends_at: datetime
    incidents: list[int]
    dry_run: bool


class SilenceEnded(BaseModel):
    """What ending did, or would do."""

    id: int
    before: datetime
    after: datetime
    dry_run: bool


class SilenceRoutes:
    """The handlers; ``routes`` is the table of them."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._changes = Changes(database, committed=wake)

    async def listed(self, request: Request[None, SilenceQuery]) -> Page[Silence]:
        """Answer the silences, newest first."""
        query = request.query
        position = decode_cursor(query.cursor, int)
        async with self._database.acquire() as connection:
            rows = await SilenceStore(connection).listed(
                over_too=query.over,
                before=None if position is None else position[0],
                limit=query.limit + 1,
            )
        return page_of(rows, limit=query.limit, item=lambda row: Silence(**row), key=lambda row: (row["id"],))

    async def add(self, request: Request[NewSilence, None]) -> Answer:
        """Begin or plan a silence."""
        return await self._changes.carry_out(request, partial(self._added, request.body))

    async def _added(self, body: NewSilence, change: Change) -> SilenceKept:
        """Keep it, with its audit record. Raises ``Unprocessable`` where it would be over from the beginning."""
        if body.ends_at <= self._clock.now():
            raise Unprocessable("ends_at is in the past")
        store = SilenceStore(change.connection)
        match = {str(label): patterns for label, patterns in body.match.items()}
        fitting = await store.fitting(match)
        row = await store.add(
            match=match,
            purpose=body.purpose,
            starts_at=body.starts_at,
            ends_at=body.ends_at,
            reason=body.reason,
            by=change.principal.name,
        )
        await change.record(
            "silence.add",
            f"silence:{row['id']}",
            after={"match": row["match"], "ends_at": row["ends_at"].isoformat(), "purpose": row["purpose"]},
        )
        return SilenceKept(
            id=None if change.dry_run else row["id"],
            ends_at=body.ends_at if change.dry_run else row["ends_at"],
            incidents=fitting,
            dry_run=change.dry_run,
        )

    async def end(self, request: Request[AdminChange, None]) -> Answer:
        """End a silence now; what it kept back and is not over is notified."""
        return await self._changes.carry_out(request, partial(self._ended, request.path_int("id")))

    async def _ended(self, silence_id: int, change: Change) -> SilenceEnded:
        before, after = await SilenceStore(change.connection).end(silence_id, by=change.principal.name)
        await change.record(
            "silence.end",
            f"silence:{silence_id}",
            before={"ends_at": before.isoformat()},
            after={"ends_at": after.isoformat()},
        )
        return SilenceEnded(id=silence_id, before=before, after=after, dry_run=change.dry_run)

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        return [
            Route(
                method="GET",
                path="/admin/v1/silences",
                handler=self.listed,
                summary="Silences and maintenance windows, newest first",
                query=SilenceQuery,
                response=Page[Silence],
                roles=VIEWER,
                tags=_ADMIN,
            ),
            Route(
                method="POST",
                path="/admin/v1/silences",
                handler=self.add,
                summary="Tell nobody of problems that fit, for a while",
                request=NewSilence,
                response=SilenceKept,
                roles=OPERATOR,
                tags=_ADMIN,
                idempotent=True,
            ),
            Route(
                method="DELETE",
                path="/admin/v1/silences/{id}",
                handler=self.end,
                summary="End a silence now",
                request=AdminChange,
                response=SilenceEnded,
                errors=(NotFound,),
                roles=OPERATOR,
                tags=_ADMIN,
                idempotent=True,
            ),
        ]
