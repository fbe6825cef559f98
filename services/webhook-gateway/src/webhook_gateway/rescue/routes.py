"""The desk where endangered orders are saved, over HTTP (M5, M6)."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel

from common.clock import Clock
from common.errors import Conflict, InvalidInput, NotFound, Unprocessable
from common.http import OPERATOR, VIEWER, AdminChange, Page, Request, Route, audit, decode_cursor, once, page_of
from common.postgres import Connection, Database
from common.telemetry import inject
from webhook_gateway.rescue import letter as report
from webhook_gateway.rescue.model import TO_RESCUE
from webhook_gateway.rescue.resubmit import close, mend, resubmit
from webhook_gateway.rescue.views import (
    Close,
    Draft,
    EndangeredOrder,
    EndangeredQuery,
    Mend,
    ReportFile,
    Rescued,
    Resubmit,
    Resubmitted,
    SentReport,
    WriteReport,
    WrittenReport,
)
from webhook_gateway.rescue.write_report import Addresses, report_endangered
from webhook_gateway.website.ports import RescueReads, RescueUnit

ChangeT = TypeVar("ChangeT", bound=AdminChange)
_ONE = "/admin/v1/endangered-orders/{id}"


class RescueDesk:
    """Every change leaves an audit record in its own transaction (CONTRACT 2), in which no customer is named."""

    def __init__(
        self,
        database: Database,
        *,
        reads: RescueReads,
        unit: Callable[[Connection, bool], RescueUnit],
        addresses: Addresses,
        clock: Clock,
        replica: str,
        currency: str,
        wake: Callable[[], None],
    ) -> None:
        """``unit`` makes the unit of work of a transaction; its flag says that nothing is to change. ``wake`` is called after a commit."""
        self._database = database
        self._reads = reads
        self._unit = unit
        self._addresses = addresses
        self._clock = clock
        self._replica = replica
        self._currency = currency
        self._wake = wake

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        read = partial(Route, method="GET", roles=VIEWER, tags=("endangered",))
        change = partial(
            Route,
            method="POST",
            roles=OPERATOR,
            tags=("endangered",),
            idempotent=True,
            errors=(NotFound, Conflict, Unprocessable),
        )
        return [
            read(
                path="/admin/v1/endangered-orders",
                handler=self.endangered,
                summary="Website orders that were not answered 201",
                query=EndangeredQuery,
                response=Page[EndangeredOrder],
            ),
            change(
                path=_ONE + "/mend", handler=self.mend, summary="Keep a mended body", request=Mend, response=Rescued
            ),
            change(
                path=_ONE + "/resubmit",
                handler=self.resubmit,
                summary="Make a real order of an endangered one",
                request=Resubmit,
                response=Resubmitted,
            ),
            read(
                path=_ONE + "/report",
                handler=self.report_file,
                summary="The drafted report, and those that were sent",
                response=ReportFile,
                errors=(NotFound,),
            ),
            change(
                path=_ONE + "/report",
                handler=self.report,
                summary="Complete the report and have it mailed",
                description="The mail goes after the answer; `GET` tells what became of it. A dry run shows the letter.",
                request=WriteReport,
                response=WrittenReport,
                status=202,
            ),
            change(
                path=_ONE + "/close", handler=self.close, summary="Nothing more to do", request=Close, response=Rescued
            ),
        ]

    async def endangered(self, request: Request[None, EndangeredQuery]) -> Page[EndangeredOrder]:
        """List endangered orders."""
        query = request.query
        states = None if query.state is None else TO_RESCUE if query.state == "open" else (query.state,)
        rows = await self._reads.endangered(
            states=states,
            category=query.category,
            only=None if query.id is None else _uuid(query.id),
            after=decode_cursor(query.cursor, datetime, str),
            limit=query.limit + 1,
        )
        page = page_of(
            rows, limit=query.limit, item=_shown, key=lambda row: (row["received_at"].isoformat(), row["id"])
        )
        return Page[EndangeredOrder](items=page.items, next_cursor=page.next_cursor)

    async def mend(self, request: Request[Mend, None]) -> Any:
        """Keep a mended body."""
        wanted, endangered_id = request.body, str(request.path_uuid("id"))

        async def work(connection: Connection) -> Rescued:
            """Keep and audit, in one transaction."""
            unit = self._unit(connection, wanted.dry_run)
            found, state = await mend(unit, endangered_id, body=wanted.body, now=self._clock.now())
            await self._audit(connection, request, "endangered_order.mend", found.state, {"state": state})
            return Rescued(id=endangered_id, state=state, dry_run=wanted.dry_run)

        return await self._change(request, work)

    async def resubmit(self, request: Request[Resubmit, None]) -> Any:
        """Make a real order of an endangered one."""
        wanted, endangered_id = request.body, str(request.path_uuid("id"))

        async def work(connection: Connection) -> Resubmitted:
            """Send and audit, in one transaction."""
            before, state, hook = await resubmit(
                self._unit(connection, wanted.dry_run),
                endangered_id,
                mended=wanted.body,
                now=self._clock.now(),
                replica=self._replica,
                currency=self._currency,
                traceparent=_traceparent(),
            )
            change = {"state": state, "number": hook.number, "mended": wanted.body is not None}
            await self._audit(connection, request, "endangered_order.resubmit", before.state, change)
            return Resubmitted(
                id=endangered_id,
                state=state,
                delivery_id=hook.delivery_id,
                event=hook.event,
                number=hook.number or "",
                dry_run=wanted.dry_run,
            )

        return await self._change(request, work)

    async def close(self, request: Request[Close, None]) -> Any:
        """Say that nothing more is to be done."""
        wanted, endangered_id = request.body, str(request.path_uuid("id"))

        async def work(connection: Connection) -> Rescued:
            """Close and audit, in one transaction."""
            unit = self._unit(connection, wanted.dry_run)
            found = await close(unit, endangered_id, now=self._clock.now(), traceparent=_traceparent())
            await self._audit(connection, request, "endangered_order.close", found.state, {"state": "closed"})
            return Rescued(id=endangered_id, state="closed", dry_run=wanted.dry_run)

        return await self._change(request, work)

    async def report_file(self, request: Request[None, None]) -> ReportFile:
        """Show the draft and what was sent."""
        endangered_id = request.path_uuid("id")
        order = await self._reads.order(endangered_id)
        if order is None:
            raise NotFound("no such endangered order")
        letter = report.write(order, cause=None, remedy=None)
        rows = await self._reads.reports(endangered_id)
        return ReportFile(
            draft=Draft(
                recipient=self._addresses.to,
                copies=list(self._addresses.copies),
                subject=letter.subject,
                text=letter.text,
            ),
            reports=[SentReport(**dict(row)) for row in rows],
        )

    async def report(self, request: Request[WriteReport, None]) -> Any:
        """Complete the report; it is mailed after the answer."""
        wanted, endangered_id = request.body, str(request.path_uuid("id"))

        async def work(connection: Connection) -> WrittenReport:
            """Keep the intention and audit, in one transaction."""
            found, written = await report_endangered(
                self._unit(connection, wanted.dry_run),
                endangered_id,
                cause=wanted.cause,
                remedy=wanted.remedy,
                author=request.principal.name,
                addresses=self._addresses,
                now=self._clock.now(),
                traceparent=_traceparent(),
            )
            change = {"report_id": written.id, "message_id": written.message_id}
            await self._audit(connection, request, "endangered_order.report", found.state, change)
            return WrittenReport(
                id=None if wanted.dry_run else written.id,
                endangered_id=endangered_id,
                state="draft" if wanted.dry_run else "waiting",
                message_id=None if wanted.dry_run else written.message_id,
                sender=written.sender,
                recipient=written.recipient,
                copies=list(written.copies),
                subject=written.subject,
                text=written.text,
                dry_run=wanted.dry_run,
            )

        return await self._change(request, work)

    async def _change(self, request: Request[ChangeT, None], work: Callable[[Connection], Awaitable[BaseModel]]) -> Any:
        async with self._database.transaction() as connection:
            answer = await once(connection, request, lambda: work(connection))
        self._wake()
        return answer

    async def _audit(
        self,
        connection: Connection,
        request: Request[ChangeT, None],
        action: str,
        before: str,
        after: Mapping[str, Any],
    ) -> None:
        if request.body.dry_run:
            return
        await audit.record(
            connection,
            principal=request.principal,
            action=action,
            target=f"endangered:{request.path['id']}",
            reason=request.body.reason,
            before={"state": before},
            after=dict(after),
            request_id=request.request_id,
        )


def _shown(row: Any) -> EndangeredOrder:
    values = dict(row)
    mended = values.pop("mended_body")
    body = _text(values.pop("body"))
    return EndangeredOrder(**values, body=body, mended=None if mended is None else _text(mended))


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise InvalidInput("id is no UUID") from None


def _traceparent() -> str | None:
    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier.get("traceparent")
