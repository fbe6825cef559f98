"""``find`` and ``open``: whatever a person has, and where it is shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from console.cli.commands import Context, add
from console.cli.exits import EndedError, Exit
from console.cli.output import Columns

if TYPE_CHECKING:
    from console.client.find import Found

_COLUMNS = Columns(("kind", "name", "state", "order", "at"), ("address",), name="name")


async def find(at: Context, *, words: Annotated[list[str], typer.Argument(metavar="X")]) -> Exit | None:
    """Find by number, external id, phone, mail, name, payment, refund, incident, ticket, workflow, delivery or trace."""
    from console.client.find import find as look

    findings = await look(at.suite, " ".join(words))
    at.out.rows(
        [
            {
                "kind": one.thing.noun,
                "name": one.name,
                "state": one.thing.state_of(one.item),
                "order": one.item.get("order_number") or one.item.get("number"),
                "at": one.at,
                "address": (one.thing.address or "").replace("{id}", one.name) or None,
                "item": dict(one.item),
            }
            for one in findings.found
        ],
        _COLUMNS,
    )
    for service in findings.silent:
        at.out.note(f"{service} does not answer: what it knows is not here", style="red")
    if findings.silent:
        return Exit.UNREACHABLE if not findings.found else Exit.PARTLY
    if not findings.found:
        at.out.note("nothing found")
        return Exit.NOT_FOUND
    return None


async def open_page(
    at: Context,
    *,
    words: Annotated[list[str], typer.Argument(metavar="X")],
    browser: Annotated[
        bool | None,
        typer.Option(
            "--browser/--print", help="open it, or only say where it is (usual: open where there is a screen)"
        ),
    ] = None,
) -> Exit | None:
    """Open the console's page of what is found, and say where it is."""
    from console.client.find import find as look

    text = " ".join(words)
    findings = await look(at.suite, text)
    shown = [one for one in findings.found if one.thing.address]
    if not shown:
        raise EndedError("nothing found", Exit.UNREACHABLE if findings.silent else Exit.NOT_FOUND)
    if at.profile.console is None:
        raise EndedError(f"profile {at.profile.name} names no console")
    if several := _several(shown, text):
        for one in several:
            at.out.note(f"{one.thing.noun} {one.name}  {_address(at.profile.console, one)}")
        raise EndedError("several fit: name one of them", Exit.REFUSED)
    address = _address(at.profile.console, shown[0])
    at.out.line({"address": address}, address)
    if _has_screen(at) if browser is None else browser:
        import webbrowser

        webbrowser.open(address)
    return None


def _several(shown: Sequence[Found], text: str) -> Sequence[Found]:
    """Return those between which a person has to choose; nothing where the first one is meant.

    Many kinds have numbers for names: of several that have this very name only an order goes before the others, as in the console.
    """
    named = [one for one in shown if one.name.lower() == text.strip().lower() and one.thing.noun != "payment"]
    if len(named) > 1 and named[0].thing.noun != "order":
        return named
    return shown if len({one.name for one in shown if one.thing is shown[0].thing}) > 1 else ()


def _address(console: str, one: Found) -> str:
    from urllib.parse import quote

    return console.rstrip("/") + (one.thing.address or "").replace("{id}", quote(one.name, safe=""))


def _has_screen(at: Context) -> bool:
    """Tell whether a person sits at a terminal where a browser can be opened."""
    if at.out.form is not None or not sys.stdout.isatty():
        return False
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    )


def build_find(app: typer.Typer) -> None:
    """Add ``find``."""
    add(app, "find", find)


def build_open(app: typer.Typer) -> None:
    """Add ``open``."""
    add(app, "open", open_page)
