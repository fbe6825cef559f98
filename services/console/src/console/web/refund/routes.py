"""Refunds: the list with what needs a person, and one with all that is known of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from common.http import Route
from console.client.acts import ACTS
from console.client.operations import filled
from console.client.suite import Page, or_none
from console.client.things import THINGS
from console.web.asking import counts, page_or_none
from console.web.lists.filtering import acts_of
from console.web.lists.routes import Around
from console.web.pages import Console, Visit
from console.web.refund.bar import Bar, bar_of

STATES = ("ERROR", "UNKNOWN", "DECLINED", "PENDING", "SENDING", "CREATE")
"""States in which a refund is not over, the ones that need a person first."""
_SETTLE = (ACTS["difference adopt"], ACTS["difference acknowledge"])
_MOST_SHOWN = 20


def routes(console: Console) -> list[Route]:
    """Return the route of one refund."""
    return [console.get("/r/{name}", _refund, summary="One refund")]


async def _above(visit: Visit, _page: Page) -> Mapping[str, Any]:
    suite, query = visit.person.suite, visit.raw.query
    chosen = {name: query[name] for name in ("payment", "order") if query.get(name)}
    states, differences, payments = await asyncio.gather(
        counts(suite, "refund", "state", STATES),
        page_or_none(suite, "difference", open=True, limit=_MOST_SHOWN),
        page_or_none(suite, "payment", **chosen, limit=_MOST_SHOWN) if chosen else _none(),
    )
    return {
        "states": states,
        "differences": differences and differences.items,
        "payments": payments and {each["payment_id"]: bar_of(each) for each in payments.items},
        "settle": _SETTLE,
    }


async def _none() -> None:
    return None


AROUND = Around("refund/list.html", _above)


async def _refund(visit: Visit) -> web.StreamResponse:
    name, suite = visit.path["name"], visit.person.suite
    item = await THINGS["refund"].read(suite, name)
    evidence, history, payments, of_order, of_refund = await asyncio.gather(
        or_none(suite.get("refunds", filled("/admin/v1/refunds/{id}/evidence", id=name))),
        or_none(suite.page("refunds", filled("/admin/v1/refunds/{id}/history", id=name))),
        page_or_none(suite, "payment", payment=item["payment_id"]),
        page_or_none(suite, "difference", order=item["order_number"], limit=_MOST_SHOWN),
        page_or_none(suite, "difference", subject=name, limit=_MOST_SHOWN),
    )
    differences = None
    if of_order is not None and of_refund is not None:
        differences = list({one["id"]: one for one in (*of_refund.items, *of_order.items)}.values())
    return visit.page(
        "refund/refund.html",
        name=name,
        item=item,
        acts=acts_of("refund"),
        settle=_SETTLE,
        payment=_bar(payments),
        attempts=None if evidence is None else _attempts(evidence),
        history=history and history.items,
        differences=differences,
    )


def _bar(payments: Page | None) -> Bar | None:
    return bar_of(payments.items[0]) if payments is not None and payments.items else None


def _attempts(evidence: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return each attempt with its calls, the newest attempt first."""
    return [
        {"attempt": each, "calls": [call for call in evidence["calls"] if call["attempt"] == each["attempt"]]}
        for each in reversed(evidence["attempts"])
    ]
