"""The stream of a list's news. Rows are announced, never moved: whoever wants them presses."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial
from urllib.parse import urlencode

from aiohttp import web
from aiohttp_sse import sse_response
from multidict import CIMultiDict

from common.http import Route
from console.client.operations import SERVICES
from console.client.things import EVERYWHERE, THINGS, thing_of
from console.web.headers import HEADERS
from console.web.lists.filtering import chosen, list_operation, read_page
from console.web.lists.of_audit import EVERY, FILTERS, question, read_newest
from console.web.live.news import News, ReadPage
from console.web.pages import Console, Visit
from console.web.screens import list_path
from console.web.seen import unseen

_LOOK_S = 1.0
_MOST_STREAMS_S = 3600.0


def routes(console: Console, news: News) -> list[Route]:
    """Return the route of the stream."""
    return [console.get("/live/{noun}", partial(_stream, news), summary="News of a list", streamed=True)]


async def _stream(news: News, visit: Visit) -> web.StreamResponse:
    noun, service = visit.path["noun"], visit.raw.query.get("service")
    if noun not in (*THINGS, EVERY.noun) and (noun not in EVERYWHERE or service not in SERVICES):
        raise web.HTTPNotFound
    zone = visit.zone
    if noun == EVERY.noun:
        read: ReadPage = read_newest
        thing, wanted, service = EVERY, _of_audit(visit, zone), None
    else:
        read = read_page
        thing = thing_of(noun, service if noun in EVERYWHERE else None)
        wanted = chosen(thing, visit.raw.query, zone=zone)
    seen, more = visit.raw.query.get("seen", ""), visit.raw.query.get("more") == "1"
    address = list_path(noun) + f"?{urlencode({**({'service': service} if service else {}), **wanted})}"
    async with sse_response(visit.raw, headers=_headers(visit)) as response:
        person = visit.person
        async with aclosing(news.watch(person.suite, thing, wanted, role=person.role, read=read)) as changes:
            told = 0
            following = asyncio.ensure_future(anext(changes, None))
            try:
                async with asyncio.timeout(_MOST_STREAMS_S):  # the browser comes again, and who it is is asked again
                    while response.is_connected():
                        done, _ = await asyncio.wait({following}, timeout=_LOOK_S)
                        if not await visit.console.people.may_still(person, list_operation(thing)):
                            break
                        if not done:
                            continue
                        names = following.result()
                        if names is None:
                            break
                        following = asyncio.ensure_future(anext(changes, None))
                        fresh = unseen(names, seen, more=more)
                        if fresh != told:
                            told = fresh
                            await response.send(visit.fragment("live/news.html", fresh=fresh, address=address))
            except (TimeoutError, ConnectionError):
                pass
            finally:
                following.cancel()
                await asyncio.wait({following})
    return response


def _of_audit(visit: Visit, zone: str) -> dict[str, str]:
    """Return the filter of the audit of all services; ``HTTPNotFound`` where it makes no sense: pages do not lead there."""
    wanted = {name: visit.raw.query[name] for name in FILTERS if visit.raw.query.get(name)}
    try:
        return {**wanted, **question(wanted, zone=zone)[1]}
    except (ValueError, OverflowError):
        raise web.HTTPNotFound from None


def _headers(visit: Visit) -> CIMultiDict[str]:
    """Return the stream's headers; they are the whole of its answer before the first news."""
    headers = CIMultiDict(HEADERS)
    for cookie in visit.cookies.values():
        headers.add("Set-Cookie", cookie.OutputString())
    return headers
