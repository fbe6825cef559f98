"""One incident: what to do, who was told and called, what comes next, and the order beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from common.http import Route
from console.client.acts import ACTS
from console.client.suite import RefusedError, UnreachableError
from console.client.things import THINGS
from console.web.lists.filtering import acts_of
from console.web.pages import Console, Visit
from console.web.runbook.routes import runbook_html

_RUNBOOK = re.compile(r"(?:.*/)?(?:docs/)?runbooks?/(?:ru/)?([A-Za-z0-9_-]+)(?:\.md)?(?:#.*)?")


def routes(console: Console) -> list[Route]:
    """Return the route of an incident."""
    return [console.get("/i/{name}", _incident, summary="One incident")]


async def _incident(visit: Visit) -> web.StreamResponse:
    name = visit.path["name"]
    suite = visit.person.suite
    item = await THINGS["incident"].read(suite, name)
    order: Mapping[str, Any] | None = None
    if item["order_number"]:
        try:
            order = await THINGS["order"].read(suite, item["order_number"])
        except (RefusedError, UnreachableError):
            order = None
    return visit.page(
        "incident/incident.html",
        name=name,
        item=item,
        order=order,
        runbook=_runbook(item, visit.language),
        acts=acts_of("incident"),
        add_silence=ACTS["silence add"],
        open_ticket=ACTS["ticket open"],
    )


def _runbook(item: Mapping[str, Any], language: str) -> tuple[str, str] | None:
    """Return the runbook that the incident names, as HTML with its language."""
    for link in _links(item):
        if (match := _RUNBOOK.fullmatch(link)) and (found := runbook_html(match[1], language)):
            return found
    return None


def _links(item: Mapping[str, Any]) -> Iterable[str]:
    return (text for text in (item["link"], item.get("runbook"), *item["details"].values()) if isinstance(text, str))
