"""The mirror of the duty roster for operators without access to the original (M24): a page and a calendar. Names only, no phones."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from aiohttp import web

from common.clock import Clock
from common.http import Request, Route
from common.postgres import Connection, Database
from notifier.duty import views as models
from notifier.duty.calendar import calendar
from notifier.duty.roster import Shift
from notifier.duty.roster_store import RosterReader
from notifier.duty.routes import final_shifts
from notifier.messages.words import Words
from notifier.people.model import Directory

_DAY_AND_TIME = "%d.%m.%Y %H:%M"


class OnCallCalendar:
    """The handlers; ``routes`` is the table of them."""

    def __init__(
        self,
        *,
        database: Database,
        reader_on: Callable[[Connection], RosterReader],
        directory: Directory,
        words: Words,
        clock: Clock,
    ) -> None:
        self._database = database
        self._reader_on = reader_on
        self._directory = directory
        self._words = words
        self._clock = clock

    async def page(self, request: Request[None, None]) -> web.StreamResponse:
        """Answer the calendar as a page: names and times, no phone numbers. As JSON for whoever asks for that."""
        now = self._clock.now()
        async with self._database.acquire() as connection:
            reader = self._reader_on(connection)
            plan, _ = await reader.versioned()
            found = () if plan is None else await final_shifts(reader, plan, now)
        headers = {"Cache-Control": "no-store"}
        ahead = [shift for shift in found if shift.ends_at > now]
        if "application/json" in request.raw.headers.get("Accept", ""):
            items = [self._named(shift).model_dump(mode="json") for shift in ahead]
            return web.json_response({"items": items}, headers=headers)
        zone = ZoneInfo("UTC" if plan is None else plan.zone)
        text = self._html(ahead, now, zone)
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=headers)

    async def ics(self, _request: Request[None, None]) -> web.StreamResponse:
        """Answer the calendar as a file that calendars follow."""
        now = self._clock.now()
        async with self._database.acquire() as connection:
            reader = self._reader_on(connection)
            plan, _ = await reader.versioned()
            found = () if plan is None else await final_shifts(reader, plan, now)
        text = calendar(
            found, self._directory, now=now, name=self._words["roster.name"], nobody=self._words["roster.nobody"]
        )
        return web.Response(
            text=text, content_type="text/calendar", charset="utf-8", headers={"Cache-Control": "no-store"}
        )

    def _named(self, shift: Shift) -> models.ShiftView:
        return models.ShiftView(
            starts_at=shift.starts_at,
            ends_at=shift.ends_at,
            on_duty=None if shift.on_duty is None else self._directory.name_of(shift.on_duty),
            backup=None if shift.backup is None else self._directory.name_of(shift.backup),
        )

    def _html(self, ahead: Sequence[Shift], now: datetime, zone: ZoneInfo) -> str:
        rows = []
        for shift in ahead:
            who = self._words["roster.nobody"] if shift.on_duty is None else self._directory.name_of(shift.on_duty)
            backup = "" if shift.backup is None else self._directory.name_of(shift.backup)
            times = [moment.astimezone(zone).strftime(_DAY_AND_TIME) for moment in (shift.starts_at, shift.ends_at)]
            mark = ' class="now"' if shift.starts_at <= now < shift.ends_at else ""
            cells = "".join(f"<td>{html.escape(text)}</td>" for text in (*times, who, backup))
            rows.append(f"<tr{mark}>{cells}</tr>")
        title = html.escape(self._words["roster.name"])
        return (
            f'<!doctype html><html lang="{self._words.language}"><head><meta charset="utf-8"><title>{title}</title>'
            "<style>body{font-family:sans-serif}td{padding:.3em 1em}.now{font-weight:bold}</style></head>"
            f'<body><h1>{title}</h1><p>{html.escape(zone.key)} · <a href="/on-call.ics">.ics</a></p>'
            f"<table>{''.join(rows)}</table></body></html>"
        )

    def routes(self) -> list[Route]:
        """Return the two routes."""
        return [
            Route(method="GET", path="/on-call", handler=self.page, summary="The calendar as a page", tags=("mirror",)),
            Route(
                method="GET", path="/on-call.ics", handler=self.ics, summary="The calendar as a file", tags=("mirror",)
            ),
        ]
