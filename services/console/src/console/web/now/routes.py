"""The first screen."""

from __future__ import annotations

from aiohttp import web

from common.http import Route
from console.client.acts import ACTS
from console.web.now.gather import DANGERS, gather
from console.web.pages import Console, Visit
from console.web.seen import seen_of


def routes(console: Console) -> list[Route]:
    """Return the route of the first screen."""
    return [console.get("/", _now, summary="What needs a person now")]


async def _now(visit: Visit) -> web.StreamResponse:
    acts = {
        "incident": ("incident ack", "incident resolve"),
        "workflow": ("workflow retry",),
        "endangered": ("endangered resubmit",),
        "refund": ("refund restart",),
        "intake": ("intake replay",),
    }
    now_ = await gather(visit.person.suite)
    return visit.page(
        "now/now.html",
        now_=now_,
        seen=seen_of(now_.critical.danger.thing, now_.critical.page),
        kinds=len(DANGERS),
        acts={noun: tuple(ACTS[name] for name in found) for noun, found in acts.items()},
        add_silence=ACTS["silence add"],
        take_over=ACTS["duty override"],
    )
