"""What every service has alike: dead letters, whose service is found by asking all, and the audit, which is one by time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from console.cli.acts import add_act
from console.cli.commands import Context, add
from console.cli.exits import EndedError, Exit
from console.cli.fields import given_fields, offering, options, read
from console.cli.output import Columns
from console.client.acts import act_of
from console.client.operations import SERVICES, operation
from console.client.things import EVERYWHERE, services_with, thing_of

_SERVICE = Annotated[str | None, typer.Option(help="only this service's", autocompletion=offering(SERVICES))]
_LIMIT = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="at most so many")]


async def listed(
    at: Context, noun: str, service: str | None, limit: int, query: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the newest of all services together, and the services that did not answer."""
    import asyncio

    from console.client.suite import UnreachableError

    path, columns, _ = EVERYWHERE[noun]
    asked = services_with(noun)
    if service is not None:
        if service not in asked:
            raise EndedError(f"--service: one of {', '.join(asked)}")
        asked = (service,)

    async def of(name: str) -> list[dict[str, Any]] | str:
        """Return its items, or its name if it does not answer."""
        try:
            walked = at.suite.walk(name, path, at_most=limit, **query)
            return [{"service": name, **item} async for item in walked]
        except UnreachableError:
            return name

    answers = await asyncio.gather(*(of(name) for name in asked))
    time = next(column for column in columns if column.endswith("at"))
    items = [item for answer in answers if not isinstance(answer, str) for item in answer]
    items.sort(key=lambda item: str(item[time]), reverse=True)
    return items[:limit], [answer for answer in answers if isinstance(answer, str)]


def add_everywhere(app: typer.Typer, noun: str, verb: str) -> None:
    """Add the list of all services together."""
    path, columns, _ = EVERYWHERE[noun]
    first = operation(services_with(noun)[0], f"GET {path}")
    known = {field.name: field for field in first.query}

    async def run(at: Context, *, service: _SERVICE = None, limit: _LIMIT = 50, **given: Any) -> Exit | None:
        """List them."""
        query = {name: read(known[name], held, at.out.zone) for name, held in given_fields(given).items()}
        items, silent = await listed(at, noun, service, limit, query)
        at.out.rows(
            items, Columns(("service", *columns), ("role", "request_id") if noun == "audit" else ("handler", "type"))
        )
        for name in silent:
            at.out.note(f"{name} does not answer: what it has is not here", style="red")
        return (Exit.PARTLY if len(silent) < len(services_with(noun)) else Exit.UNREACHABLE) if silent else None

    add(app, verb, run, more=options(f"{noun} {verb}", first.query), about=f"{first.summary}, of all services")


async def service_of(at: Context, names: tuple[str, ...], service: str | None) -> str:
    """Return whose dead letters these are. ``EndedError`` when nobody has them, or several do."""
    if service is not None:
        return service
    if not names:
        raise EndedError("--service: whose dead letters are meant")
    holders = [set(await _holders(at, name)) for name in names]
    common = set.intersection(*holders)
    if len(common) == 1:
        return common.pop()
    if not common:
        raise EndedError(f"no service has {', '.join(names)}", Exit.NOT_FOUND)
    raise EndedError(f"several have {', '.join(names)}: --service {' or '.join(sorted(common))}")


async def _holders(at: Context, name: str) -> list[str]:
    import asyncio

    from console.client.suite import RefusedError

    async def has(service: str) -> bool:
        try:
            await thing_of("dead-letter", service).read(at.suite, name)
        except RefusedError as error:
            if error.status in (401, 403):
                raise
            return False
        return True

    asked = services_with("dead-letter")
    return [service for service, found in zip(asked, await asyncio.gather(*map(has, asked)), strict=True) if found]


async def show(
    at: Context, *, name: Annotated[str, typer.Argument(metavar="ID")], service: _SERVICE = None
) -> Exit | None:
    """Show one dead letter with its message."""
    found = await service_of(at, (name,), service)
    at.out.thing({"service": found, **await thing_of("dead-letter", found).read(at.suite, name)})
    return None


def build_dead_letters(app: typer.Typer) -> None:
    """Add the commands of dead letters."""
    add_everywhere(app, "dead-letter", "list")
    add(app, "show", show)
    for verb in ("replay", "mend", "dismiss"):
        add_act(app, act_of(f"dead-letter {verb}", "orchestrator"), find_service=service_of)


def build_customer(app: typer.Typer) -> None:
    """Add ``customer erase``."""
    from console.cli.erasing import build

    build(app)


def build_audit(app: typer.Typer) -> None:
    """Add the audit."""
    add_everywhere(app, "audit", "audit")
