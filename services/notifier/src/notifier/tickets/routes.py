"""Tickets and operators' instructions by HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel

from common.errors import Conflict, NotFound
from common.http import (
    AdminChange,
    Answer,
    Change,
    Changes,
    Page,
    Request,
    Route,
    change_route,
    listed,
    one_listed,
    read_route,
)
from common.postgres import Database
from notifier.incidents.act import patiently
from notifier.incidents.model import CallUnderWay
from notifier.tickets.change_ticket import ChangeTicket
from notifier.tickets.instruct import instruct
from notifier.tickets.known_defects import DefectStore, keep_defect, select_defects
from notifier.tickets.store import InstructionStore, TicketStore, select_tickets
from notifier.tickets.support_desk import SupportDesk
from notifier.tickets.views import (
    AssignBody,
    Assigned,
    Closed,
    CommentBody,
    Commented,
    DefectBody,
    DefectKept,
    DefectQuery,
    DefectView,
    DevelopBody,
    Developed,
    InstructionBody,
    InstructionChanged,
    InstructionList,
    InstructionView,
    LinkBody,
    Linked,
    LinkTicketBody,
    NewTicketBody,
    Summoned,
    TicketLinked,
    TicketOpened,
    TicketQuery,
    TicketView,
)

_CALL_SECONDS = 8.0

_change = partial(change_route, errors=(NotFound, Conflict, CallUnderWay))


class TicketRoutes:
    """The handlers; ``routes`` is the table of them."""

    def __init__(
        self, *, database: Database, change_ticket: ChangeTicket, desk: SupportDesk, wake: Callable[[], None]
    ) -> None:
        self._database = database
        self._changes = Changes(database, committed=wake)
        self._ticket = change_ticket
        self._desk = desk

    async def find(self, request: Request[None, TicketQuery]) -> Page[TicketView]:
        """Answer tickets with their comments."""

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
            """Return the statement of a page and its values."""
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
        body = request.body
        return await self._carry_out(
            request,
            lambda change: self._ticket.link(
                change, request.path["key"], body.development_ticket, expected_version=body.expected_version
            ),
        )

    async def one(self, request: Request[None, None]) -> TicketView:
        """Answer one ticket with its comments and links."""
        async with self._database.acquire() as connection:
            row = await TicketStore(connection, outside=False).whole(request.path["key"])
        return TicketView(**row)

    async def assign(self, request: Request[AssignBody, None]) -> Answer:
        """Say whose a ticket is."""
        return await self._carry_out(
            request, lambda change: self._desk.assign(change, request.path["key"], request.body)
        )

    async def summon(self, request: Request[AdminChange, None]) -> Answer:
        """Summon the on-call person to a ticket."""
        return await self._carry_out(request, lambda change: self._desk.summon(change, request.path["key"]))

    async def close(self, request: Request[AdminChange, None]) -> Answer:
        """Close a ticket."""
        return await self._carry_out(
            request, lambda change: self._desk.close(change, request.path["key"], request_id=request.request_id)
        )

    async def link_any(self, request: Request[LinkTicketBody, None]) -> Answer:
        """Link a development ticket, or any other."""
        return await self._carry_out(request, lambda change: self._desk.link(change, request.path["key"], request.body))

    async def develop(self, request: Request[DevelopBody, None]) -> Answer:
        """Have a development ticket made of a ticket."""
        return await self._carry_out(
            request, lambda change: self._desk.develop(change, request.path["key"], request.body)
        )

    async def defects(self, request: Request[None, DefectQuery]) -> Page[DefectView]:
        """Answer the known defects."""
        query = request.query

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
            """Return the statement of a page and its values."""
            return select_defects(over_too=query.over, before=None if after is None else after[0], limit=limit)

        return await listed(self._database, query, select, key={"id": int}, item=lambda row: DefectView(**row))

    async def defect(self, request: Request[None, None]) -> DefectView:
        """Answer one known defect, also one that is mended."""
        name = request.path_int("id")
        found = select_defects(over_too=True, before=name + 1, limit=1)
        return await one_listed(self._database, found, named={"id": name}, item=lambda row: DefectView(**row))

    async def keep_defect(self, request: Request[DefectBody, None]) -> Answer:
        """Keep a known defect."""
        return await self._carry_out(request, lambda change: keep_defect(change, request.body))

    async def end_defect(self, request: Request[AdminChange, None]) -> Answer:
        """End a known defect."""
        defect_id = request.path_int("id")
        return await self._carry_out(request, lambda change: DefectStore(change.connection).end(change, defect_id))

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
            read_route(
                "/admin/v1/tickets",
                self.find,
                "Tickets with their comments, newest first",
                Page[TicketView],
                query=TicketQuery,
            ),
            _change(
                "POST",
                "/admin/v1/tickets",
                self.open,
                "Open a support ticket (TRAVELSUP)",
                NewTicketBody,
                TicketOpened,
                status=201,
            ),
            _change(
                "POST",
                "/admin/v1/tickets/{key}/comments",
                self.comment,
                "Remark on a ticket; 'no need to call' takes the incident",
                CommentBody,
                Commented,
                status=201,
            ),
            _change(
                "POST",
                "/admin/v1/tickets/{key}/links",
                self.link,
                "Link a ticket to a development ticket",
                LinkBody,
                Linked,
            ),
            read_route(
                "/admin/v1/tickets/{key}",
                self.one,
                "One ticket with its comments and links",
                TicketView,
                errors=(NotFound,),
            ),
            *(
                _change("POST", f"/admin/v1/tickets/{{key}}/{name}", handler, summary, request, response)
                for name, handler, summary, request, response in self._acts()
            ),
            read_route(
                "/admin/v1/known-defects",
                self.defects,
                "Known defects, of which problems say so by themselves; newest first",
                Page[DefectView],
                query=DefectQuery,
            ),
            _change(
                "POST",
                "/admin/v1/known-defects",
                self.keep_defect,
                "Have problems say by themselves which development ticket is about them",
                DefectBody,
                DefectKept,
                status=201,
            ),
            read_route(
                "/admin/v1/known-defects/{id}",
                self.defect,
                "One known defect, also one that is mended",
                DefectView,
                errors=(NotFound,),
            ),
            _change(
                "DELETE",
                "/admin/v1/known-defects/{id}",
                self.end_defect,
                "Say of a known defect that it is mended",
                AdminChange,
                DefectKept,
            ),
            read_route(
                "/admin/v1/instructions", self.instructions, "What operators do, by kind of problem", InstructionList
            ),
            _change(
                "PUT",
                "/admin/v1/instructions/{kind}",
                self.instruct,
                "Write or remove an instruction",
                InstructionBody,
                InstructionChanged,
            ),
        ]

    def _acts(self) -> Sequence[tuple[str, Callable[[Any], Awaitable[Any]], str, type[BaseModel], type[BaseModel]]]:
        return (
            ("assign", self.assign, "Say whose a ticket is", AssignBody, Assigned),
            ("summon", self.summon, "Summon the on-call person, who is told and answers", AdminChange, Summoned),
            ("close", self.close, "Close a ticket, and what is open behind it", AdminChange, Closed),
            ("link", self.link_any, "Link the development ticket, or another", LinkTicketBody, TicketLinked),
            ("development-ticket", self.develop, "Have a development ticket made of it", DevelopBody, Developed),
        )
