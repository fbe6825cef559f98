"""One incident: what to do, who was told and called, what comes next, and the order beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from common.http import Route
from console.client.acts import ACTS
from console.client.effects import RECIPES
from console.client.operations import operation
from console.client.suite import Page, or_none
from console.client.things import THINGS
from console.web.lists.filtering import acts_of, chosen
from console.web.lists.routes import Around
from console.web.pages import Console, Visit
from console.web.runbook.routes import runbook_html

_RUNBOOK = re.compile(r"(?:.*/)?(?:docs/)?runbooks?/(?:ru/)?([A-Za-z0-9_-]+)(?:\.md)?(?:#.*)?")
_GROUPS = "/admin/v1/incident-groups"


def routes(console: Console) -> list[Route]:
    """Return the route of an incident."""
    return [console.get("/i/{name}", _incident, summary="One incident")]


async def _around(visit: Visit, _page: Page) -> Mapping[str, Any]:
    """Return the groups of the incidents that match; without a state of those that are not resolved."""
    kinds = next(field.choices for field in operation("notifier", f"GET {_GROUPS}").query if field.name == "by")
    by = visit.raw.query.get("by")
    by = by if by in kinds else kinds[0]
    wanted = chosen(THINGS["incident"], visit.raw.query, zone=visit.zone)
    groups = await or_none(visit.person.suite.get("notifier", _GROUPS, by=by, **wanted))

    def address(value: str) -> str:
        """Return the filter of one group."""
        return urlencode({**wanted, "by": by, by: value})

    return {"groups": groups, "by": by, "kinds_of_groups": kinds, "address": address}


AROUND = Around("incident/list.html", _around)
"""What stands around the list of incidents: their groups."""


async def _incident(visit: Visit) -> web.StreamResponse:
    name = visit.path["name"]
    suite = visit.person.suite
    item = await THINGS["incident"].read(suite, name)
    order = await or_none(THINGS["order"].read(suite, item["order_number"])) if item["order_number"] else None
    return visit.page(
        "incident/incident.html",
        name=name,
        item=item,
        order=order,
        runbook=_runbook(item, visit.language),
        acts=acts_of("incident"),
        run_recipe=ACTS["incident recipe"],
        targets=RECIPES,
        add_silence=ACTS["silence add"],
        open_ticket=ACTS["ticket open"],
        instruct=ACTS["instruction set"],
    )


def _runbook(item: Mapping[str, Any], language: str) -> tuple[str, str] | None:
    """Return the runbook that the incident names, as HTML with its language."""
    for link in _links(item):
        if (match := _RUNBOOK.fullmatch(link)) and (found := runbook_html(match[1], language)):
            return found
    return None


def _links(item: Mapping[str, Any]) -> Iterable[str]:
    return (text for text in (item["link"], item.get("runbook"), *item["details"].values()) if isinstance(text, str))
