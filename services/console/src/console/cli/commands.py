"""How a command is run: the options that all have, the connection, and one place where failures become exit codes."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.moments import BUSINESS_ZONE, zone_named
from console.cli.exits import EndedError, Exit, told
from console.cli.output import Form, Output
from console.cli.profiles import Profile, chosen, chosen_if_any
from console.client.sentences import Language, language_of

if TYPE_CHECKING:
    from console.client.suite import Suite

_Option = tuple[str, Any, Any]
_COMMON: tuple[_Option, ...] = (
    (
        "profile",
        Annotated[
            str | None, typer.Option("--profile", "-p", metavar="NAME", help="which suite, as whom (ORDERSCTL_PROFILE)")
        ],
        None,
    ),
    ("output", Annotated[Form | None, typer.Option("--output", "-o", help="the form of the result")], None),
    (
        "columns",
        Annotated[str | None, typer.Option(metavar="NAMES", help="columns of a table: dotted names, by commas")],
        None,
    ),
    ("no_color", Annotated[bool, typer.Option("--no-color", help="without colours (NO_COLOR)")], False),
    (
        "language",
        Annotated[Language | None, typer.Option(help="the language of words; else the profile's, else the terminal's")],
        None,
    ),
    (
        "time_zone",
        Annotated[
            str | None,
            typer.Option(
                metavar="NAME", help="the zone of times, such as Asia/Omsk; else the profile's, else the suite's"
            ),
        ],
        None,
    ),
)


@dataclass
class Context:
    """What a command works with: its profile, how it speaks, and the connection, which is made when it is first used."""

    profile: Profile
    out: Output
    suite: Suite

    @property
    def interactive(self) -> bool:
        """Tell whether a person can be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty()


Run = Callable[..., Awaitable[Exit | None]]
"""A command: takes a ``Context`` and its own parameters, and returns how it ended; None is done."""
_Call = Callable[[Output, str | None, dict[str, Any]], Exit | None]


def parameter(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    """Return a parameter of a command that is made of a table; ``kind`` is annotated as typer wants it."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)


def add(
    app: typer.Typer,
    name: str,
    run: Run,
    *,
    more: Sequence[inspect.Parameter] = (),
    about: str = "",
    example: str | None = None,
) -> None:
    """Make a command of a coroutine. ``more``: parameters that it takes as keywords beside those that it declares.

    ``example``: of its use, which stands at the end of its help.
    """

    def call(out: Output, profile: str | None, given: dict[str, Any]) -> Exit | None:
        import asyncio

        return asyncio.run(_connected(run, given, profile, out))

    _register(app, name, call, [*_declared(run), *more], _COMMON, about or inspect.getdoc(run), example)


def add_local(app: typer.Typer, name: str, run: Callable[..., Exit | None]) -> None:
    """Make a command of a function that asks no service; it takes an ``Output`` and its own parameters."""

    def call(out: Output, profile: str | None, given: dict[str, Any]) -> Exit | None:
        return run(out, **given)

    _register(app, name, call, _declared(run), _COMMON[1:], inspect.getdoc(run))


def _declared(run: Callable[..., Any]) -> list[inspect.Parameter]:
    return [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for each in list(inspect.signature(run, eval_str=True).parameters.values())[1:]
        if each.kind is not inspect.Parameter.VAR_KEYWORD
    ]


def _register(
    app: typer.Typer,
    name: str,
    call: _Call,
    own: list[inspect.Parameter],
    common: Sequence[_Option],
    about: str | None,
    example: str | None = None,
) -> None:
    def command(**given: Any) -> None:
        shared = {each: given.pop(each) for each, _, _ in common}
        code = execute(call, given, **shared)
        if code:
            raise typer.Exit(code)

    parameters = [*own, *(parameter(*each) for each in common)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # typer reads it
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    app.command(name, help=about, epilog=None if example is None else f"Example: {example}")(command)


def execute(
    call: _Call,
    given: dict[str, Any],
    *,
    profile: str | None = None,
    output: Form | None,
    columns: str | None,
    no_color: bool,
    language: Language | None,
    time_zone: str | None,
) -> int:
    """Run a command and return its exit code. What was not foreseen is raised."""
    names = tuple(filter(None, (each.strip() for each in (columns or "").split(","))))
    color = not no_color and not os.environ.get("NO_COLOR")
    own = chosen_if_any(profile)
    said = language_of(os.environ, language or (own.language if own else None))
    out = Output(form=output, columns=names, color=color, language=said)
    try:
        out.zone = _zone(time_zone or (own.time_zone if own else None))
        return call(out, profile, given) or Exit.DONE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception as error:
        failure = told(error)
        if failure is None:
            raise
        out.note(failure[0], style="red")
        return failure[1]


def _zone(name: str | None) -> tzinfo:
    try:
        return zone_named(name or BUSINESS_ZONE)
    except ValueError:
        raise EndedError(f"--time-zone: {name} is no time zone's name") from None


async def _connected(run: Run, given: dict[str, Any], profile: str | None, out: Output) -> Exit | None:
    from console.client.suite import connected

    found = chosen(profile)
    token = found.read_token()
    if not token.isascii() or any(sign.isspace() or not sign.isprintable() for sign in token):
        raise EndedError(f"profile {found.name}: what was read is no token", Exit.NO_RIGHT)
    async with connected(found.services, token, trusted=found.trusted()) as suite:
        suite.language = out.language if out.for_people else None  # what programs read is the same in every terminal
        return await run(Context(found, out, suite), **given)
