"""Lists and single things of every kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from urllib.parse import urlencode
from zoneinfo import available_timezones

from aiohttp import web

from common.http import Route
from console.client.acts import ACTS
from console.client.operations import SERVICES
from console.client.payments import read_payment
from console.client.suite import Page
from console.client.things import EVERYWHERE, THINGS, Thing, thing_of
from console.web.lists.filtering import acts_of, chosen, covers, creating, erasing, filters, is_time, read_page
from console.web.lists.views import SavedViews
from console.web.pages import Console, Visit
from console.web.screens import LISTS, list_path
from console.web.seen import seen_of

_SHOWN = 50
_BY_FIELD = {"limit": ((ACTS["limits lift"], "id"),)}
"""Acts on a row that name it in a field, not in their path."""
_BESIDE = {"payment": (("refund", "payment"), ("order", "payment_id"))}
"""Lists that a page about one thing leads to, and the filter that has its name."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a screen shows around its list: a template that extends ``lists/list.html``, and what that needs besides the page."""

    template: str
    gather: Callable[[Visit, Page], Awaitable[Mapping[str, Any]]]


def routes(console: Console, *, own: frozenset[str], around: Mapping[str, Around], views: SavedViews) -> list[Route]:
    """Return the routes of all lists, and of single things that have no screen of their own (``own``)."""
    short = [
        console.get(thing.address.replace("{id}", "{name}"), partial(_one, thing), summary=f"One {thing.noun}")
        for thing in THINGS.values()
        if thing.address is not None and thing.noun not in own
    ]
    return [
        *(
            console.get(path, partial(_list, views, noun, around.get(noun)), summary=f"Find and choose: {noun}")
            for noun, path in LISTS.items()
        ),
        console.get("/list/{noun}", partial(_other_list, views), summary="Any other list"),
        console.get("/one/{noun}/{name}", _other_one, summary="Any other thing"),
        console.get("/keys", _keys, summary="What the keys do"),
        console.get("/more", _more, summary="All lists, and what needs no list"),
        *short,
    ]


def _thing(visit: Visit, noun: str) -> Thing:
    service = visit.raw.query.get("service")
    if noun in EVERYWHERE and service is None:
        service = SERVICES[0] if noun == "audit" else "orchestrator"
    if noun in THINGS:
        return THINGS[noun]  # whose ``service`` is a filter: of whatever the alert named
    if noun not in EVERYWHERE or service not in SERVICES:
        raise web.HTTPNotFound
    return thing_of(noun, service)


async def _other_list(views: SavedViews, visit: Visit) -> web.StreamResponse:
    return await _list(views, visit.path["noun"], None, visit)


async def _list(views: SavedViews, noun: str, around: Around | None, visit: Visit) -> web.StreamResponse:
    thing = _thing(visit, noun)
    query = visit.raw.query
    wanted = chosen(thing, query, zone=visit.zone)
    page = await read_page(visit.person.suite, thing, wanted, limit=_SHOWN, cursor=query.get("cursor"), count=True)
    of_service = {"service": thing.service} if noun in EVERYWHERE else {}
    where = list_path(noun)
    following = {**of_service, **wanted, "cursor": page.next_cursor}
    more = {} if around is None else await around.gather(visit, page)
    return visit.page(
        "lists/list.html" if around is None else around.template,
        **more,
        thing=thing,
        page=page,
        where=where,
        wanted=wanted,
        of_service=of_service,
        services=SERVICES if noun in EVERYWHERE else (),
        filters=filters(thing),
        is_time=is_time,
        views=(await views.of(visit.raw, visit.person.name)).get(noun, {}),
        here_now=urlencode({**of_service, **wanted}),
        acts=acts_of(noun, thing.service),
        creating=creating(noun),
        by_field=_BY_FIELD.get(noun, ()),
        covers=partial(covers, filter_names=frozenset(wanted)),
        next_page=f"{where}?{urlencode(following)}" if page.next_cursor else None,
        first_page=None if query.get("cursor") is None else f"{where}?{urlencode({**of_service, **wanted})}",
        news=None if query.get("cursor") else _news(thing, {**of_service, **wanted}, page),
    )


def _news(thing: Thing, asked: Mapping[str, str], page: Page) -> str:
    """Return the address of the first page's news; what comes is not on the later ones."""
    return f"/live/{thing.noun}?{urlencode(asked)}{'&' if asked else ''}{seen_of(thing, page)}"


async def _other_one(visit: Visit) -> web.StreamResponse:
    thing = _thing(visit, visit.path["noun"])
    if thing.one is None:
        raise web.HTTPNotFound
    return await _one(thing, visit)


async def _one(thing: Thing, visit: Visit) -> web.StreamResponse:
    name = visit.path["name"]
    suite = visit.person.suite
    item = await (read_payment(suite, name) if thing.noun == "payment" else thing.read(suite, name))
    return visit.page("lists/one.html", name=name, **single(thing, name, item))


def single(thing: Thing, name: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a page about one thing shows of it."""
    plain = {key: each for key, each in item.items() if not isinstance(each, (dict, list))}
    nested = {key: each for key, each in item.items() if isinstance(each, (dict, list)) and each}
    return {
        "thing": thing,
        "item": item,
        "plain": plain,
        "nested": nested,
        "acts": acts_of(thing.noun, thing.service),
        "by_field": _BY_FIELD.get(thing.noun, ()),
        "of_service": {"service": thing.service} if thing.noun in EVERYWHERE else {},
        "where": list_path(thing.noun),
        "beside": [
            (noun, f"{list_path(noun)}?{urlencode({field: name})}") for noun, field in _BESIDE.get(thing.noun, ())
        ],
    }


async def _keys(visit: Visit) -> web.StreamResponse:
    return visit.page("lists/keys.html")


async def _more(visit: Visit) -> web.StreamResponse:
    nouns = [noun for noun in (*THINGS, *EVERYWHERE) if noun not in LISTS]
    return visit.page(
        "lists/more.html",
        nouns=nouns,
        creating={noun: creating(noun) for noun in _MAKERS},
        erasing=erasing(),
        list_path=list_path,
        zones=sorted({*_zones(), visit.zone}),
    )


@cache
def _zones() -> Sequence[str]:
    return sorted({"UTC", *(name for name in available_timezones() if name.startswith(("Europe/", "Asia/")))})


_MAKERS = ("order", "ticket", "silence", "duty", "message", "known-defect", "check", "limits")
