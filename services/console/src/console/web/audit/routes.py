"""The audit of all services: one list, and its export, which is streamed and whole or visibly broken off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from common.http import Route
from common.telemetry import get_logger
from console.client.audit import Record, audited, counted, merged, part
from console.client.suite import Page, RefusedError, UnreachableError
from console.web.audit.exporting import csv_line, json_line
from console.web.audit.targets import address_of_target
from console.web.headers import HEADERS
from console.web.lists.of_audit import EVERY, FILTERS, named, question
from console.web.lists.views import SavedViews
from console.web.pages import Console, NotUnderstoodError, Visit
from console.web.seen import seen_of

_log = get_logger()
_SHOWN = 100
_MOST_DIGITS = 6
_TYPES = {"csv": "text/csv", "json": "application/json"}


def routes(console: Console, views: SavedViews) -> list[Route]:
    """Return the routes of the audit."""
    return [
        console.get("/audit", partial(_audit, views), summary="Who changed what, when and why"),
        console.get("/audit/export", _export, summary="The audit as a file", streamed=True),
    ]


async def _audit(views: SavedViews, visit: Visit) -> web.StreamResponse:
    wanted = _wanted(visit)
    shown = {name: text for name, text in wanted.items() if name in FILTERS}
    services, query = _asked(visit, shown)
    before, skip = wanted.get("before"), wanted.get("skip", "0")
    if not (skip.isascii() and skip.isdigit() and len(skip) <= _MOST_DIGITS):
        raise NotUnderstoodError(visit.words("%(field)s is no whole number", field=skip))
    until = query if before is None else {**query, **_asked(visit, {"to": before})[1]}
    suite = visit.person.suite
    found, (count, exact) = await asyncio.gather(
        part(suite, services, limit=_SHOWN, skip=int(skip), **until), counted(suite, services, **query)
    )
    following = found.following
    page = Page([named(line) for line in found.items], None if following is None else following.to, count, exact)
    asked = urlencode({**shown, **query})
    return visit.page(
        "audit/audit.html",
        wanted=shown,
        services=audited(),
        page=page,
        silent=found.silent,
        target_of=address_of_target,
        where="/audit",
        noun="audit",
        of_service={},
        views=(await views.of(visit.raw, visit.person.name)).get("audit", {}),
        here_now=urlencode(shown),
        exported=urlencode(shown),
        following=f"/audit?{urlencode({**shown, 'before': following.to, 'skip': following.skip})}"
        if following
        else None,
        first_page=None if before is None else f"/audit?{urlencode(shown)}",
        news=None if before else f"/live/audit?{asked}{'&' if asked else ''}{seen_of(EVERY, page)}",
    )


def _wanted(visit: Visit) -> dict[str, str]:
    return {name: text.strip() for name, text in visit.raw.query.items() if text.strip()}


async def _export(visit: Visit) -> web.StreamResponse:
    wanted = _wanted(visit)
    form = wanted.get("form", "csv")
    if form not in _TYPES:
        raise web.HTTPNotFound
    services, query = _asked(visit, wanted)
    async with aclosing(merged(visit.person.suite, services, **query)) as records:
        first = await anext(records, None)  # what does not answer is said in a page, not in half a file
        response = web.StreamResponse(
            headers={**HEADERS, "Content-Disposition": f'attachment; filename="audit.{form}"'}
        )
        response.content_type, response.charset = _TYPES[form], "utf-8"
        await response.prepare(visit.raw)
        if visit.raw.method == "HEAD":
            return response  # which has no body, or the next answer of the connection would begin with it
        try:
            await _write(response, form, first, records)
        except (RefusedError, UnreachableError) as error:
            _log.warning("console_export_broken_off", service=error.service)
            if visit.raw.transport is not None:
                visit.raw.transport.abort()  # half a file must not look like a whole one
    return response


async def _write(
    response: web.StreamResponse, form: str, first: Record | None, records: AsyncGenerator[Record, None]
) -> None:
    await response.write((csv_line(None) if form == "csv" else "[").encode())
    record, leading = first, True
    while record is not None:
        line = csv_line(record) if form == "csv" else json_line(record, first=leading)
        await response.write(line.encode())
        record, leading = await anext(records, None), False
    if form == "json":
        await response.write(b"\n]\n")
    await response.write_eof()


def _asked(visit: Visit, wanted: Mapping[str, str]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return whom to ask what. Raises ``NotUnderstoodError`` for a time that is none."""
    try:
        return question(wanted, zone=visit.zone)
    except (ValueError, OverflowError):
        written = ", ".join(wanted[name] for name in ("from", "to") if name in wanted)
        raise NotUnderstoodError(visit.words("%(field)s is no time", field=written)) from None
