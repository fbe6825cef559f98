"""One order: its state, its money, and everything that happened to it in one line."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from aiohttp import web

from common.http import Route
from console.client.acts import ACTS
from console.client.operations import filled
from console.client.suite import RefusedError, Suite, UnreachableError
from console.client.things import THINGS
from console.web.lists.filtering import acts_of
from console.web.pages import Console, Visit, redirect

_NUMBER = re.compile(r"[0-9A-HJKMNP-TV-Z]{16}", re.IGNORECASE)
_MOST_LINES = 500
_MOST_BESIDE = 50
_BESIDE = (
    ("workflow", "order_number"),
    ("refund", "order"),
    ("incident", "order"),
    ("ticket", "order"),
    ("message", "order"),
)


def routes(console: Console) -> list[Route]:
    """Return the route of an order."""
    return [console.get("/o/{name}", _order, summary="One order")]


async def _order(visit: Visit) -> web.StreamResponse:
    number = visit.path["name"]
    suite = visit.person.suite
    at = visit.raw.query.get("at") or None
    path = filled("/orders/v1/orders/{id}", id=number)
    try:
        item: Mapping[str, Any] = await suite.get("orchestrator", path, at=at)
    except RefusedError as error:
        if error.status != HTTPStatus.NOT_FOUND or at is not None or _NUMBER.fullmatch(number) is None:
            raise
        # Messages about an order that was endangered before it became one name it, too: show what there is of it.
        return redirect(f"/find?q={quote(number, safe='')}")
    timeline, sums, *beside = await asyncio.gather(
        _timeline(suite, number), _sums(suite, number), *(_beside(suite, noun, by, number) for noun, by in _BESIDE)
    )
    services = sorted({line["service"] for line in timeline}) if timeline is not None else []
    only = visit.raw.query.get("only")
    return visit.page(
        "order/order.html",
        number=number,
        item=item,
        at=at,
        timeline=timeline,
        services=services,
        only=only if only in services else None,
        sums=sums,
        beside=dict(zip((noun for noun, _ in _BESIDE), beside, strict=True)),
        things=THINGS,
        acts=acts_of("order"),
        open_ticket=ACTS["ticket open"],
        enter_event=ACTS["order enter-event"],
    )


async def _timeline(suite: Suite, number: str) -> Sequence[Mapping[str, Any]] | None:
    path = filled("/admin/v1/orders/{number}/timeline", number=number)
    try:
        return [line async for line in suite.walk("orchestrator", path, at_most=_MOST_LINES)]
    except (RefusedError, UnreachableError):
        return None


async def _sums(suite: Suite, number: str) -> Mapping[str, Any] | None:
    """Return what was worked out at the order's end; None where nothing was yet."""
    path = filled("/admin/v1/orders/{number}/transactions", number=number)
    try:
        found: Mapping[str, Any] = await suite.get("orchestrator", path)
    except (RefusedError, UnreachableError):
        return None
    return found


async def _beside(suite: Suite, noun: str, by: str, number: str) -> Sequence[Mapping[str, Any]] | None:
    """Return what else there is of the order; None where the service could not say."""
    try:
        return (await THINGS[noun].page(suite, **{by: number}, limit=_MOST_BESIDE)).items
    except (RefusedError, UnreachableError):
        return None
