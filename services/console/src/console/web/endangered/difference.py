"""What a person changed in a body: place by place, before and after. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Changed:
    """A place whose value differs; None before: it was not there, None after: it is gone. Values are JSON."""

    place: str
    before: str | None
    after: str | None


def difference(sent: str | None, mended: str | None) -> Sequence[Changed] | None:
    """Return the places that differ, in the order in which they were sent; None where one of the two is no JSON."""
    try:
        before, after = json.loads(sent or "", strict=False), json.loads(mended or "", strict=False)
        return list(_differing("", before, after))
    except (ValueError, RecursionError):
        return None


_ABSENT = object()


def _differing(place: str, before: Any, after: Any) -> Iterator[Changed]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _each(place, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _each(place, _named(before), _named(after))
    elif type(before) is not type(after) or before != after:
        yield Changed(place, _written(before), _written(after))


def _each(place: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Changed]:
    for name in dict.fromkeys((*before, *after)):
        inner = f"{place}.{name}" if place else name
        yield from _differing(inner, before.get(name, _ABSENT), after.get(name, _ABSENT))


def _named(items: Sequence[Any]) -> Mapping[str, Any]:
    """Name things by their ids where each has one of its own, so that one that was taken out moves no other; else by their places."""
    ids = [item.get("id") if isinstance(item, dict) else None for item in items]
    if all(isinstance(each, str | int) for each in ids) and len(set(map(str, ids))) == len(ids):
        return dict(zip(map(str, ids), items, strict=True))
    return {str(at): item for at, item in enumerate(items)}


def _written(value: Any) -> str | None:
    return None if value is _ABSENT else json.dumps(value, ensure_ascii=False)
