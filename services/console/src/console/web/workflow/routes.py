"""Workflows: groups of those that stand still over the list, one workflow, and the page on which a failed event is mended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from common.http import Route
from console.client.acts import ACTS
from console.client.suite import Page, or_none
from console.client.things import THINGS
from console.web.lists.filtering import acts_of
from console.web.lists.routes import Around
from console.web.marked import marked, pretty
from console.web.pages import Console, Visit
from console.web.workflow.groups import acts_in, filter_of


def routes(console: Console) -> list[Route]:
    """Return the routes of one workflow."""
    return [
        console.get("/w/{name}", _workflow, summary="One workflow"),
        console.get("/w/{name}/mend/{event}", _mend, summary="Mend a failed event"),
    ]


async def _above(visit: Visit, _page: Page) -> Mapping[str, Any]:
    found = await or_none(visit.person.suite.get("orchestrator", "/admin/v1/workflow-groups"))
    return {"groups": None if found is None else [_shown(group) for group in found["items"]]}


def _shown(group: Mapping[str, Any]) -> Mapping[str, Any]:
    chosen = filter_of(group)
    return {
        "group": group,
        "address": f"/workflows?{urlencode(chosen)}",
        "acts": [ACTS[f"workflow {verb}"] for verb in acts_in(str(group["state_name"]))],
        "fields": {"all": "1", **{f"filter.{name}": text for name, text in chosen.items()}},
    }


AROUND = Around("workflow/list.html", _above)


async def _workflow(visit: Visit) -> web.StreamResponse:
    name = visit.path["name"]
    return visit.page(
        "workflow/workflow.html",
        name=name,
        item=await THINGS["workflow"].read(visit.person.suite, name),
        acts=acts_of("workflow"),
        skip=ACTS["event skip"],
        mend=ACTS["event mend"],
        reprocess=ACTS["event reprocess"],
    )


async def _mend(visit: Visit) -> web.StreamResponse:
    name, suite = visit.path["name"], visit.person.suite
    item = await THINGS["workflow"].read(suite, name)
    event = next((each for each in item["events"] if each["id"] == visit.path["event"]), None)
    if event is None:
        raise web.HTTPNotFound
    delivery_id = event["attributes"].get("delivery_id")
    kept = await or_none(THINGS["intake"].read(suite, str(delivery_id))) if delivery_id else None
    body: str | None = None if kept is None else kept["body"]
    return visit.page(
        "workflow/mend.html",
        name=name,
        event=event,
        version=item.get("version"),
        act=ACTS["event mend"],
        lines=None if kept is None or body is None else marked(body, kept["faults"]),
        text="" if body is None else pretty(body),
    )
