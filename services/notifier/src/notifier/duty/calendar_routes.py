"""The calendar for operators without access to the original: a page and a file. Names only, no phone numbers."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from aiohttp import web

from common.clock import Clock
from common.http import Request, Route
from common.postgres import Database
from notifier.duty.calendar import calendar, names_digest, with_names
from notifier.duty.roster import Plan, Shift
from notifier.duty.roster_store import NO_PLAN, RosterReader
from notifier.duty.views import ShiftView
from notifier.messages.words import Words
from notifier.people.model import Directory

_DAY_AND_TIME = "%d.%m.%Y %H:%M"
_HEADERS = {"Cache-Control": "no-store"}


class OnCallCalendar:
    """``GET /on-call`` and ``GET /on-call.ics``: the final shifts of the next weeks, as everything else of the roster sees them."""

    def __init__(self, *, database: Database, directory: Directory, words: Words, clock: Clock) -> None:
        self._database = database
        self._directory = directory
        self._words = words
        self._clock = clock

    async def page(self, request: Request[None, None]) -> web.StreamResponse:
        """Answer the shifts that are not over as a page, as JSON for whoever asks for that."""
        now = self._clock.now()
        plan, found, _ = await self._shifts(now)
        ahead = [shift for shift in found if shift.ends_at > now]
        if "application/json" in request.raw.headers.get("Accept", ""):
            items = [ShiftView.model_validate(shift, from_attributes=True).model_dump(mode="json") for shift in ahead]
            return web.json_response({"items": items}, headers=_HEADERS)
        text = self._html(ahead, now, ZoneInfo(plan.zone))
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=_HEADERS)

    async def ics(self, _request: Request[None, None]) -> web.StreamResponse:
        """Answer the shifts as a file that calendars follow."""
        now = self._clock.now()
        plan, found, (revision, changed_at) = await self._shifts(now)
        body = calendar(
            found,
            revision=revision,
            changed_at=changed_at,
            zone=plan.zone,
            name=self._words["roster.name"],
            nobody=self._words["roster.nobody"],
        )
        return web.Response(body=body, content_type="text/calendar", charset="utf-8", headers=_HEADERS)

    async def _shifts(self, now: datetime) -> tuple[Plan, Sequence[Shift], tuple[int, datetime]]:
        async with self._database.acquire() as connection:
            reader = RosterReader(connection)
            # The number first: what is newer than it has a larger one the next time, and never the same.
            revision = await reader.revision(names=names_digest(self._directory))
            plan, found = await reader.plan(), await reader.final_shifts(now)
        return plan or NO_PLAN, [with_names(shift, self._directory) for shift in found], revision

    def _html(self, ahead: Sequence[Shift], now: datetime, zone: ZoneInfo) -> str:
        rows = []
        for shift in ahead:
            times = [moment.astimezone(zone).strftime(_DAY_AND_TIME) for moment in (shift.starts_at, shift.ends_at)]
            mark = ' class="now"' if shift.starts_at <= now < shift.ends_at else ""
            who = self._words["roster.nobody"] if shift.on_duty is None else shift.on_duty
            cells = "".join(f"<td>{html.escape(text)}</td>" for text in (*times, who, shift.backup or ""))
            rows.append(f"<tr{mark}>{cells}</tr>")
        title = html.escape(self._words["roster.name"])
        return (
            f'<!doctype html><html lang="{self._words.language}"><head><meta charset="utf-8"><title>{title}</title>'
            "<style>body{font-family:sans-serif}td{padding:.3em 1em}.now{font-weight:bold}</style></head>"
            f'<body><h1>{title}</h1><p>{html.escape(zone.key)} · <a href="/on-call.ics">.ics</a></p>'
            f"<table>{''.join(rows)}</table></body></html>"
        )

    def routes(self) -> list[Route]:
        """Return the two routes, open to anybody who reaches the service."""
        return [
            Route(method="GET", path="/on-call", handler=self.page, summary="The calendar as a page", tags=("mirror",)),
            Route(
                method="GET", path="/on-call.ics", handler=self.ics, summary="The calendar as a file", tags=("mirror",)
            ),
        ]
