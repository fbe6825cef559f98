"""``list`` and ``show`` of every kind of thing, made of the client's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from console.cli.commands import Context, add, parameter
from console.cli.exits import Exit
from console.cli.fields import given_fields, options, read
from console.cli.output import Columns
from console.client.operations import operation
from console.client.things import THINGS, Thing

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
        query = {name: read(known[name], held) for name, held in given_fields(given).items()}
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

            at.out.thing(await read_payment(at.suite, given["name"]), name=thing.id)
        else:
            at.out.thing(await thing.read(at.suite, given["name"]), name=thing.id)
        return None

    name = parameter("name", Annotated[str, typer.Argument(metavar=thing.id.upper())])
    add(app, verb, run, more=[name], about=f"Show one {_SINGULAR.get(noun, noun)}, whole")
