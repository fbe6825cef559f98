"""The switches of the tips service, how well it agrees with the own rules, and its rules applied to one order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from common.http import Route
from console.client.acts import ACTS
from console.client.suite import RefusedError, or_none
from console.client.things import THINGS
from console.web.lists.filtering import moment_of
from console.web.pages import Console, NotUnderstoodError, Visit


def routes(console: Console) -> list[Route]:
    """Return the route of tips."""
    return [console.get("/tips", _tips, summary="Switches, agreement of shadow mode, and one order explained")]


async def _tips(visit: Visit) -> web.StreamResponse:
    suite = visit.person.suite
    number = visit.raw.query.get("order", "").strip()
    explained: Mapping[str, Any] | None = None
    problem: RefusedError | None = None
    if number:
        try:
            explained = await suite.get("tips", "/admin/v1/explain", order_id=number)
        except RefusedError as error:
            problem = error
    shadow, flags = await asyncio.gather(
        or_none(suite.get("orchestrator", "/admin/v1/tips/shadow", since=_since(visit))), THINGS["flag"].page(suite)
    )
    return visit.page(
        "tips/tips.html",
        shadow=shadow,
        flags=flags.items,
        set_flag=ACTS["flag set"],
        number=number,
        explained=explained,
        problem=problem,
    )


def _since(visit: Visit) -> str | None:
    """Return from when on the two are compared; None for the last week. Raises ``NotUnderstoodError`` for what is no time."""
    asked = visit.raw.query.get("since", "").strip()
    try:
        return moment_of(asked, zone=visit.zone) if asked else None
    except (ValueError, OverflowError):
        raise NotUnderstoodError(visit.words("%(field)s is no time", field=asked)) from None
