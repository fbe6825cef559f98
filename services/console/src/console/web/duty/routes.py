"""Who is on duty, week by week."""

from __future__ import annotations

import asyncio

from aiohttp import web

from common.http import Route
from console.client.acts import ACTS
from console.web.pages import Console, Visit


def routes(console: Console) -> list[Route]:
    """Return the route of the roster."""
    return [console.get("/duty", _duty, summary="The weeks ahead")]


async def _duty(visit: Visit) -> web.StreamResponse:
    suite = visit.person.suite
    on_call, roster = await asyncio.gather(
        suite.get("notifier", "/admin/v1/on-call"), suite.get("notifier", "/admin/v1/roster")
    )
    return visit.page(
        "duty/duty.html",
        on_call=on_call,
        roster=roster,
        override=ACTS["duty override"],
        undo=ACTS["duty undo"],
        confirm=ACTS["duty confirm"],
    )
