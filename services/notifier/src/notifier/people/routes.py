"""The people by HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import partial

from common.errors import Conflict
from common.http import ADMIN, Answer, Changes, Request, Route, change_route, read_route
from common.postgres import Connection, Database
from notifier.people.change_people import put_people
from notifier.people.current import CurrentPeople
from notifier.people.views import PeopleChange, PeopleChanged, PeopleView, shown

_TAGS = ("admin",)


class PeopleRoutes:
    """The handlers; ``routes`` is the table of them."""

    def __init__(
        self,
        *,
        database: Database,
        current: CurrentPeople,
        on_the_roster: Callable[[Connection], Awaitable[Collection[str]]],
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._changes = Changes(database, committed=wake)
        self._current = current
        self._on_the_roster = on_the_roster

    async def show(self, request: Request[None, None]) -> PeopleView:
        """Answer the people."""
        await self._current.look(self._database)
        phones = request.principal.role != "viewer"
        return shown(self._current.directory, version=self._current.version, phones=phones)

    async def replace(self, request: Request[PeopleChange, None]) -> Answer:
        """Put all people anew."""
        work = partial(put_people, wanted=request.body, current=self._current, on_the_roster=self._on_the_roster)
        return await self._changes.carry_out(request, work)

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        return [
            read_route(
                "/admin/v1/people", self.show, "The people: accounts, phones, roles, owners, seniors", PeopleView
            ),
            change_route(
                "PUT",
                "/admin/v1/people",
                self.replace,
                "Put all people anew, until the people file is changed",
                PeopleChange,
                PeopleChanged,
                errors=(Conflict,),
                roles=ADMIN,
            ),
        ]
