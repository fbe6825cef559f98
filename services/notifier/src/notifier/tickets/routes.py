"""Tickets and operators' instructions by HTTP (CONTRACT 7, M11, M12)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel

from common.errors import Conflict, NotFound
from common.http import OPERATOR, VIEWER, Page, Principal, Request, Route, audit, decode_cursor, once, page_of
from common.postgres import Connection, Database
from common.telemetry import scrub_text
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.act import patiently
from notifier.incidents.model import CallUnderWay
from notifier.incidents.store import IncidentStore
from notifier.messages.words import Words
from notifier.people.model import Directory
from notifier.tickets.acknowledge_from_comment import AcknowledgeFromComment
from notifier.tickets.model import REQUESTS, NewTicket, TicketComment
from notifier.tickets.store import TicketStore
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

    def __init__(
        self,
        *,
        database: Database,
        tickets_on: Callable[[Connection], TicketStore],
        incident_store_on: Callable[..., IncidentStore],
        notifications_on: Callable[[Connection], NotificationStore],
        acknowledge: AcknowledgeFromComment,
        directory: Directory,
        words: Words,
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._tickets_on = tickets_on
        self._incident_store_on = incident_store_on
        self._notifications_on = notifications_on
        self._acknowledge = acknowledge
        self._directory = directory
        self._words = words
        self._wake = wake

    async def find(self, request: Request[None, TicketQuery]) -> Page[TicketView]:
        """Answer tickets with their comments."""
        query = request.query
        position = decode_cursor(query.cursor, int)
        async with self._database.acquire() as connection:
            rows = await self._tickets_on(connection).page(
                queue=query.queue,
                state=query.state,
                order=query.order,
                incident=query.incident,
                before=None if position is None else position[0],
                limit=query.limit + 1,
            )
        return page_of(rows, limit=query.limit, item=lambda row: TicketView(**row), key=lambda row: (row["id"],))

    async def open(self, request: Request[NewTicketBody, None]) -> Any:
        """Open a support ticket."""
        body = request.body
        queue = body.queue or REQUESTS

        async def work(connection: Connection) -> BaseModel:
            """Do it, in the transaction of the key."""
            if body.dry_run:
                return TicketOpened(id=None, key=None, queue=queue, dry_run=True)
            row = await self._tickets_on(connection).add(
                NewTicket(
                    queue=queue,
                    kind="request",
                    summary=scrub_text(body.summary),
                    description=scrub_text(body.text),
                    created_by=request.principal.name,
                    order_number=body.order_number,
                )
            )
            await self._audit(connection, request, "ticket.open", row["id"], None, {"queue": queue, "key": row["key"]})
            return TicketOpened(id=row["id"], key=row["key"], queue=queue, dry_run=False)

        return await self._once(request, work)

    async def comment(self, request: Request[CommentBody, None]) -> Any:
        """Add a remark; it may take the incident (M12)."""
        body, author = request.body, request.principal.name
        text = scrub_text(body.said)
        summon = tuple(self._directory.seniors) if body.tell_customer else ()

        async def work(connection: Connection) -> BaseModel:
            """Do it, in the transaction of the key."""
            tickets = self._tickets_on(connection)
            ticket = await tickets.ticket(request.path["key"])
            shown = ticket["key"] or str(ticket["id"])
            if body.dry_run:
                return Commented(id=None, ticket=shown, acknowledged=False, dry_run=True)
            row = await tickets.comment(
                TicketComment(
                    ticket_id=ticket["id"],
                    author=author,
                    text=self._tagged(text, summon),
                    summon=self._accounts(summon),
                )
            )
            await self._audit(connection, request, "ticket.comment", ticket["id"], None, {"comment": row["id"]})
            acknowledged = await self._acknowledge(
                self._incident_store_on(connection, principal=request.principal, request_id=request.request_id),
                self._notifications_on(connection),
                ticket_id=ticket["id"],
                incident_id=ticket["incident_id"],
                author=author,
                text=text,
                duty=await tickets.duty(),
            )
            return Commented(id=row["id"], ticket=shown, acknowledged=acknowledged, dry_run=False)

        return await self._once(request, work)

    async def link(self, request: Request[LinkBody, None]) -> Any:
        """Link a ticket to a development ticket, and say so in a comment."""
        body = request.body

        async def work(connection: Connection) -> BaseModel:
            """Do it, in the transaction of the key."""
            tickets = self._tickets_on(connection)
            ticket = await tickets.ticket(request.path["key"])
            before, after = ticket["development_ticket"], body.development_ticket
            if not body.dry_run:
                await tickets.develop(ticket["id"], after)
                comment = TicketComment(
                    ticket_id=ticket["id"], author=request.principal.name, text=f"{after}: {scrub_text(body.reason)}"
                )
                await tickets.comment(comment, link=after)
                await self._audit(connection, request, "ticket.link", ticket["id"], before, after)
            return Linked(ticket=ticket["key"] or str(ticket["id"]), before=before, after=after, dry_run=body.dry_run)

        return await self._once(request, work)

    async def instructions(self, _request: Request[None, None]) -> InstructionList:
        """Answer what operators do, by kind."""
        async with self._database.acquire() as connection:
            rows = await self._tickets_on(connection).instructions()
        return InstructionList(items=[InstructionView(**row) for row in rows])

    async def instruct(self, request: Request[InstructionBody, None]) -> Any:
        """Write or remove an instruction."""
        body, kind = request.body, request.path["kind"]
        if len(kind) > 200:
            raise NotFound("no such kind")

        async def work(connection: Connection) -> BaseModel:
            """Do it, in the transaction of the key."""
            tickets = self._tickets_on(connection)
            row = await tickets.instruction(kind)
            before = None if row is None else InstructionView(**row)
            after: InstructionView | None = None
            if body.text is not None and body.dry_run:
                after = InstructionView(
                    kind=kind,
                    text=body.text,
                    call=body.call,
                    queue=body.queue,
                    version=1 if before is None else before.version + 1,
                    updated_at=(await connection.fetchval("SELECT now()")),
                    updated_by=request.principal.name,
                )
            elif body.text is not None:
                after = InstructionView(
                    **await tickets.put_instruction(
                        kind, text=body.text, call=body.call, queue=body.queue, by=request.principal.name
                    )
                )
            elif not body.dry_run:
                await tickets.drop_instruction(kind)
            if not body.dry_run:
                await audit.record(
                    connection,
                    principal=request.principal,
                    action="instruction.change",
                    target=f"instruction:{kind}",
                    reason=body.reason,
                    before=before,
                    after=after,
                    request_id=request.request_id,
                )
            return InstructionChanged(kind=kind, before=before, after=after, dry_run=body.dry_run)

        return await self._once(request, work)

    async def _once(self, request: Request[Any, None], work: Callable[[Connection], Awaitable[BaseModel]]) -> Any:
        async def transaction() -> Any:
            async with self._database.transaction() as connection:
                return await once(connection, request, partial(work, connection))

        answer = await patiently(transaction, seconds=_CALL_SECONDS)
        self._wake()
        return answer

    async def _audit(
        self, connection: Connection, request: Request[Any, None], action: str, ticket_id: int, before: Any, after: Any
    ) -> None:
        principal: Principal = request.principal
        await audit.record(
            connection,
            principal=principal,
            action=action,
            target=f"ticket:{ticket_id}",
            reason=request.body.reason or request.body.said,
            before=before,
            after=after,
            request_id=request.request_id,
        )

    def _tagged(self, text: str, summon: Sequence[str]) -> str:
        if not summon:
            return text
        people = [person.shown for person in map(self._directory.person, summon) if person is not None]
        return f"{', '.join(people)}: {self._words['tell_customer']}. {text}"

    def _accounts(self, summon: Sequence[str]) -> tuple[str, ...]:
        people = (self._directory.person(name) for name in summon)
        return tuple(person.tracker for person in people if person is not None and person.tracker is not None)

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
