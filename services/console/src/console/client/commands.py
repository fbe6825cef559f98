"""The same in a terminal: what the console shows and does, as the ``ordersctl`` command that shows or does it. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from common.money import to_decimal_string
from console.client.change import Wish
from console.client.operations import Field
from console.client.things import EVERYWHERE, THINGS

_PROGRAM = "ordersctl"
_LISTED = {
    "audit": ("audit",),
    "countdown": ("intake", "countdowns"),
    "flag": ("flag", "get"),
    "limit": ("limits", "list"),
    "unarrived": ("intake", "unarrived"),
}
"""Kinds of things whose list is not ``NOUN list``."""
_SHOWN = {"countdown": ("intake", "countdown"), "flag": ("flag", "get"), "limit": ("limits", "show")}
_OWN = {"check refunds": "ordersctl check refunds"}
"""Acts whose command asks for nothing."""


def of_list(noun: str, wanted: Mapping[str, str], *, service: str | None = None) -> str:
    """Return the command that lists what a filter matches."""
    options = {**({"service": service} if service else {}), **wanted}
    return shlex.join([_PROGRAM, *_LISTED.get(noun, (noun, "list")), *_options(options)])


def of_one(noun: str, name: str, *, service: str | None = None) -> str | None:
    """Return the command that shows one thing, None where there is only the list."""
    if (noun in THINGS and THINGS[noun].one is None) or (noun in EVERYWHERE and EVERYWHERE[noun][2] is None):
        return None
    options = _options({"service": service} if service else {})
    return shlex.join([_PROGRAM, *_SHOWN.get(noun, (noun, "show")), *options, *_names((name,))])


def of_wish(wish: Wish, *, currency: str | None = None) -> str:
    """Return the command of a change, which rehearses it again and asks. ``currency``: of the sums, which people write as decimals."""
    act = wish.found()
    if act.name in _OWN:
        return _OWN[act.name]
    known = {field.name: field for field in act.asked}
    place = "" if act.place is None else act.place.name
    filled = {name: _written(known[name], given, currency) for name, given in wish.fields.items() if name in known}
    names = (*wish.ids, *([str(filled.pop(place))] if place in filled else []))
    words = [_PROGRAM, act.noun, act.verb]
    if wish.filter is not None:
        words += [word for name, given in wish.filter.items() for word in ("--filter", f"{name}={given}")]
    if wish.limit is not None and wish.after is None:
        words += ["--limit", str(wish.limit)]
    if wish.version is not None:
        words += ["--expected-version", str(wish.version)]
    if act.noun in EVERYWHERE:
        words += ["--service", wish.service]
    return shlex.join([*words, *_options({**filled, "reason": wish.reason}), *_names(names)])


def _names(names: tuple[str, ...]) -> list[str]:
    """A name that begins with a dash is no option."""
    return [*(["--"] if any(name.startswith("-") for name in names) else []), *names]


def _options(given: Mapping[str, str | bool]) -> list[str]:
    found: list[str] = []
    for name, text in given.items():
        option = "--" + name.replace("_", "-")
        if isinstance(text, bool):
            found.append(option if text else "--no-" + option[2:])
        elif text in ("true", "false"):
            found.append(option if text == "true" else "--no-" + option[2:])
        else:
            found.append(f"{option}={text}")
    return found


def _written(field: Field, given: Any, currency: str | None) -> str | bool:
    if isinstance(given, bool):
        return given
    if field.name == "amount" and currency is not None and isinstance(given, int):
        return to_decimal_string(given, currency)
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
