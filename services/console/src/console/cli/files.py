"""``roster show|set`` and ``people show|set``: the plan of duty and the colleagues, each a whole file.

What ``show -o json`` prints is what ``set`` takes: kept, changed with an editor, rehearsed, and put in the place of what holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli.acts import MANNER, REASON, manner_of
from console.cli.changing import change, reason_for
from console.cli.commands import Context, Run, add, parameter
from console.cli.exits import EndedError, Exit
from console.cli.fields import read_json

if TYPE_CHECKING:
    from console.client.models.notifier import PeopleView, RosterView

_FILE = Annotated[str, typer.Argument(metavar="FILE", help="JSON, as `show -o json` prints it; - for stdin")]
_PEOPLE = ("people", "owners", "seniors")
_VERSION = parameter(
    "expected_version",
    Annotated[
        int | None,
        typer.Option(min=0, metavar="NUMBER", help="the version that `show` told of; what was put since is left alone"),
    ],
    None,
)


async def show_roster(at: Context) -> Exit | None:
    """Show the plan of duty, as `roster set` takes it; `duty weeks` shows what comes of it. 3: there is none."""
    said: RosterView = await at.suite.get("notifier", "/admin/v1/roster")
    if said["plan"] is None:
        at.out.note("there is no plan of duty yet")
        return Exit.NOT_FOUND
    at.out.thing(said["plan"], name="first_week")
    at.out.note(f"version {said['version']}")
    return None


async def set_roster(at: Context, *, file: _FILE, **given: Any) -> Exit | None:
    """Put a plan of duty in the place of the one that holds; rehearsed, it says who answers instead of whom, and when (operator)."""
    return await _put(at, "roster set", _read(file), given)


async def show_people(at: Context) -> Exit | None:
    """Show the colleagues, their accounts, and who owns what, as `people set` takes them; phones to operators."""
    said: PeopleView = await at.suite.get("notifier", "/admin/v1/people")
    at.out.thing({name: held for name, held in said.items() if name in _PEOPLE}, name="people.0.id")
    if said["origin"] == "file":
        at.out.note("they are those of the file")
    at.out.note(f"version {said['version']}")
    return None


async def set_people(at: Context, *, file: _FILE, **given: Any) -> Exit | None:
    """Put all colleagues anew, until the people file is changed; rehearsed, it says who comes, goes and changes (admin)."""
    return await _put(at, "people set", _read(file), given)


def _read(file: str) -> Mapping[str, Any]:
    found = read_json(f"@{file}", "FILE")
    if not isinstance(found, dict):
        raise EndedError("FILE: wants a JSON object")
    return found


async def _put(at: Context, act: str, held: Mapping[str, Any], given: dict[str, Any]) -> Exit:
    from console.client.change import Wish

    manner, version = manner_of(given), given["expected_version"]
    wish = Wish(act=act, service="notifier", reason=reason_for(at, given["reason"]), fields=held, version=version)
    return await change(at, wish, manner)


def build_roster(app: typer.Typer) -> None:
    """Add ``roster``."""
    _build(app, show_roster, set_roster, example="roster set plan.json")


def build_people(app: typer.Typer) -> None:
    """Add ``people``."""
    _build(app, show_people, set_people, example="people set people.json")


def _build(app: typer.Typer, show: Run, put: Run, *, example: str) -> None:
    add(app, "show", show)
    more = [_VERSION, REASON, *MANNER]
    add(app, "set", put, more=more, example=f'ordersctl {example} -r "why I do it" --dry-run')
