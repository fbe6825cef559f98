"""``api`` and ``apply``: any address of a service, and a plan that was kept."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli.acts import MANNER, manner_of
from console.cli.changing import carry_out, kept_plan
from console.cli.commands import Context, add
from console.cli.exits import EndedError, Exit
from console.cli.fields import offering, read_json
from console.cli.output import Form, as_json, printable
from console.cli.showing import show_plan
from console.client.operations import SERVICES

if TYPE_CHECKING:
    from console.client.change import Wish

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


async def api(
    at: Context,
    *,
    method: Annotated[str, typer.Argument()],
    path: Annotated[str, typer.Argument(help="with its query, such as /admin/v1/orders?limit=3")],
    service: Annotated[
        str, typer.Option("--service", "-s", help=f"one of {', '.join(SERVICES)}", autocompletion=offering(SERVICES))
    ],
    data: Annotated[str | None, typer.Option("--data", "-d", help="JSON, @file or @- for stdin")] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency-Key: the same key takes effect once")] = None,
) -> Exit | None:
    """Call any address of a service with this profile's token and print what it answers."""
    from urllib.parse import parse_qsl, urlsplit

    if method.upper() not in _METHODS or not path.startswith("/") or path.startswith("//"):
        raise EndedError(f"a method ({', '.join(_METHODS)}) and a path that begins with /")
    if service not in SERVICES:
        raise EndedError(f"--service: one of {', '.join(SERVICES)}")
    asked = urlsplit(path)
    query = dict(parse_qsl(asked.query, keep_blank_values=True))
    if method.upper() == "GET":
        if data is not None:
            raise EndedError("--data: not with GET")
        answer: Any = await at.suite.get(service, asked.path, **query)
    else:
        if query:
            raise EndedError("a query: only with GET")
        body = read_json(data, "--data") if data is not None else {}
        answer = await at.suite.send(service, method.upper(), asked.path, body, key=key)
    if isinstance(answer, dict) and at.out.form in (Form.YAML, Form.NAME):
        at.out.thing(answer)
    elif isinstance(answer, str):
        typer.echo(printable(answer, lines=True))
    else:
        typer.echo(as_json(answer, indent=None if at.out.form is Form.JSONL else 2))
    return None


async def apply(
    at: Context,
    *,
    plan: Annotated[str, typer.Argument(help="the file of `--dry-run -o json`, or - for stdin")],
    **given: Any,
) -> Exit | None:
    """Do exactly what a kept plan says, or a list of them. Applied again it does nothing twice; what has changed is left alone (7)."""
    manner = manner_of(given)
    read = read_json(f"@{plan}", "plan")
    kept = [kept_plan(at, each) for each in (read if isinstance(read, list) and read else [read])]
    if manner.dry_run:
        for each in kept:
            show_plan(at, each)
        return None
    for each in kept:
        await _ensure_allowed(at, each.wish)
    alike = groupby(kept, lambda each: (each.wish.act, each.wish.service))
    codes = [await carry_out(at, tuple(plans), manner) for _, plans in alike]
    return codes[0] if len(set(codes)) == 1 else Exit.PARTLY


async def _ensure_allowed(at: Context, wish: Wish) -> None:
    """Say before anybody is asked that the profile's token has no right to what a plan does, which somebody else may have rehearsed."""
    from console.client.suite import RefusedError

    offered = wish.found().operation
    try:
        whoami = await at.suite.get(offered.service, "/admin/v1/whoami")
    except RefusedError:
        return  # the change itself will be told why
    allowed = whoami.get("permissions")
    if allowed is not None and f"{offered.method} {offered.path}" not in allowed:
        lacking = f"it needs the role {offered.role}"
        if offered.is_for(str(whoami.get("role"))):
            lacking = "the token is not for that"
        raise EndedError(f"{wish.act}: {lacking}; nothing was done", Exit.NO_RIGHT)


def build_api(app: typer.Typer) -> None:
    """Add ``api``."""
    add(app, "api", api)


def build_apply(app: typer.Typer) -> None:
    """Add ``apply``."""
    add(app, "apply", apply, more=MANNER)
