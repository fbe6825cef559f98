"""The owner's page: nothing is lost, no money moves twice; with a check on the spot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from aiohttp import web

from common.http import Route
from console.client.acts import ACTS
from console.client.checks import CHECKS, Verdict, check, last_verdicts
from console.client.suite import RefusedError, UnreachableError
from console.web.pages import Console, Visit
from console.web.proof.gather import PAID_ONCE, QUESTIONS, answers, days, paid


def routes(console: Console) -> list[Route]:
    """Return the routes of the owner's page."""
    return [
        console.get("/proof", _proof, summary="Nothing lost"),
        console.post("/proof", _check, summary="Check now whether anything was lost"),
    ]


async def _proof(visit: Visit) -> web.StreamResponse:
    return await _page(visit, ())


async def _check(visit: Visit) -> web.StreamResponse:
    """Ask everything that is chosen at once. It changes nothing, so pressing twice does no harm."""
    chosen = str(visit.form.get("check", "all"))
    names = [name for name in CHECKS if chosen in ("all", name)]
    if not names:
        raise web.HTTPNotFound
    return await _page(visit, await asyncio.gather(*(_verdict(visit, name) for name in names)))


async def _verdict(visit: Visit, name: str) -> Verdict:
    try:
        return await check(visit.person.suite, name, {})
    except (RefusedError, UnreachableError) as error:
        return Verdict(name=name, at=datetime.now(UTC).isoformat(), wrong=None, problem=str(error))


async def _page(visit: Visit, ran: Sequence[Verdict]) -> web.StreamResponse:
    suite, now = visit.person.suite, datetime.now(UTC)
    here = now.astimezone(ZoneInfo(visit.zone))
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
    by_day, open_, once, paid_ones, last = await asyncio.gather(
        days(suite, midnight), answers(suite, QUESTIONS), answers(suite, PAID_ONCE), paid(suite), last_verdicts(suite)
    )
    reconcile = ACTS["check refunds"]
    return visit.page(
        "proof/proof.html",
        days=by_day,
        answers=open_,
        once=once,
        paid=paid_ones,
        last=last,
        ran=ran,
        checks=tuple(CHECKS),
        asked=now,
        check=reconcile,
        refusal=visit.refusal(reconcile),
    )
