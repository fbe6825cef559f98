"""What an operation takes, as options, and what a person wrote there as the value that the service takes."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer

from common.money import exponent
from console.cli.commands import parameter
from console.cli.exits import EndedError
from console.cli.meanings import meaning, words_of
from console.client.operations import Field

_PREFIX = "field_"  # so that a field may have any name, and none hides an option that all commands have
_PART = "__"
"""Between the name of an object and that of a part of it."""
_NO_PARTS: Mapping[str, Sequence[str]] = {}
_PAGING = frozenset({"limit", "cursor", "count"})
_LATER = re.compile(r"([+-])(\d{1,6})(m|h|d|w)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def options(
    command: str, fields: Iterable[Field], *, sums: Sequence[str] = (), parts: Mapping[str, Sequence[str]] = _NO_PARTS
) -> list[inspect.Parameter]:
    """Return an option of a command for each field. ``sums``: money, written as decimals; ``parts``: what objects consist of."""
    offered = [field for field in fields if field.name not in _PAGING]
    inner = (
        Field(f"{field.name}{_PART}{part}", "string", required=False, rules={})
        for field in offered
        for part in parts.get(field.name, ())
    )
    return [_option(command, field, sums, field.name in parts) for field in (*offered, *inner)]


def given_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was given for fields, by their own names, and leave out what was not.

    Parts of an object (``--customer-phone``) are put together; with the whole of it (``--customer``) they are a usage error.
    """
    found = {name.removeprefix(_PREFIX): held for name, held in given.items() if held is not None}
    for name in [name for name in found if _PART in name]:
        whole, _, part = name.partition(_PART)
        held = found.setdefault(whole, {})
        if not isinstance(held, dict):
            raise EndedError(f"--{whole}: whole, or in parts (--{whole}-{part}), not both")
        held[part] = found.pop(name)
    return found


def _option(command: str, field: Field, sums: Sequence[str], has_parts: bool) -> inspect.Parameter:
    name = "--" + field.name.replace(_PART, "-").replace("_", "-")
    whole, _, part = field.name.rpartition(_PART)
    said = [
        field.rules.get("description") or meaning(command, part) if whole in ("", "match") else f"the {whole}'s {part}"
    ]
    if field.name in sums:
        said.insert(0, "a sum such as 10.50, in the order's currency")
    elif field.rules.get("format") == "date-time":
        said.append("a time such as 2026-01-31T10:00, or +2h, -1d, now")
    elif field.type in ("object", "array"):
        said.append("JSON, @file or @- for stdin" + (", or in parts as below" if has_parts else ""))
    elif field.choices:
        said.append("one of " + ", ".join(field.choices))
    says = "; ".join(filter(None, said)).replace("[", "\\[") + (" (needed)" if field.required else "")
    if field.type == "boolean":
        return parameter(
            _PREFIX + field.name, Annotated[bool | None, typer.Option(f"{name}/--no-{name[2:]}", help=says)], None
        )
    words = words_of(command, field.name, field.choices)
    offered = offering(words) if words else None
    option = typer.Option(name, help=says, show_default=False, metavar=_form(field, sums), autocompletion=offered)
    return parameter(_PREFIX + field.name, Annotated[str | None, option], None)


def _form(field: Field, sums: Sequence[str]) -> str:
    """In which form it is written, in a word."""
    if field.name in sums:
        return "SUM"
    if field.rules.get("format") == "date-time":
        return "TIME"
    return {"object": "JSON", "array": "JSON", "integer": "NUMBER", "number": "NUMBER"}.get(field.type, "TEXT")


def argument(field: Field) -> inspect.Parameter:
    """Return a word behind the names for a field that has only these choices."""
    says = f"[{'|'.join(field.choices)}]"
    offered = offering(field.choices)
    word = typer.Argument(metavar=field.name.upper(), help=says, show_default=False, autocompletion=offered)
    return parameter(_PREFIX + field.name, Annotated[str, word])


def offering(words: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what tells Tab that these words could stand there."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def filter_words(command: str, fields: Iterable[Field]) -> list[str]:
    """Return what could stand behind ``--filter``: each name, with its words where they are known."""
    words = {field.name: words_of(command, field.name, field.choices) for field in fields}
    return [f"{name}={word}" for name, known in words.items() for word in known or ("",)]


def read(field: Field, written: Any, zone: tzinfo) -> Any:
    """Return what the service takes for what was written, times in the zone. ``EndedError`` (usage) when it can be nothing of the kind."""
    name = "--" + field.name.replace("_", "-")
    if not isinstance(written, str):
        return written
    if field.type in ("object", "array"):
        found = read_json(written, name)
        if not isinstance(found, dict if field.type == "object" else list):
            raise EndedError(f"{name}: wants a JSON {field.type}")
        return found
    if field.type in ("integer", "number"):
        try:
            return int(written) if field.type == "integer" else float(written)
        except ValueError:
            raise EndedError(f"{name}: {written!r} is no number") from None
    if field.type == "boolean":
        if written.lower() not in ("true", "false"):
            raise EndedError(f"{name}: true or false")
        return written.lower() == "true"
    if field.rules.get("format") == "date-time":
        return read_moment(written, name, zone)
    if field.choices and written not in field.choices:
        raise EndedError(f"{name}: one of {', '.join(field.choices)}")
    return written


def read_json(written: str, name: str) -> Any:
    """Read JSON that stands there, in a file (``@path``) or on stdin (``@-``)."""
    text = read_text(written, name)
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise EndedError(f"{name}: no JSON: {error}") from None


def read_text(written: str, name: str) -> str:
    """Read words that stand there, in a file or on stdin."""
    if not written.startswith("@"):
        return written
    try:
        return sys.stdin.read() if written == "@-" else Path(written[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EndedError(f"{name}: {written[1:]}: {error}") from None


def read_moment(written: str, name: str, zone: tzinfo) -> str:
    """Read a time: ISO 8601 (without an offset: in the zone), also as lists show it, ``now``, or some time from now (``+90m``, ``-1d``)."""
    if written == "now":
        return datetime.now(UTC).isoformat()
    try:
        if later := _LATER.fullmatch(written):
            away = timedelta(**{_UNITS[later[3]]: int(later[2])})
            return (datetime.now(UTC) + (away if later[1] == "+" else -away)).isoformat()
        stem, _, named = written.rpartition(" ")
        as_shown = bool(stem) and ":" not in named
        moment = datetime.fromisoformat(stem if as_shown else written)
        there = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(zone)
        if not as_shown or there.tzname() == named:
            return there.isoformat()
    except (ValueError, OverflowError):
        pass
    raise EndedError(f"{name}: {written!r} is no time; 2026-01-31T10:00+03:00, +2h, -1d or now")


def minor_units(written: str, currency: str, name: str) -> int:
    """Turn ``10.50`` into 1050: exactly, never rounded. ``EndedError`` when the currency has no such sum."""
    try:
        digits = exponent(currency)
        exact = Decimal(written).scaleb(digits)
    except (InvalidOperation, ValueError):
        raise EndedError(f"{name}: {written!r} is no sum in {currency}") from None
    if not exact.is_finite() or exact != exact.to_integral_value() or exact <= 0 or exact.adjusted() > 15:
        raise EndedError(f"{name}: {written!r} is no sum in {currency}, which has {digits} decimal digits")
    return int(exact)


def read_filter(pairs: Sequence[str], fields: Sequence[Field], zone: tzinfo) -> dict[str, Any] | None:
    """Read ``--filter name=value``: names that the operation has. A name given twice, or one of a list, makes a list of values."""
    known = {field.name: field for field in fields}
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, written = pair.partition("=")
        if not equals or name not in known:
            raise EndedError(f"--filter {pair}: name=value with one of {', '.join(known) or 'nothing'}")
        field = known[name]
        if field.type == "array":
            found.setdefault(name, []).append(written)
        elif name in found:
            raise EndedError(f"--filter {name}: only once")
        else:
            found[name] = read(field, written, zone)
    return found or None
