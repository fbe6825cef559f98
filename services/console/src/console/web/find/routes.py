"""One box. It is sent as a form, so that a customer's name, phone or mail never stands in an address or a history."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aiohttp import web

from common.http import Route
from console.client.find import Findings, Found, find
from console.web.links import address_of
from console.web.pages import Console, Visit, redirect

_OF_THINGS = (
    re.compile(r"[0-9A-HJKMNP-TV-Z]{16}", re.IGNORECASE),  # an order
    re.compile(
        r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE
    ),  # a refund, a delivery, an endangered order
    re.compile(r"[A-Z]{2,20}-[0-9]{1,12}", re.IGNORECASE),  # a ticket
    re.compile(r"[0-9]{1,9}(-[0-9]{1,9})?"),  # an incident, a workflow or its event, a silence, …
    re.compile(r"[0-9a-f]{64}"),  # a ban
    re.compile(r"[0-9a-f]{32}"),  # a trace
    re.compile(
        r"(?=.*[A-Z])(?=.*[0-9])[A-Z0-9._:-]{2,64}", re.IGNORECASE | re.ASCII
    ),  # an outside number: names have no digits
)


def is_private(text: str) -> bool:
    """Tell whether it may name a customer: everything that is not plainly a thing's own name."""
    return not any(form.fullmatch(text.strip()) for form in _OF_THINGS)


def routes(console: Console) -> list[Route]:
    """Return the routes of the box."""
    return [
        console.get("/find", _from_address, summary="Find by a thing's name"),
        console.post("/find", _from_form, summary="Find by anything"),
    ]


async def _from_address(visit: Visit) -> web.StreamResponse:
    text = visit.raw.query.get("q", "").strip()
    private = bool(text) and is_private(text)
    return await _found(visit, "" if private else text, private=private)


async def _from_form(visit: Visit) -> web.StreamResponse:
    return await _found(visit, str(visit.form.get("q", "")).strip(), private=False)


async def _found(visit: Visit, text: str, *, private: bool) -> web.StreamResponse:
    """Show what was found. The only thing there is opens at once, and so does the only one that has this very name.

    An order opens though its countdown has its name, and a payment is shown beside its order.
    """
    findings: Findings | None = await find(visit.person.suite, text) if text else None
    if findings is not None and not findings.silent:
        named = [found for found in findings.found if found.name.lower() == text.lower()]
        only = _opened(named) or findings.found
        address = address_of(only[0].thing.noun, only[0].name) if len(only) == 1 else None
        if address is not None:
            return redirect(address)
    return visit.page("find/find.html", text=text, findings=findings, private=private)


def _opened(named: Sequence[Found]) -> Sequence[Found]:
    """Return the one that opens of those with the very name that was looked for; nothing where people choose."""
    orders = [found for found in named if found.thing.noun == "order"]
    others = [found for found in named if found.thing.noun != "payment"]
    return orders or (others if len(others) == 1 else ())
