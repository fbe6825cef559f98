"""The owner's page."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from aiohttp import web

from common.http import Route
from console.client.acts import ACTS
from console.web.pages import Console, Visit
from console.web.proof.gather import answers, days


def routes(console: Console) -> list[Route]:
    """Return the route of the owner's page."""
    return [console.get("/proof", _proof, summary="Nothing lost")]


async def _proof(visit: Visit) -> web.StreamResponse:
    now = datetime.now(UTC)
    here = now.astimezone(ZoneInfo(visit.console.settings.time_zone))
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
    by_day, open_ = await asyncio.gather(days(visit.person.suite, midnight), answers(visit.person.suite))
    return visit.page("proof/proof.html", days=by_day, answers=open_, asked=now, check=ACTS["check refunds"])
