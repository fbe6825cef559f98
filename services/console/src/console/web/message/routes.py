"""One message with its copies; what is silenced now; the routes tried on events, those of the past too."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from common.http import Route
from console.client.acts import ACTS
from console.client.operations import Field, operation
from console.client.suite import Page, Suite, or_none
from console.client.things import THINGS
from console.web.asking import page_or_none
from console.web.lists.routes import Around
from console.web.pages import Console, Visit

_TRIAL = "/admin/v1/routes/dry-run"
_ASKED = ("kind", "severity", "service", "source", "store_id", "zone", "environment", "alert")
_DAYS = 7
_MOST_PAST = 1000


def routes(console: Console) -> list[Route]:
    """Return the routes of a message and of the trial of routes."""
    return [
        console.get("/m/{name}", _message, summary="One message"),
        console.get("/messages/routes", _trial, summary="Try the routes on an event"),
    ]


async def _message(visit: Visit) -> web.StreamResponse:
    name, suite = visit.path["name"], visit.person.suite
    item = await THINGS["message"].read(suite, name)
    told = any(each["destination"] for each in item["deliveries"])
    today = await _today(suite, item["notice_id"])
    return visit.page("message/message.html", name=name, item=item, told=told, today=today)


async def _today(suite: Suite, notice: str) -> Sequence[Mapping[str, Any]] | None:
    """Return whom the routes of today would tell of the same event; None when nobody knows."""
    said = await or_none(suite.send("notifier", "POST", _TRIAL, {"notice": notice}))
    return said and list(said["targets"])


async def _trial(visit: Visit) -> web.StreamResponse:
    given = {name: text.strip() for name, text in visit.raw.query.items() if name in _ASKED and text.strip()}
    suite = visit.person.suite
    since = (datetime.now(UTC) - timedelta(days=_DAYS)).isoformat()
    asked = [suite.send("notifier", "POST", _TRIAL, {"past": {"since": since, "limit": _MOST_PAST}})]
    if "kind" in given:
        asked.append(suite.send("notifier", "POST", _TRIAL, given))
    past, *event = await asyncio.gather(*asked)
    return visit.page(
        "message/trial.html",
        fields=_fields(),
        given=given,
        days=_DAYS,
        past=past["past"],
        targets_=event[0]["targets"] if event else None,
    )


def _fields() -> tuple[Field, ...]:
    known = {field.name: field for field in operation("notifier", f"POST {_TRIAL}").body}
    return tuple(known[name] for name in _ASKED)


async def _around(visit: Visit, _page: Page) -> Mapping[str, Any]:
    page = await page_or_none(visit.person.suite, "silence")
    silences = None if page is None else page.items
    return {"silences": silences, "add_silence": ACTS["silence add"], "end_silence": ACTS["silence end"]}


AROUND = Around("message/list.html", _around)
"""What stands around the list of messages: the silences, and the way to the trial of routes."""
