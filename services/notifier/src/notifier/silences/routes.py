"""Silences and maintenance windows (`/admin/v1/silences`): nobody is told of problems that fit, until the end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from common.clock import Clock
from common.errors import NotFound, Unprocessable
from common.http import (
    OPERATOR,
    VIEWER,
    AdminChange,
    Moment,
    Page,
    PageQuery,
    Request,
    Route,
    audit,
    decode_cursor,
    once,
    page_of,
)
from common.postgres import Connection, Database
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
        store_on: Callable[[Connection], SilenceStore],
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._store_on = store_on
        self._wake = wake

    async def listed(self, request: Request[None, SilenceQuery]) -> Page[Silence]:
        """Answer the silences, newest first."""
        query = request.query
        position = decode_cursor(query.cursor, int)
        async with self._database.acquire() as connection:
            rows = await self._store_on(connection).listed(
                over_too=query.over,
                before=None if position is None else position[0],
                limit=query.limit + 1,
            )
        return page_of(rows, limit=query.limit, item=lambda row: Silence(**row), key=lambda row: (row["id"],))

    async def add(self, request: Request[NewSilence, None]) -> Any:
        """Begin or plan a silence."""
        body = request.body

        async with self._database.transaction() as connection:
            store = self._store_on(connection)

            async def work() -> SilenceKept:
                """Keep it, with its audit record. Raises ``Unprocessable`` where it would be over from the beginning."""
                if body.ends_at <= self._clock.now():
                    raise Unprocessable("ends_at is in the past")
                fitting = await store.fitting({str(label): patterns for label, patterns in body.match.items()})
                if body.dry_run:
                    return SilenceKept(id=None, ends_at=body.ends_at, incidents=fitting, dry_run=True)
                row = await store.add(
                    match={str(label): patterns for label, patterns in body.match.items()},
                    purpose=body.purpose,
                    starts_at=body.starts_at,
                    ends_at=body.ends_at,
                    reason=body.reason,
                    by=request.principal.name,
                )
                await audit.record(
                    connection,
                    principal=request.principal,
                    action="silence.add",
                    target=f"silence:{row['id']}",
                    reason=body.reason,
                    before=None,
                    after={"match": row["match"], "ends_at": row["ends_at"].isoformat(), "purpose": row["purpose"]},
                    request_id=request.request_id,
                )
                return SilenceKept(id=row["id"], ends_at=row["ends_at"], incidents=fitting, dry_run=False)

            return await once(connection, request, work)

    async def end(self, request: Request[AdminChange, None]) -> Any:
        """End a silence now; what it kept back and is not over is told."""
        silence_id = request.path_int("id")
        body = request.body

        async with self._database.transaction() as connection:

            async def work() -> SilenceEnded:
                """End it, with its audit record."""
                before, after = await self._store_on(connection).end(
                    silence_id, by=request.principal.name, dry_run=body.dry_run
                )
                if not body.dry_run:
                    await audit.record(
                        connection,
                        principal=request.principal,
                        action="silence.end",
                        target=f"silence:{silence_id}",
                        reason=body.reason,
                        before={"ends_at": before.isoformat()},
                        after={"ends_at": after.isoformat()},
                        request_id=request.request_id,
                    )
                return SilenceEnded(id=silence_id, before=before, after=after, dry_run=body.dry_run)

            answer = await once(connection, request, work)
        self._wake()
        return answer

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
