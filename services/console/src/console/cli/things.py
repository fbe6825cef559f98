"""``list`` and ``show`` of every kind of thing, made of the client's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from console.cli.commands import Context, add, parameter
from console.cli.exits import Exit
from console.cli.fields import given_fields, options, read
from console.cli.output import Columns, Form
from console.client.operations import operation
from console.client.things import THINGS, Thing, value

LIMIT = Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, metavar="NUMBER", help="at most so many")]
_LARGEST_PAGE = 200
_SINGULAR = {
    "alert-sender": "sender of alerts",
    "duty": "override of the roster",
    "endangered": "endangered order",
    "intake": "delivery, its body too",
    "limit": "of those who may not order now",
    "message": "message, and where each copy went",
}


def columns_of(thing: Thing) -> Columns:
    """Return what a table of such things shows."""
    named = () if thing.id in thing.columns else (thing.id,)
    return Columns((*named, *thing.columns), thing.wide, thing.id)


def add_list(app: typer.Typer, noun: str, verb: str = "list") -> None:
    """Add the command that lists things of a kind, with an option for each filter that the service has."""
    thing = THINGS[noun]
    listed = operation(thing.service, f"GET {thing.list}")
    known = {field.name: field for field in listed.query}

    async def run(at: Context, *, limit: LIMIT = 50, **given: Any) -> Exit | None:
        """List them."""
        query = {name: read(known[name], held, at.out.zone) for name, held in given_fields(given).items()}
        items, matched = await listing(
            at, thing, limit=limit, paged="limit" in known, counted="count" in known, **query
        )
        at.out.rows(items, columns_of(thing))
        if matched is not None and not at.out.for_programs:
            at.out.note(f"{matched} match, {len(items)} shown")
        return None

    add(app, verb, run, more=options(f"{noun} {verb}", listed.query), about=listed.summary)


async def listing(
    at: Context, thing: Thing, *, limit: int, paged: bool = True, counted: bool = False, **query: Any
) -> tuple[list[Mapping[str, Any]], str | None]:
    """Return the first items that match, and how many match if the service says so (``1000+`` where it stopped counting)."""
    items: list[Mapping[str, Any]] = []
    more: dict[str, Any] = {"count": True} if counted else {}
    matched = None
    while True:
        if paged:
            more["limit"] = min(limit - len(items), _LARGEST_PAGE)
        page = await thing.page(at.suite, **query, **more)
        items += page.items
        if page.count is not None:
            matched = f"{page.count}{'' if page.exact else '+'}"
        if page.next_cursor is None or len(items) >= limit:
            return items[:limit], matched
        more = {"cursor": page.next_cursor}


def add_show(app: typer.Typer, noun: str, verb: str = "show") -> None:
    """Add the command that shows one."""
    thing = THINGS[noun]

    async def run(at: Context, **given: Any) -> Exit | None:
        """Show it."""
        if noun == "payment":
            from console.client.payments import read_payment

            found = await read_payment(at.suite, given["name"])
        else:
            found = await thing.read(at.suite, given["name"])
        whole = _WHOLE.get(noun)
        at.out.thing(await whole(at, found) if whole else found, name=thing.id)
        return None

    name = parameter("name", Annotated[str, typer.Argument(metavar=thing.id.upper())])
    add(app, verb, run, more=[name], about=f"Show one {_SINGULAR.get(noun, noun)}, whole")


async def _with_money(at: Context, order: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an order with what of its money went back, if that is shown. To people, what nobody knows is told as that."""
    chosen = () if at.out.for_programs else at.out.columns
    parts = [path.partition(".")[2] for path in chosen if path.partition(".")[0] == "money"]
    if at.out.form is Form.NAME or (chosen and not parts):
        return order
    from console.client.remainder import money_of

    money = await money_of(at.suite, order)
    if at.out.for_programs:
        return {**order, "money": money}
    unknown = at.out.say("not known") if at.out.for_people else "not known"
    if money is None:
        return {**order, "money": dict.fromkeys(parts, unknown) if all(parts) and parts else unknown}
    paid_by_us = bool(value(order, "payment.id"))
    return {**order, "money": {name: unknown if held is None and paid_by_us else held for name, held in money.items()}}


async def _with_report(at: Context, order: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an endangered order with the draft of its report to the owner, and what was sent of it; None where that cannot be read."""
    chosen = "" if at.out.for_programs else ",".join(at.out.columns)
    if at.out.form is Form.NAME or (chosen and "report" not in chosen):
        return order
    from console.client.operations import filled
    from console.client.suite import or_none

    path = filled("/admin/v1/endangered-orders/{id}/report", id=str(order["id"]))
    report = await or_none(at.suite.get("webhook-gateway", path))
    return {**order, "report": report or (None if at.out.for_programs else at.out.say("not known"))}


async def _said_once(at: Context, message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message, to people with its text once, and of each copy only what is its own, and why it was late."""
    if at.out.for_programs or at.out.columns:
        return message
    from console.client.late import late
    from console.client.words import words

    say = words(at.out.language).gettext
    copies = [
        {
            **{name: held for name, held in copy.items() if held != message.get(name)},
            "late": late(copy, language=at.out.language, zone=at.out.zone, translate=say),
            "held_behind": (kind := copy.get("held_behind_kind"))
            and f"{kind}: ordersctl message show {copy['held_behind']}",
        }
        for copy in message.get("deliveries") or ()
    ]
    return {**message, "deliveries": copies}


async def _read_once(at: Context, delivery: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a delivery, to people with its body as text where it is text."""
    if at.out.for_programs or at.out.columns or delivery.get("body") is None:
        return delivery
    return {name: held for name, held in delivery.items() if name != "body_base64"}


async def _with_body(at: Context, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an event, to people with where its body is, if it came with a delivery."""
    if at.out.for_programs or at.out.columns or not (delivery := value(event, "attributes.delivery_id")):
        return event
    return {**event, "body": f"ordersctl intake show {delivery}"}


_WHOLE = {"order": _with_money, "endangered": _with_report, "message": _said_once, "intake": _read_once}
_WHOLE |= {"event": _with_body}
"""Things that are shown otherwise than their service answers: with what another one knows, or without what stands there twice."""
