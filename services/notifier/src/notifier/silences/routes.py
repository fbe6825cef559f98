"""Silences and maintenance windows (`/admin/v1/silences`): nobody is notified of problems that fit, until the end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic import Field

from common.clock import Clock
from common.errors import NotFound
from common.http import (
    AdminChange,
    Answer,
    Changes,
    Page,
    PageQuery,
    Request,
    Route,
    change_route,
    listed,
    one_listed,
    read_route,
)
from common.postgres import Database
from notifier.silences.change_silence import Follows, add_silence, end_silence
from notifier.silences.store import select_silences
from notifier.silences.views import NewSilence, Silence, SilenceEnded, SilenceKept


class SilenceQuery(PageQuery):
    """Which silences."""

    over: bool = Field(default=False, description="also those that are over")


class SilenceRoutes:
    """The handlers; ``routes`` is the table of them."""

    def __init__(self, *, database: Database, clock: Clock, follows: Follows, wake: Callable[[], None]) -> None:
        self._follows = follows
        self._database = database
        self._clock = clock
        self._changes = Changes(database, committed=wake)

    async def silences(self, request: Request[None, SilenceQuery]) -> Page[Silence]:
        """Answer the silences, newest first."""
        query = request.query

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
            """Return the statement of a page and its values."""
            return select_silences(over_too=query.over, before=None if after is None else after[0], limit=limit)

        return await listed(self._database, query, select, key={"id": int}, item=lambda row: Silence(**row))

    async def silence(self, request: Request[None, None]) -> Silence:
        """Answer one silence, also one that is over."""
        name = request.path_int("id")
        found = select_silences(over_too=True, before=name + 1, limit=1)
        return await one_listed(self._database, found, named={"id": name}, item=lambda row: Silence(**row))

    async def add(self, request: Request[NewSilence, None]) -> Answer:
        """Begin or plan a silence."""
        work = partial(add_silence, request.body, now=self._clock.now(), follows=self._follows)
        return await self._changes.carry_out(request, work)

    async def end(self, request: Request[AdminChange, None]) -> Answer:
        """End a silence now; what it kept back and is not over is notified."""
        work = partial(end_silence, request.path_int("id"), follows=self._follows)
        return await self._changes.carry_out(request, work)

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        return [
            read_route(
                "/admin/v1/silences",
                self.silences,
                "Silences and maintenance windows, newest first",
                Page[Silence],
                query=SilenceQuery,
            ),
            change_route(
                "POST",
                "/admin/v1/silences",
                self.add,
                "Tell nobody of problems that fit, for a while",
                NewSilence,
                SilenceKept,
            ),
            read_route(
                "/admin/v1/silences/{id}",
                self.silence,
                "One silence, also one that is over",
                Silence,
                errors=(NotFound,),
            ),
            change_route(
                "DELETE",
                "/admin/v1/silences/{id}",
                self.end,
                "End a silence now",
                AdminChange,
                SilenceEnded,
                errors=(NotFound,),
            ),
        ]
