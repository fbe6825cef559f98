"""The addresses at which endangered orders are found, mended, resubmitted, reported and closed, one or many at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Literal

from common.clock import Clock
from common.errors import Conflict, InvalidInput, NotFound, Unprocessable
from common.http import (
    BULK_ERRORS,
    AdminChange,
    Answer,
    Bulk,
    BulkAnswer,
    BulkDone,
    Change,
    Changes,
    Page,
    Request,
    Route,
    change_route,
    listed,
    read_route,
)
from webhook_gateway.hooks.sending import Sending
from webhook_gateway.rescue import views
from webhook_gateway.rescue.call import call
from webhook_gateway.rescue.close import close
from webhook_gateway.rescue.letter import letter_of
from webhook_gateway.rescue.mend import NO_OBJECT, CurrencyOf, mend
from webhook_gateway.rescue.metrics import RescueMetrics
from webhook_gateway.rescue.report_store import ReportQueue
from webhook_gateway.rescue.resubmit import resubmit
from webhook_gateway.rescue.search import EndangeredSearch, select_endangered
from webhook_gateway.rescue.store import EndangeredStore, as_mended, uuid_or_none
from webhook_gateway.rescue.write_report import Addresses, ReportOnMany, ReportWriting, write_report
from webhook_gateway.website.model import read_order

_ALL = "/admin/v1/endangered-orders"
_ONE = _ALL + "/{id}"


class RescueRoutes:
    """Every change leaves an audit record in its own transaction, in which no customer is named."""

    def __init__(
        self,
        changes: Changes,
        store: EndangeredStore,
        search: EndangeredSearch,
        reports: ReportQueue,
        *,
        addresses: Addresses,
        mail_due: Callable[[], None] | None,
        metrics: RescueMetrics,
        clock: Clock,
        sending: Sending,
        currency_of: CurrencyOf,
    ) -> None:
        """``mail_due`` is called when a report was committed; None: no mail is sent."""
        self._changes = changes
        self._store = store
        self._search = search
        self._reports = reports
        self._addresses = addresses
        self._mail_due = mail_due
        self._metrics = metrics
        self._clock = clock
        self._sending = sending
        self._currency_of = currency_of

    def routes(self) -> list[Route]:
        """Return the addresses; lists are for viewers, changes for operators."""
        read = partial(read_route, tags=("endangered",))
        change = partial(change_route, tags=("endangered",), errors=(NotFound, Conflict, Unprocessable))
        bulk = partial(change, response=BulkAnswer, errors=BULK_ERRORS)
        return [
            read(
                _ALL,
                self.endangered,
                "Website orders that were not answered 201",
                Page[views.EndangeredOrder],
                query=views.EndangeredQuery,
            ),
            bulk(
                "POST",
                _ALL + "/resubmit",
                self.resubmit_many,
                "Make real orders of many endangered ones",
                request=views.ResubmitMany,
                response=views.OrdersResubmitted,
            ),
            bulk(
                "POST",
                _ALL + "/report",
                self.report_on_many,
                "One report on many endangered orders",
                description="One letter covers all that can be reported; the mail goes after the answer.",
                request=views.ReportMany,
            ),
            bulk("POST", _ALL + "/close", self.close_many, "Nothing more to do with many", request=views.CloseMany),
            read(_ONE, self.one, "One endangered order", views.WholeEndangeredOrder, errors=(NotFound,)),
            change("POST", _ONE + "/mend", self.mend, "Keep a mended body", request=views.Mend, response=views.Rescued),
            change(
                "POST",
                _ONE + "/resubmit",
                self.resubmit,
                "Make a real order of an endangered one",
                description="Where orders within a day look like it (`duplicates`), it needs `despite_duplicates`; a dry run names them.",
                request=views.Resubmit,
                response=views.Resubmitted,
            ),
            read(
                _ONE + "/report",
                self.report_file,
                "The drafted report, and those that were sent",
                views.ReportFile,
                errors=(NotFound,),
            ),
            change(
                "POST",
                _ONE + "/report",
                self.report,
                "Complete the report and have it mailed",
                description="The mail goes after the answer; `GET` says what became of it. A dry run shows the letter.",
                request=views.WriteReport,
                response=views.WrittenReport,
                status=202,
            ),
            change(
                "POST",
                _ONE + "/call",
                self.call,
                "The customer was called",
                description="Noted with whether she answered; the order stays in its state.",
                request=views.Call,
                response=views.Rescued,
            ),
            change(
                "POST", _ONE + "/close", self.close, "Nothing more to do", request=views.Close, response=views.Rescued
            ),
            change(
                "POST",
                _ONE + "/own-test",
                self.own_test,
                "It was a test of our own",
                description="Closes it with the outcome `own_test`, which is counted apart.",
                request=AdminChange,
                response=views.Rescued,
            ),
        ]

    async def endangered(self, request: Request[None, views.EndangeredQuery]) -> Page[views.EndangeredOrder]:
        """List endangered orders, the newest first."""
        query = request.query
        only = None if query.id is None else uuid_or_none(query.id)
        if query.id is not None and only is None:
            raise InvalidInput("id is no UUID")

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
            """Return the statement of a page and its values."""
            return select_endangered(query, only=only, after=after, limit=limit)

        return await listed(self._search.database, query, select, key={"received_at": datetime, "id": str}, item=_shown)

    async def one(self, request: Request[None, None]) -> views.WholeEndangeredOrder:
        """Show one endangered order."""
        row = await self._search.one(request.path_uuid("id"))
        if row is None:
            raise NotFound("no such endangered order")
        found, duplicates = await self._store.duplicates(row["id"])
        order = read_order(found.body, currency=self._currency_of(found.order.source))
        faults = (NO_OBJECT,) if order is None else order.problems
        return views.WholeEndangeredOrder(
            **_shown(row).model_dump(),
            faults=[views.Fault.model_validate(one, from_attributes=True) for one in faults],
            duplicates=[views.LikelyDuplicate.of(one) for one in duplicates],
        )

    async def call(self, request: Request[views.Call, None]) -> Answer:
        """Note a call to the customer."""
        work = partial(call, store=self._store, reached=request.body.reached, now=self._clock.now())
        return await self._changes.carry_out(request, lambda change: work(change, _id(request)))

    async def mend(self, request: Request[views.Mend, None]) -> Answer:
        """Keep a mended body."""
        return await self._changes.carry_out(
            request,
            lambda change: mend(
                change,
                self._store,
                _id(request),
                body=request.body.body,
                expected_version=request.body.expected_version,
                currency_of=self._currency_of,
                now=self._clock.now(),
            ),
        )

    async def resubmit(self, request: Request[views.Resubmit, None]) -> Answer:
        """Make a real order of an endangered one."""
        asked = request.body
        work = self._resubmitting(asked.body, despite_duplicates=asked.despite_duplicates, preview=asked.dry_run)
        version = asked.expected_version
        return await self._changes.carry_out(
            request, lambda change: work(change, _id(request), expected_version=version)
        )

    async def resubmit_many(self, request: Request[views.ResubmitMany, None]) -> Answer:
        """Make real orders of many."""
        resubmitting = self._resubmitting(None, despite_duplicates=request.body.despite_duplicates, preview=False)

        async def _work(change: Change, endangered_id: str) -> BulkDone:
            done = await resubmitting(change, endangered_id)
            warnings = [f"looks like {one.number or one.id}" for one in done.duplicates]
            extra = {"warnings": warnings, **done.model_dump(include={"goods", "total", "currency"})}
            return BulkDone(outcome="resubmitted", detail=done.number, extra=extra)

        many = replace(self._bulk("endangered_order.resubmit", _work), answer=views.OrdersResubmitted)
        return await many.carry_out(self._changes, request)

    def _resubmitting(self, body: object | None, *, despite_duplicates: bool, preview: bool) -> Any:
        return partial(
            resubmit,
            store=self._store,
            mended=body,
            despite_duplicates=despite_duplicates,
            preview=preview,
            sending=self._sending,
            currency_of=self._currency_of,
        )

    async def close(self, request: Request[views.Close, None]) -> Answer:
        """Say that nothing more is to be done."""
        work = self._closing(request.body.outcome)
        return await self._changes.carry_out(request, lambda change: work(change, _id(request)))

    async def own_test(self, request: Request[AdminChange, None]) -> Answer:
        """Say that it was a test."""
        work = self._closing("own_test")
        return await self._changes.carry_out(request, lambda change: work(change, _id(request)))

    async def close_many(self, request: Request[views.CloseMany, None]) -> Answer:
        """Close many."""
        closing = self._closing(request.body.outcome)

        async def _work(change: Change, endangered_id: str) -> BulkDone:
            await closing(change, endangered_id)
            return BulkDone(outcome="closed", detail=request.body.outcome)

        return await self._bulk("endangered_order.close", _work).carry_out(self._changes, request)

    def _closing(self, outcome: Literal["done", "own_test"]) -> Any:
        return partial(close, store=self._store, outcome=outcome, closed=self._metrics.closed, now=self._clock.now())

    async def report(self, request: Request[views.WriteReport, None]) -> Answer:
        """Complete the report; it is mailed after the answer."""
        writing = self._writing(request.body)
        return await self._changes.carry_out(request, lambda change: write_report(change, writing, _id(request)))

    async def report_on_many(self, request: Request[views.ReportMany, None]) -> Answer:
        """Complete one report on many orders; it is mailed after the answer."""
        work = ReportOnMany(self._writing(request.body))
        return await self._bulk("endangered_order.report", work).carry_out(self._changes, request)

    def _writing(self, said: views.CauseAndRemedy) -> ReportWriting:
        return ReportWriting(
            store=self._store,
            addresses=self._addresses,
            mail_due=self._mail_due,
            cause=said.cause,
            remedy=said.remedy,
            now=self._clock.now(),
        )

    async def report_file(self, request: Request[None, None]) -> views.ReportFile:
        """Show the draft and what was sent."""
        endangered_id = request.path_uuid("id")
        order = await self._store.order(endangered_id)
        if order is None:
            raise NotFound("no such endangered order")
        letter = letter_of([order], cause=None, remedy=None)
        rows = await self._reports.reports(endangered_id)
        return views.ReportFile(
            draft=views.Draft(
                recipient=self._addresses.to,
                copies=list(self._addresses.copies),
                subject=letter.subject,
                text=letter.text,
            ),
            reports=[views.SentReport(**dict(row)) for row in rows],
        )

    def _bulk(self, operation: str, work: Callable[[Change, str], Any]) -> Bulk[str]:
        return Bulk(operation=operation, find=self._search.find, lock=self._store.lock_all, work=work)


def _id(request: Request[Any, None]) -> str:
    return str(request.path_uuid("id"))


def _shown(row: Any) -> views.EndangeredOrder:
    values = dict(row)
    mended = values.pop("mended_body")
    body = views.text_or_none(values.pop("body"))
    if mended is not None:
        values |= as_mended(values, mended)
    return views.EndangeredOrder(**values, body=body, mended=None if mended is None else views.text_or_none(mended))
