"""Fields that hold more than one value, as several inputs: an object by its parts, a list by its rows. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console.client.parts import PARTS, TRAITS

_ROW = re.compile(r"(.+)\.(\d{1,4})\.([^.]+)")
_BLANK_ROWS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """``parts`` are the inputs; ``rows``: as often as there are rows, of which a person may add some (``more``).

    ``text``: one text may stand instead of the parts. ``listed``: each part holds several values with commas between. ``ordered``: the
    parts' values are a list. ``moments``, ``days``: parts that are times, or days.
    """

    parts: tuple[str, ...]
    rows: bool = False
    more: bool = False
    text: bool = False
    listed: bool = False
    ordered: bool = False
    moments: frozenset[str] = frozenset()
    days: frozenset[str] = frozenset()

    def kind(self, part: str) -> str:
        """Return how a part is filled in: moment, day or line."""
        return "moment" if part in self.moments else "day" if part in self.days else "line"


_TRAITS = Structure(parts=TRAITS, listed=True)
STRUCTURES: Mapping[tuple[str, str], Structure] = {
    ("order correct", "customer"): Structure(parts=PARTS["order correct", "customer"]),
    ("order correct", "address"): Structure(parts=PARTS["order correct", "address"], text=True),
    ("order correct", "delivery_window"): Structure(
        parts=("starts", "ends"), text=True, moments=frozenset({"starts", "ends"})
    ),
    ("order correct", "positions"): Structure(
        parts=("id", "name", "quantity", "price", "discountPrice", "weight", "replaces"), rows=True, more=True
    ),
    ("order refund", "positions"): Structure(parts=("id", "quantity"), rows=True),
    ("silence add", "match"): _TRAITS,
    ("known-defect add", "match"): _TRAITS,
    ("duty override", "swap"): Structure(parts=("one", "other"), ordered=True, days=frozenset({"one", "other"})),
}
"""By act and field. The rows of a refund without a quantity do not go back."""


def rows_of(name: str, structure: Structure, given: Mapping[str, str]) -> int:
    """Return how many rows a form shows: those that are filled in, and some blank ones where a person may add."""
    filled = [int(match[2]) + 1 for each in given if (match := _ROW.fullmatch(each)) and match[1] == name]
    return max(filled, default=0) + (_BLANK_ROWS if structure.more or not filled else 0)


def read(name: str, structure: Structure, given: Mapping[str, str], moment: Callable[[str], str]) -> Any:
    """Return what was filled in, None for nothing. ``moment`` reads a time; it raises ``ValueError`` for what is none."""
    if structure.rows:
        count = rows_of(name, structure, given)
        rows = [_parts(f"{name}.{row}", structure, given, moment) for row in range(count)]
        needed = "id" if structure.more else structure.parts[-1]
        return [row for row in rows if needed in row] or None
    found = _parts(name, structure, given, moment)
    if structure.ordered:
        if found and len(found) < len(structure.parts):
            raise ValueError(name)
        return [found[part] for part in structure.parts] if found else None
    if found:
        return found
    return given.get(name, "").strip() or None if structure.text else None


def _parts(name: str, structure: Structure, given: Mapping[str, str], moment: Callable[[str], str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in structure.parts:
        text = given.get(f"{name}.{part}", "").strip()
        if text:
            found[part] = (
                [each.strip() for each in text.split(",") if each.strip()]
                if structure.listed
                else moment(text)
                if part in structure.moments
                else text
            )
    return found


def names_of(name: str, structure: Structure, given: Mapping[str, str]) -> list[str]:
    """Return the names of a field's inputs in a form."""
    if structure.rows:
        return [f"{name}.{row}.{part}" for row in range(rows_of(name, structure, given)) for part in structure.parts]
    return [*([name] if structure.text else []), *(f"{name}.{part}" for part in structure.parts)]


def expanded(name: str, structure: Structure, text: str) -> dict[str, str]:
    """Return the inputs of a value that an address holds as JSON; nothing where it is none that fits."""
    try:
        value = json.loads(text)
    except ValueError:
        return {name: text} if structure.text else {}
    if isinstance(value, Mapping):
        known = {part: value[part] for part in structure.parts if part in value}
        return {f"{name}.{part}": ", ".join(map(str, _listed(each))) for part, each in known.items()}
    if structure.ordered and isinstance(value, list):
        return {f"{name}.{part}": str(each) for part, each in zip(structure.parts, value, strict=False)}
    return {}


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else (value,)
