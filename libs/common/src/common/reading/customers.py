"""Where a customer stands in a payload, by the names that the reader knows: to hide or to erase it in what is kept as it came."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from string import digits
from typing import Any

from common.digits import digits_of
from common.reading.people import (
    _ADDRESS_NAMES,
    _CONTACT_NAMES,
    _LOOSE_PLACES,
    _NOBODYS,
    _OF_PEOPLE,
    _PEOPLE,
    _PLACES,
    _folded_name,
    phone_key,
)

_WHOLE = frozenset(
    {
        *_PEOPLE, *_PLACES, "billing", "phones", "emails", "addresses", "recipients", "customers", "persons", "coordinates", "geo",
    }
)  # fmt: skip
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

_GOODS = frozenset({"positions", "items", "lines", "goods", "products", "basket"})
_THINGS = re.compile(
    r"(?:(?:^|_)(?:id|type|number|currency|source|status|kind|time|timestamp|slug)|I[dD]|Type|Number|Currency|Status|Time)$"
)
"""How names of fields end whose texts are no words about anybody."""

_REACHED = ("phone", "телефон", "email")
"""How names of fields end under which a customer can be reached, whatever they begin with and which number they have: ``secondPhone``."""

_NAMES = frozenset(name for name, (part, _) in _CONTACT_NAMES.items() if part not in {"phone", "email"})
_NAMED = frozenset({"customer", "recipient", "client"})
"""Under these names a text is a name."""

_CUSTOMERS = _OF_PEOPLE | _WHOLE | _SAID | (_ADDRESS_NAMES.keys() - _OF_ANY_THING)
_CUSTOMERS |= {by + name for by in _LOOSE_PLACES for name in _ADDRESS_NAMES.keys() - _BESIDE}
_CUSTOMERS |= {f"address{name}" for name in _ADDRESS_NAMES} | {
    by + name for by in _LOOSE_PLACES for name in ("full", "raw", "formatted", "line")
}
_LONGEST_NAME = 64
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
            if (folded := _folded(name)) in _CUSTOMERS or folded in said or folded.rstrip(digits).endswith(_REACHED)
            else without_customer(item, hide, depth=depth + 1, said=_SAID_WITHIN.get(folded, frozenset()))
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [without_customer(item, hide, depth=depth + 1, said=said) for item in value]
    return value


def names_in(value: Any) -> list[str]:
    """Return what a JSON-like value calls its customer, by the names that the reader knows."""
    found: dict[str, None] = {}
    stack = [(value, False)]
    while stack:
        item, of_a_person = stack.pop()
        if isinstance(item, list):
            stack.extend((each, of_a_person) for each in item)
        elif isinstance(item, Mapping):
            for name, each in item.items():
                folded = _folded(name)
                if not isinstance(each, str):
                    stack.append((each, folded in _PEOPLE or (of_a_person and folded not in _PLACES)))
                elif folded in _NAMED or (folded in _NAMES and (of_a_person or folded not in _NOBODYS)):
                    found[each] = None
    return list(found)


def change_words(value: Any, change: Callable[[str], str], *, every: bool = False) -> Any:
    """Return a copy of a JSON-like value with every text changed, but those of goods, ids, kinds and times unless ``every``."""
    if isinstance(value, Mapping):
        return {
            name: item if not every and _of_a_thing(name) else change_words(item, change, every=every)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [change_words(item, change, every=every) for item in value]
    return change(value) if isinstance(value, str) else value


def words_in(value: Any) -> Iterator[str]:
    """Yield every text of a JSON-like value but those of goods, ids, kinds and times, in no order."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            stack.extend(each for name, each in item.items() if not _of_a_thing(name))
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, str):
            yield item


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
            if (digits is not None and digits in digits_of(text)) or (mail and mail in text.casefold()):
                return True
    return False


def _of_a_thing(name: Any) -> bool:
    return isinstance(name, str) and len(name) <= _LONGEST_NAME and _names_a_thing(name)


@lru_cache(maxsize=4096)
def _names_a_thing(name: str) -> bool:
    """Cached: every delivery is asked about the same few names."""
    folded = _folded_name(name)
    if folded in _GOODS:
        return True
    return _THINGS.search(name) is not None and folded not in _CUSTOMERS and not folded.endswith(_REACHED)


def _folded(name: Any) -> str:
    return _folded_name(name) if isinstance(name, str) and len(name) <= _LONGEST_NAME else ""


def _hidden(value: Any, hide: Callable[[Any], Any], *, depth: int = 0) -> Any:
    if depth <= _DEEPEST:
        if isinstance(value, Mapping):
            return {name: _hidden(item, hide, depth=depth + 1) for name, item in value.items()}
        if isinstance(value, list):
            return [_hidden(item, hide, depth=depth + 1) for item in value]
    return value if value is None or isinstance(value, bool) else hide(value)
