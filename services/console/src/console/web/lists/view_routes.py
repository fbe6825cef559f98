"""Keep the filter of a list under a name, and forget it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from urllib.parse import urlencode

from aiohttp import web

from common.http import Route
from console.client.operations import SERVICES
from console.client.things import EVERYWHERE, THINGS, thing_of
from console.web.lists.filtering import chosen
from console.web.lists.views import SavedViews, TooManyViewsError
from console.web.pages import Console, NotUnderstoodError, Visit, redirect
from console.web.screens import list_path


def routes(console: Console, views: SavedViews) -> list[Route]:
    """Return the routes of saved views."""
    return [
        console.post("/views", partial(_keep, views), summary="Keep the filter of a list under a name"),
        console.post("/views/forget", partial(_forget, views), summary="Forget a saved view"),
    ]


async def _keep(views: SavedViews, visit: Visit) -> web.StreamResponse:
    noun, service = _list(visit)
    name = " ".join(str(visit.form.get("name", "")).split())
    if not name:
        raise NotUnderstoodError(visit.words("Give the view a name"))
    given = {
        field.removeprefix("filter."): str(text) for field, text in visit.form.items() if field.startswith("filter.")
    }
    thing = thing_of(noun, service.get("service", "orchestrator"))
    query = urlencode({**service, **chosen(thing, given, zone=visit.zone)})
    response = redirect(list_path(noun) + (f"?{query}" if query else ""))
    try:
        await views.keep(visit.raw, response, person=visit.person.name, noun=noun, name=name, query=query)
    except TooManyViewsError:
        raise NotUnderstoodError(visit.words("No more views fit into this browser: forget one first")) from None
    return response


async def _forget(views: SavedViews, visit: Visit) -> web.StreamResponse:
    noun, service = _list(visit)
    response = redirect(list_path(noun) + (f"?{urlencode(service)}" if service else ""))
    name = str(visit.form.get("name", ""))
    await views.forget(visit.raw, response, person=visit.person.name, noun=noun, name=name)
    return response


def _list(visit: Visit) -> tuple[str, Mapping[str, str]]:
    noun = str(visit.form.get("noun", ""))
    service = str(visit.form.get("service") or visit.form.get("filter.service", ""))
    if noun not in THINGS and noun not in EVERYWHERE:
        raise web.HTTPNotFound
    return noun, {"service": service} if noun in EVERYWHERE and service in SERVICES else {}
