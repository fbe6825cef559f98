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
from console.client.suite import RefusedError, Suite, UnreachableError, or_none
from console.client.things import THINGS
from console.web.asking import page_or_none
from console.web.lists.filtering import acts_of, erasing
from console.web.order.story import Moment, changed, counted, moments, not_told, of_sort, place, words_of
from console.web.pages import Console, NotUnderstoodError, Visit, redirect

_NUMBER = re.compile(r"[0-9A-HJKMNP-TV-Z]{16}", re.IGNORECASE)
_MOST_LINES = 500
_MOST_READ = 10_000
_MOST_BESIDE = 200
_BESIDE = (
    ("workflow", "order_number"),
    ("refund", "order"),
    ("incident", "order"),
    ("ticket", "order"),
    ("message", "order"),
)


def routes(console: Console) -> list[Route]:
    """Return the route of an order."""
    return [console.get("/o/{name}", _order_or_what_there_is, summary="One order")]


async def _order_or_what_there_is(visit: Visit) -> web.StreamResponse:
    """Show the order. Messages about one that was endangered before it became an order name it, too: then show what there is of it."""
    number = visit.path["name"]
    try:
        return await _order(visit)
    except RefusedError as error:
        if error.status != HTTPStatus.NOT_FOUND or visit.raw.query_string or _NUMBER.fullmatch(number) is None:
            raise
        return redirect(f"/find?q={quote(number, safe='')}")


async def _order(visit: Visit) -> web.StreamResponse:
    number, query = visit.path["name"], visit.raw.rel_url.query
    suite = visit.person.suite
    at = query.get("at") or None
    timeline, sums, payments, *read = await asyncio.gather(
        _timeline(suite, number),
        _sums(suite, number),
        _payments(suite, number),
        *(_beside(suite, noun, by, number) for noun, by in _BESIDE),
    )
    lived = moments(timeline or ())
    if (step := query.get("step")) is not None:
        return redirect(
            str(visit.raw.rel_url.without_query_params("step").update_query(at=_moment(visit, lived, step)))
        )
    then, before = await asyncio.gather(_read(suite, number, at), _before(suite, number, lived, at))
    beside = dict(zip((noun for noun, _ in _BESIDE), read, strict=True))
    messages, beside["message"] = beside["message"] or (), not_told(beside["message"], (timeline or ())[-_MOST_LINES:])
    only = query.get("only") or None
    chosen = of_sort(timeline or (), only)
    return visit.page(
        "order/order.html",
        number=number,
        item=then,
        at=at,
        place=place(lived, at),
        moments=lived,
        differences=None if before is None else changed(before["positions"] or (), then["positions"] or ()),
        timeline=None if timeline is None else chosen[-_MOST_LINES:],
        cut=max(len(chosen) - _MOST_LINES, 0),
        unread=_MOST_READ if len(timeline or ()) >= _MOST_READ else None,
        sorts=counted(timeline or ()),
        only=only,
        words_of=lambda line: words_of(line, messages),
        sums=sums,
        payments=payments,
        refunds=_refunded(beside["refund"]),
        beside=beside,
        things=THINGS,
        acts=acts_of("order"),
        workflow_acts=acts_of("workflow"),
        open_ticket=ACTS["ticket open"],
        enter_event=ACTS["order enter-event"],
        erasing=erasing(),
    )


async def _read(suite: Suite, number: str, at: str | None) -> Mapping[str, Any]:
    found: Mapping[str, Any] = await suite.get("orchestrator", filled("/orders/v1/orders/{id}", id=number), at=at)
    return found


async def _before(suite: Suite, number: str, lived: Sequence[Moment], at: str | None) -> Mapping[str, Any] | None:
    """Return the order as it was first created; None where that is what is looked at, or is not known any more."""
    if not lived or at == lived[0].at:
        return None
    return await or_none(_read(suite, number, lived[0].at))


def _moment(visit: Visit, lived: Sequence[Moment], step: str) -> str:
    """Return the moment of a place on the slider."""
    if not step.isdecimal() or int(step) >= len(lived):
        raise NotUnderstoodError(visit.words("There is no such moment of this order"))
    return lived[int(step)].at


def _refunded(refunds: Sequence[Mapping[str, Any]] | None) -> Mapping[str, int]:
    """Return the sums that went back, and those that are on their way, in minor units."""
    sums = {"done": 0, "under_way": 0}
    for each in refunds or ():
        if each["state_name"] == "SUCCESS":
            sums["done"] += each["amount"] or 0
        elif each["state_name"] in THINGS["refund"].moving:
            sums["under_way"] += each["amount"] or 0
    return sums


async def _timeline(suite: Suite, number: str) -> Sequence[Mapping[str, Any]] | None:
    path = filled("/admin/v1/orders/{number}/timeline", number=number)
    try:
        return [line async for line in suite.walk("orchestrator", path, at_most=_MOST_READ)]
    except (RefusedError, UnreachableError):
        return None


async def _sums(suite: Suite, number: str) -> Mapping[str, Any] | None:
    """Return what was worked out at the order's end; None where nothing was yet."""
    return await or_none(suite.get("orchestrator", filled("/admin/v1/orders/{number}/transactions", number=number)))


async def _payments(suite: Suite, number: str) -> Sequence[Mapping[str, Any]] | None:
    """Return the payments that refunds were asked of, with what was captured; None where the service could not say."""
    page = await page_or_none(suite, "payment", order=number)
    return None if page is None else page.items


async def _beside(suite: Suite, noun: str, by: str, number: str) -> Sequence[Mapping[str, Any]] | None:
    """Return what else there is of the order; None where the service could not say."""
    page = await page_or_none(suite, noun, **{by: number}, limit=_MOST_BESIDE)
    return None if page is None else page.items
