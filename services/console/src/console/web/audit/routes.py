"""The audit of all services: one list, and its export, which is streamed and whole or visibly broken off."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import asdict
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from aiohttp import web

from common.http import Route
from common.telemetry import get_logger
from console.client.audit import Record, audited, merged, part
from console.client.suite import RefusedError, UnreachableError
from console.web.audit.exporting import csv_line, json_line
from console.web.audit.targets import address_of_target
from console.web.headers import HEADERS
from console.web.pages import Console, NotUnderstoodError, Visit

_log = get_logger()
_SHOWN = 100
_MOST_DIGITS = 6
_EXACT = ("actor", "order", "action", "target")
_TYPES = {"csv": "text/csv", "json": "application/json"}


def routes(console: Console) -> list[Route]:
    """Return the routes of the audit."""
    return [
        console.get("/audit", _audit, summary="Who changed what, when and why"),
        console.get("/audit/export", _export, summary="The audit as a file"),
    ]


async def _audit(visit: Visit) -> web.StreamResponse:
    wanted = {name: text.strip() for name, text in visit.raw.query.items() if text.strip()}
    services, query = _asked(visit, wanted)
    skip = wanted.get("skip", "0")
    if not (skip.isascii() and skip.isdigit() and len(skip) <= _MOST_DIGITS):
        raise NotUnderstoodError(visit.words("%(field)s is no whole number", field=skip))
    found = await part(visit.person.suite, services, limit=_SHOWN, skip=int(skip), **query)
    shown = {name: text for name, text in wanted.items() if name in (*_EXACT, "from", "to", "service")}
    return visit.page(
        "audit/audit.html",
        wanted=shown,
        services=audited(),
        part=type(found)(
            [{**line, "link": address_of_target(str(line["target"]))} for line in found.items], found.silent
        ),
        exported=urlencode(shown),
        following=f"/audit?{urlencode({**shown, **asdict(found.following)})}" if found.following else None,
    )


async def _export(visit: Visit) -> web.StreamResponse:
    wanted = {name: text.strip() for name, text in visit.raw.query.items() if text.strip()}
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
    services = tuple(each for each in audited() if wanted.get("service") in (None, each))
    query: dict[str, Any] = {name: wanted[name] for name in _EXACT if name in wanted}
    for name in ("from", "to"):
        if name in wanted:
            query[name] = _moment(visit, wanted[name])
    return services, query


def _moment(visit: Visit, written: str) -> str:
    try:
        moment = datetime.fromisoformat(written)
        there = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(visit.console.settings.time_zone))
        return there.isoformat()
    except (ValueError, OverflowError):
        raise NotUnderstoodError(visit.words("%(field)s is no time", field=written)) from None
