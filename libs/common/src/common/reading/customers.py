"""Where a customer stands in a payload, by the names that the reader knows: to hide or to erase it in what is kept as it came."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from common.reading.people import _ADDRESS_NAMES, _LOOSE_PLACES, _OF_PEOPLE, _PEOPLE, _PLACES, _folded_name, phone_key

_WHOLE = frozenset(
    {
        *_PEOPLE,
        *_PLACES,
        "billing",
        "phones",
        "emails",
        "addresses",
        "recipients",
        "customers",
        "persons",
        "coordinates",
        "geo",
    }
)
"""Under these names everything is the customer's."""

_SAID = frozenset(
    {
        "comment", "comments", "note", "notes", "instructions", "customercomment", "clientcomment", "ordercomment",
        "deliverycomment", "couriercomment", "wishes", "message", "комментарий", "примечание", "lat", "lon", "lng", "latitude",
        "longitude", "ip", "ipaddress", "useragent", "xforwardedfor", "xrealip", "forwarded", "trueclientip", "cfconnectingip",
        "xclientip", "remoteaddr",
    }
)  # fmt: skip
"""Texts that people wrote, and where they were when they did."""

_OF_ANY_THING = frozenset(
    {
        "text", "value", "full", "raw", "line", "formatted", "name", "title", "floor", "level", "state", "region", "building",
        "block", "housing", "corpus", "country", "unit", "office", "room", "number", "home", "town", "house", "doorway",
    }
)  # fmt: skip
"""Parts of an address only inside one: a shop's goods and zones have fields of these names too."""

_BESIDE = _OF_ANY_THING - {"floor", "building", "house", "office", "room", "town", "home"}
"""Beside the order's own fields these are of any thing, even where ``delivery`` or the like begins the name."""

_SAID_WITHIN = {"cancellation": frozenset({"description", "reason", "text"})}
"""Texts that people wrote, where only the part of the order around them tells them from a shop's own."""

_CUSTOMERS = _OF_PEOPLE | _WHOLE | _SAID | (_ADDRESS_NAMES.keys() - _OF_ANY_THING)
_CUSTOMERS |= {by + name for by in _LOOSE_PLACES for name in _ADDRESS_NAMES.keys() - _BESIDE}
_LONGEST_NAME = 64
_NO_DIGITS = re.compile(r"\D+", re.ASCII)
_DEEPEST = 100  # twice that, within the customer's again, is what can be written as JSON
_COMPARED_DIGITS = 10


def without_customer(
    value: Any, hide: Callable[[Any], Any], *, depth: int = 0, said: frozenset[str] = frozenset()
) -> Any:
    """Return a copy of a JSON-like value in which ``hide`` has replaced every text and number that is a customer's.

    The shape stays: names of fields, lists and their lengths. Goods, sums, times and ids stay as they are. ``said``: the names under
    which a person's words stand here, and nowhere else.
    """
    if depth > _DEEPEST:
        return hide(value)
    if isinstance(value, Mapping):
        return {
            name: _hidden(item, hide)
            if (folded := _folded(name)) in _CUSTOMERS or folded in said
            else without_customer(item, hide, depth=depth + 1, said=_SAID_WITHIN.get(folded, frozenset()))
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [without_customer(item, hide, depth=depth + 1, said=said) for item in value]
    return value


def mentions(value: Any, *, phone: str | None = None, email: str | None = None) -> bool:
    """Say whether any text or number of a JSON-like value holds this phone or this mail, however it is spelled."""
    key = None if phone is None else phone_key(phone)
    digits = None if key is None else key[1:][-_COMPARED_DIGITS:]
    mail = None if email is None else email.strip().casefold()
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, str | int) and not isinstance(item, bool):
            text = str(item)
            if (digits is not None and digits in _NO_DIGITS.sub("", text)) or (mail and mail in text.casefold()):
                return True
    return False


def _folded(name: Any) -> str:
    return _folded_name(name) if isinstance(name, str) and len(name) <= _LONGEST_NAME else ""


def _hidden(value: Any, hide: Callable[[Any], Any], *, depth: int = 0) -> Any:
    if depth <= _DEEPEST:
        if isinstance(value, Mapping):
            return {name: _hidden(item, hide, depth=depth + 1) for name, item in value.items()}
        if isinstance(value, list):
            return [_hidden(item, hide, depth=depth + 1) for item in value]
    return value if value is None or isinstance(value, bool) else hide(value)
