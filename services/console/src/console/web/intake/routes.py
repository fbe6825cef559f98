"""Intake: over the list of deliveries what waits for a person and who sends; one delivery with its body."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from common.http import Route
from console.client.acts import ACTS
from console.client.sources import sources
from console.client.suite import Page, or_none
from console.client.things import THINGS, services_with, thing_of
from console.web.asking import page_or_none
from console.web.lists.filtering import acts_of
from console.web.lists.routes import Around
from console.web.marked import marked, pretty
from console.web.pages import Console, Visit

_MOST_COUNTDOWNS = 20


def routes(console: Console) -> list[Route]:
    """Return the route of one delivery."""
    return [console.get("/d/{name}", _delivery, summary="One delivery")]


async def _above(visit: Visit, _page: Page) -> Mapping[str, Any]:
    suite = visit.person.suite
    holders = services_with("dead-letter")
    undecided, unarrived, countdowns, known, *letters = await asyncio.gather(
        page_or_none(suite, "intake", outcome="quarantined", undecided=True, limit=1, count=True),
        page_or_none(suite, "unarrived", limit=1, count=True),
        page_or_none(suite, "countdown", state="running", limit=_MOST_COUNTDOWNS),
        or_none(sources(suite)),
        *(or_none(thing_of("dead-letter", service).page(suite, open=True, limit=1, count=True)) for service in holders),
    )
    return {
        "undecided": undecided,
        "unarrived": unarrived,
        "countdowns": countdowns,
        "sources": known,
        "letters": dict(zip(holders, letters, strict=True)),
        "enter_event": ACTS["order enter-event"],
    }


AROUND = Around("intake/list.html", _above)


async def _delivery(visit: Visit) -> web.StreamResponse:
    name = visit.path["name"]
    item = await THINGS["intake"].read(visit.person.suite, name)
    body = item["body"]
    return visit.page(
        "intake/delivery.html",
        name=name,
        item=item,
        lines=None if body is None else marked(body, item["faults"]),
        text="" if body is None else pretty(body),
        acts=acts_of("intake"),
        mend=ACTS["intake mend"],
    )
