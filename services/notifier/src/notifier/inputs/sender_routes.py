"""`/admin/v1/alert-senders`: whose Watchdog is expected, whose stays away, and the way out for one that was taken out of service."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Literal

from pydantic import BaseModel

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
from notifier.incidents.act import NameNotices
from notifier.incidents.problems import Problems
from notifier.inputs.give_up_sender import OnlySender, SenderGivenUp, give_up_sender
from notifier.inputs.watchdog import select_senders


class AlertSender(BaseModel):
    """An Alertmanager (its replicas are one), by environment and cluster; when its Watchdog came last, and the incident of its silence."""

    id: int
    name: str
    environment: str | None
    seen_at: datetime
    state: Literal["heard", "silent"]
    incident_id: int | None


class SenderRoutes:
    """The handlers; ``routes`` is the table of them."""

    def __init__(
        self,
        *,
        database: Database,
        problems: Problems,
        name_notices: NameNotices,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._name_notices = name_notices
        self._database = database
        self._problems = problems
        self._clock = clock
        self._changes = Changes(database, committed=wake)

    async def senders(self, request: Request[None, PageQuery]) -> Page[AlertSender]:
        """Answer the senders, oldest first."""
        return await listed(
            self._database, request.query, select_senders, key={"id": int}, item=lambda row: AlertSender(**row)
        )

    async def sender(self, request: Request[None, None]) -> AlertSender:
        """Answer one sender."""
        name = request.path_int("id")
        found = select_senders((name - 1,), 1)
        return await one_listed(self._database, found, named={"id": name}, item=lambda row: AlertSender(**row))

    async def give_up(self, request: Request[AdminChange, None]) -> Answer:
        """Expect nothing from one any more; the problem of its silence is over."""
        work = partial(
            give_up_sender,
            request.path_int("id"),
            problems=self._problems,
            name_notices=self._name_notices,
            now=self._clock.now(),
        )
        return await self._changes.carry_out(request, work)

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        return [
            read_route(
                "/admin/v1/alert-senders",
                self.senders,
                "From whom alerts come, and who is silent",
                Page[AlertSender],
                query=PageQuery,
            ),
            read_route(
                "/admin/v1/alert-senders/{id}",
                self.sender,
                "From whom alerts come: one of them",
                AlertSender,
                errors=(NotFound,),
            ),
            change_route(
                "POST",
                "/admin/v1/alert-senders/{id}/give-up",
                self.give_up,
                "Expect no Watchdog of a sender that was taken out of service",
                AdminChange,
                SenderGivenUp,
                errors=(NotFound, OnlySender),
            ),
        ]
