"""Endangered orders: the board over the list, and one with all that helps to get its customer back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from common.http import Route
from console.client.acts import ACTS
from console.client.operations import filled
from console.client.suite import Page, or_none
from console.client.things import THINGS
from console.web.asking import page_or_none
from console.web.endangered.difference import difference
from console.web.lists.filtering import acts_of
from console.web.lists.routes import Around
from console.web.marked import marked, pretty
from console.web.pages import Console, Visit

BOARD = ("new", "mended", "resubmitted", "reported")
"""States of the board, in the order of the way; what is closed is only in the list."""
_EACH = 10


def routes(console: Console) -> list[Route]:
    """Return the route of one endangered order."""
    return [console.get("/e/{name}", _order, summary="One endangered order")]


async def _above(visit: Visit, _page: Page) -> Mapping[str, Any]:
    if any(visit.raw.query.values()):
        return {"board": {}}  # who has chosen wants the list
    pages = await asyncio.gather(
        *(page_or_none(visit.person.suite, "endangered", state=state, limit=_EACH, count=True) for state in BOARD)
    )
    return {"board": dict(zip(BOARD, pages, strict=True))}


AROUND = Around("endangered/list.html", _above)


async def _order(visit: Visit) -> web.StreamResponse:
    name, suite = visit.path["name"], visit.person.suite
    item, report = await asyncio.gather(
        THINGS["endangered"].read(suite, name),
        or_none(suite.get("webhook-gateway", filled("/admin/v1/endangered-orders/{id}/report", id=name))),
    )
    shown = item["body"] if item["mended"] is None else item["mended"]
    return visit.page(
        "endangered/order.html",
        name=name,
        item=item,
        report=report,
        changed=difference(item["body"], item["mended"]),
        lines=None if shown is None else marked(shown, item["faults"]),
        text="" if shown is None else pretty(shown),
        acts=acts_of("endangered"),
        mend=ACTS["endangered mend"],
    )
