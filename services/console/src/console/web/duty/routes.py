"""Who is on duty, week by week; the calendar that phones and desks subscribe to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import quote

from aiohttp import web
from babel.dates import format_date

from common.http import Route
from console.client.acts import ACTS
from console.client.suite import Suite, or_none
from console.web.duty.calendar import is_sealed, seal
from console.web.duty.weeks import weeks
from console.web.pages import Console, Visit


def routes(console: Console) -> list[Route]:
    """Return the routes of the roster and of its calendar."""
    return [
        console.get("/duty", _duty, summary="The weeks ahead"),
        console.get("/calendar/{name}/{seal}", _calendar, summary="The roster for calendars, by its link", public=True),
    ]


async def _duty(visit: Visit) -> web.StreamResponse:
    suite, me = visit.person.suite, visit.person.name
    on_call, roster, people = await asyncio.gather(
        suite.get("notifier", "/admin/v1/on-call"), suite.get("notifier", "/admin/v1/roster"), _people(suite)
    )
    named = {each["id"]: each["name"] for each in people}
    path = f"/calendar/{quote(me, safe='')}/{seal(me, visit.console.settings.session_key)}.ics"
    return visit.page(
        "duty/duty.html",
        on_call=on_call,
        roster=roster,
        people=people,
        names=named,
        weeks=[(day.isoformat(), _week(visit, day, who, named)) for day, who in weeks(roster).items()],
        calendar=path,
        calendar_url=f"{visit.console.settings.origin or visit.raw.url.origin()}{path}",
        override=ACTS["duty override"],
        undo=ACTS["duty undo"],
        confirm=ACTS["duty confirm"],
    )


def _week(visit: Visit, day: date, who: Sequence[str], named: Mapping[str, str]) -> str:
    people = (named.get(each, each) or visit.words("nobody is on duty") for each in who)
    return f"{format_date(day, 'd MMM y', locale=visit.language)} · {', '.join(people)}"


async def _people(suite: Suite) -> Sequence[Mapping[str, Any]]:
    """Return who may stand in; nobody where the notifier does not say, for the form then takes any name."""
    said = await or_none(suite.get("notifier", "/admin/v1/people"))
    return list(said["people"]) if said else ()


async def _calendar(visit: Visit) -> web.StreamResponse:
    """Answer the notifier's own calendar, which is open to its network, to whoever has a link of ours."""
    given = visit.path["seal"].removesuffix(".ics")
    if not is_sealed(visit.path["name"], given, visit.console.settings.session_key):
        raise web.HTTPNotFound
    text = await visit.console.people.nobody().get("notifier", "/on-call.ics")
    return web.Response(text=str(text), content_type="text/calendar", charset="utf-8")
