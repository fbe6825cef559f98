"""Which names a page held when it was made, in an address: short digests, for names may be long or say more than they should. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from urllib.parse import urlencode

from console.client.suite import Page
from console.client.things import Thing, value

_DIGITS = 8


def seen_of(thing: Thing, page: Page | None) -> str:
    """Return what a first page held as parameters of the stream's address; ``more`` where it was not the whole list."""
    names = () if page is None else tuple(_digest(value(item, thing.id)) for item in page.items)
    return urlencode({"seen": "".join(names), "more": int(page is not None and page.next_cursor is not None)})


def unseen(names: Sequence[str], seen: str, *, more: bool) -> int:
    """Return how many of the names on the first page now are new to whoever has seen ``seen``, however the list is ordered.

    A row that leaves lets one from the next page move up: with ``more``, what stands below all that was seen is not new.
    """
    known = {seen[start : start + _DIGITS] for start in range(0, len(seen), _DIGITS)}
    fresh = [_digest(name) not in known for name in names]
    if more and not all(fresh):
        fresh = fresh[: len(fresh) - fresh[::-1].index(False)]
    return sum(fresh)


def _digest(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()[:_DIGITS]
