"""Tickets and operators' instructions by HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from pydantic import BaseModel

from common.errors import Conflict, NotFound
from common.http import (
    OPERATOR,
    VIEWER,
    Answer,
    Change,
    Changes,
    Page,
    Request,
    Route,
    listed,
)
from common.postgres import Database
from notifier.incidents.act import patiently
from notifier.incidents.model import CallUnderWay
from notifier.tickets.change_ticket import ChangeTicket
from notifier.tickets.instruct import instruct
from notifier.tickets.store import InstructionStore, select_tickets
from notifier.tickets.views import (
    CommentBody,
    Commented,
    InstructionBody,
    InstructionChanged,
    InstructionList,
    InstructionView,
    LinkBody,
    Linked,
    NewTicketBody,
    TicketOpened,
    TicketQuery,
    TicketView,
)

_ADMIN = ("admin",)
_CALL_SECONDS = 8.0


class TicketRoutes:
    """The handlers; ``routes`` is the table of them."""

    def __init__(self, *, database: Database, change_ticket: ChangeTicket, wake: Callable[[], None]) -> None:
        self._database = database
        self._changes = Changes(database, committed=wake)
        self._ticket = change_ticket

    async def find(self, request: Request[None, TicketQuery]) -> Page[TicketView]:
        """Answer tickets with their comments."""

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
            return select_tickets(request.query, before=None if after is None else after[0], limit=limit)

        return await listed(self._database, request.query, select, key={"id": int}, item=lambda row: TicketView(**row))

    async def open(self, request: Request[NewTicketBody, None]) -> Answer:
        """Open a support ticket."""
        return await self._carry_out(request, lambda change: self._ticket.open(change, request.body))

    async def comment(self, request: Request[CommentBody, None]) -> Answer:
        """Add a remark; it may take the incident."""
        return await self._carry_out(
            request,
            lambda change: self._ticket.comment(
                change, request.path["key"], request.body, request_id=request.request_id
            ),
        )

    async def link(self, request: Request[LinkBody, None]) -> Answer:
        """Link a ticket to a development ticket."""
        return await self._carry_out(
            request, lambda change: self._ticket.link(change, request.path["key"], request.body)
        )

    async def instructions(self, _request: Request[None, None]) -> InstructionList:
        """Answer what operators do, by kind."""
        async with self._database.acquire() as connection:
            rows = await InstructionStore(connection).all()
        return InstructionList(items=[InstructionView(**row) for row in rows])

    async def instruct(self, request: Request[InstructionBody, None]) -> Answer:
        """Write or remove an instruction."""
        return await self._carry_out(request, lambda change: instruct(change, request.path["kind"], request.body))

    async def _carry_out(self, request: Request[Any, None], work: Callable[[Change], Awaitable[BaseModel]]) -> Answer:
        return await patiently(partial(self._changes.carry_out, request, work), seconds=_CALL_SECONDS)

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        return [
            Route(
                method="GET",
                path="/admin/v1/tickets",
                handler=self.find,
                summary="Tickets with their comments, newest first",
                query=TicketQuery,
                response=Page[TicketView],
                roles=VIEWER,
                tags=_ADMIN,
            ),
            self._change(
                "POST",
                "/admin/v1/tickets",
                self.open,
                "Open a support ticket (TRAVELSUP)",
                NewTicketBody,
                TicketOpened,
                status=201,
            ),
            self._change(
                "POST",
                "/admin/v1/tickets/{key}/comments",
                self.comment,
                "Remark on a ticket; 'no need to call' takes the incident",
                CommentBody,
                Commented,
                status=201,
            ),
            self._change(
                "POST",
                "/admin/v1/tickets/{key}/links",
                self.link,
                "Link a ticket to a development ticket",
                LinkBody,
                Linked,
            ),
            Route(
                method="GET",
                path="/admin/v1/instructions",
                handler=self.instructions,
                summary="What operators do, by kind of problem",
                response=InstructionList,
                roles=VIEWER,
                tags=_ADMIN,
            ),
            self._change(
                "PUT",
                "/admin/v1/instructions/{kind}",
                self.instruct,
                "Write or remove an instruction",
                InstructionBody,
                InstructionChanged,
            ),
        ]

    def _change(
        self,
        method: str,
        path: str,
        handler: Callable[[Any], Awaitable[Any]],
        summary: str,
        request: type[BaseModel],
        response: type[BaseModel],
        *,
        status: int = 200,
    ) -> Route:
        return Route(
            method=method,
            path=path,
            handler=handler,
            summary=summary,
            request=request,
            response=response,
            status=status,
            errors=(NotFound, Conflict, CallUnderWay),
            roles=OPERATOR,
            tags=_ADMIN,
            idempotent=True,
        )
