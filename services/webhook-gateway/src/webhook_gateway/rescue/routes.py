"""The addresses at which endangered orders are listed, mended, resubmitted, reported and closed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from common.clock import Clock
from common.errors import Conflict, InvalidInput, NotFound, Unprocessable
from common.http import OPERATOR, VIEWER, Answer, Changes, Page, Request, Route, decode_cursor, page_of
from webhook_gateway.rescue import views
from webhook_gateway.rescue.close import close
from webhook_gateway.rescue.letter import letter_of
from webhook_gateway.rescue.mend import mend
from webhook_gateway.rescue.model import TO_RESCUE
from webhook_gateway.rescue.resubmit import resubmit
from webhook_gateway.rescue.store import EndangeredStore
from webhook_gateway.rescue.write_report import Addresses, write_report

_ONE = "/admin/v1/endangered-orders/{id}"


class RescueRoutes:
    """Every change leaves an audit record in its own transaction, in which no customer is named."""

    def __init__(
        self,
        changes: Changes,
        store: EndangeredStore,
        *,
        addresses: Addresses,
        mail_due: Callable[[], None] | None,
        clock: Clock,
        replica: str,
        currency: str,
    ) -> None:
        """``mail_due`` is called when a report was committed; None: no mail is sent."""
        self._changes = changes
        self._store = store
        self._addresses = addresses
        self._mail_due = mail_due
        self._clock = clock
        self._replica = replica
        self._currency = currency

    def routes(self) -> list[Route]:
        """Return the addresses; lists are for viewers, changes for operators."""
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
                query=views.EndangeredQuery,
                response=Page[views.EndangeredOrder],
            ),
            change(
                path=_ONE + "/mend",
                handler=self.mend,
                summary="Keep a mended body",
                request=views.Mend,
                response=views.Rescued,
            ),
            change(
                path=_ONE + "/resubmit",
                handler=self.resubmit,
                summary="Make a real order of an endangered one",
                request=views.Resubmit,
                response=views.Resubmitted,
            ),
            read(
                path=_ONE + "/report",
                handler=self.report_file,
                summary="The drafted report, and those that were sent",
                response=views.ReportFile,
                errors=(NotFound,),
            ),
            change(
                path=_ONE + "/report",
                handler=self.report,
                summary="Complete the report and have it mailed",
                description="The mail goes after the answer; `GET` says what became of it. A dry run shows the letter.",
                request=views.WriteReport,
                response=views.WrittenReport,
                status=202,
            ),
            change(
                path=_ONE + "/close",
                handler=self.close,
                summary="Nothing more to do",
                request=views.Close,
                response=views.Rescued,
            ),
        ]

    async def endangered(self, request: Request[None, views.EndangeredQuery]) -> Page[views.EndangeredOrder]:
        """List endangered orders, the newest first."""
        query = request.query
        states = None if query.state is None else TO_RESCUE if query.state == "open" else (query.state,)
        rows = await self._store.page(
            states=states,
            category=query.category,
            only=None if query.id is None else _uuid(query.id),
            after=decode_cursor(query.cursor, datetime, str),
            limit=query.limit + 1,
        )
        return page_of(
            rows, limit=query.limit, item=_shown, key=lambda row: (row["received_at"].isoformat(), row["id"])
        )

    async def mend(self, request: Request[views.Mend, None]) -> Answer:
        """Keep a mended body."""
        return await self._changes.carry_out(
            request,
            lambda change: mend(change, self._store, _id(request), body=request.body.body, now=self._clock.now()),
        )

    async def resubmit(self, request: Request[views.Resubmit, None]) -> Answer:
        """Make a real order of an endangered one."""
        return await self._changes.carry_out(
            request,
            lambda change: resubmit(
                change,
                self._store,
                _id(request),
                mended=request.body.body,
                now=self._clock.now(),
                replica=self._replica,
                currency=self._currency,
            ),
        )

    async def close(self, request: Request[views.Close, None]) -> Answer:
        """Say that nothing more is to be done."""
        return await self._changes.carry_out(
            request, lambda change: close(change, self._store, _id(request), now=self._clock.now())
        )

    async def report(self, request: Request[views.WriteReport, None]) -> Answer:
        """Complete the report; it is mailed after the answer."""
        return await self._changes.carry_out(
            request,
            lambda change: write_report(
                change,
                self._store,
                _id(request),
                cause=request.body.cause,
                remedy=request.body.remedy,
                addresses=self._addresses,
                mail_due=self._mail_due,
                now=self._clock.now(),
            ),
        )

    async def report_file(self, request: Request[None, None]) -> views.ReportFile:
        """Show the draft and what was sent."""
        endangered_id = request.path_uuid("id")
        order = await self._store.order(endangered_id)
        if order is None:
            raise NotFound("no such endangered order")
        letter = letter_of(order, cause=None, remedy=None)
        rows = await self._store.reports(endangered_id)
        return views.ReportFile(
            draft=views.Draft(
                recipient=self._addresses.to,
                copies=list(self._addresses.copies),
                subject=letter.subject,
                text=letter.text,
            ),
            reports=[views.SentReport(**dict(row)) for row in rows],
        )


def _id(request: Request[Any, None]) -> str:
    return str(request.path_uuid("id"))


def _shown(row: Any) -> views.EndangeredOrder:
    values = dict(row)
    mended = values.pop("mended_body")
    body = views.text_or_none(values.pop("body"))
    return views.EndangeredOrder(**values, body=body, mended=None if mended is None else views.text_or_none(mended))


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise InvalidInput("id is no UUID") from None
