"""The values that an order's payload holds: positions, the customer, the address, the time of delivery."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

MAJOR_PARTS = ("postcode", "country", "region", "city", "street", "house", "building")
"""The parts that make another place of an address."""

MINOR_PARTS = ("entrance", "floor", "flat", "intercom", "comment")
"""The parts that say more of the same place."""

APART = re.compile(r"[^\W\d_]|[#*;,/]")
"""What stands between two phones, and before an extension."""

_WIDER_PARTS = ("region", "city")
_WORD = re.compile(r"\w+")

_LABELS = {
    "house": "д. ",
    "building": "корп. ",
    "entrance": "подъезд ",
    "floor": "этаж ",
    "flat": "кв. ",
    "intercom": "домофон ",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One position. Sums are minor units; ``None`` means that nobody said.

    ``replaces`` is the id of the position that this one stands in for. ``quantity_follows``: nobody ever said ``quantity``, so it is
    the ordered one and goes with it.
    """

    id: str
    name: str | None = None
    quantity: Decimal | None = None
    original_quantity: Decimal | None = None
    price: int | None = None
    discount_price: int | None = None
    total_price: int | None = None
    total_discount_price: int | None = None
    weight: Decimal | None = None
    replaces: str | None = None
    quantity_follows: bool = field(default=False, compare=False)

    @property
    def pieces(self) -> Decimal | None:
        """How many of it there are; as many as were ordered where nobody says otherwise."""
        return self.original_quantity if self.quantity is None else self.quantity


def line_total(line: Line) -> int | None:
    """Return what a position costs the customer, in minor units: discounted where it is; None when no hook gave a price."""
    for total, price in ((line.total_discount_price, line.discount_price), (line.total_price, line.price)):
        if total is not None:
            return total
        if price is not None and line.pieces is not None:
            return int((price * line.pieces).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Who ordered, as far as it was said. ``phone`` is ``+`` and digits where it can be read as a number, else the text as it came."""

    name: str | None = None
    phone: str | None = None
    email: str | None = None

    @property
    def reachable(self) -> bool:
        """Whether the customer can be called or written to."""
        phone = self.phone or ""
        if any(7 <= sum(map(str.isdigit, part)) <= 15 for part in (phone, *APART.split(phone))):
            return True
        name, at, host = (self.email or "").rpartition("@")
        return bool(name and at and "." in host.strip("."))

    def updated(self, later: Contact | None) -> Contact:
        """Return the contact after ``later`` was said: what that one leaves out stays."""
        if later is None:
            return self
        said = {item.name: value for item in fields(later) if (value := getattr(later, item.name)) is not None}
        return replace(self, **said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to. ``text`` is the whole address where one was said in words, ``parts`` are (name, value) in the order of a letter."""

    text: str | None = None
    parts: tuple[tuple[str, str], ...] = ()

    @property
    def full(self) -> str:
        """The whole address in one line: the words that were said and every part that they do not hold."""
        given = [] if self.text is None else [self.text]
        wider = []  # in words people often leave out the city: {"address": "ул. Ленина, 1", "city": "Тула"}
        for name, value in self.parts:
            label = _LABELS.get(name, "")
            if self.text is None or (name in MINOR_PARTS and f"{label}{value}".casefold() not in self.text.casefold()):
                given.append(f"{label}{value}")
            elif name in _WIDER_PARTS and not _holds(self.text, value):
                wider.append(value)
        return ", ".join((*wider, *given))

    def updated(self, later: Address | None) -> Address:
        """Return the address after ``later`` was said. One that names only a floor, a flat and the like is more of the same place."""
        if later is None:
            return self
        if later.text is not None or any(name in MAJOR_PARTS for name, _ in later.parts):
            return later
        known = dict(self.parts) | dict(later.parts)
        parts = tuple((name, known[name]) for name in (*MAJOR_PARTS, *MINOR_PARTS) if name in known)
        return Address(text=self.text, parts=parts)


def _holds(text: str, place: str) -> bool:
    """Whether the longest word of a place's name is among those of the text: `г. Москва` and `Москва г` are one."""
    words = _WORD.findall(place.casefold())
    return not words or max(words, key=len) in _WORD.findall(text.casefold())


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When the customer waits for the delivery: moments where they can be read, else the words that were said."""

    starts: datetime | None = None
    ends: datetime | None = None
    text: str | None = None

    @property
    def full(self) -> str:
        """The window in one line; moments as RFC 3339, minutes exact, in the zone in which they were said."""
        if self.text is not None:
            return self.text
        moments = (
            "" if moment is None else moment.isoformat(timespec="minutes") for moment in (self.starts, self.ends)
        )
        return " – ".join(moments).strip(" –")
