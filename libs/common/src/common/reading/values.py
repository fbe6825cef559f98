"""Reads single values: numbers, sums, quantities, ids, texts, times, names of events.

Tolerant about form, never about meaning: numbers may come as text and text as numbers, with groups of three and a comma before the
fraction; what could mean two things is not read. A reader returns its value, or raises ``Unfit`` with a stable code.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from common.currencies import DECIMAL_DIGITS

LARGEST_SUM = 10**15
"""Minor units; far above any order, far below what a bigint holds even when a store's sums are added up."""
LARGEST_QUANTITY = Decimal(10) ** 11
LONGEST_ID = 255
LONGEST_NAME = 255
"""Characters of a store, a tariff, a payment's id, a person's name: what an index holds, and far above what any of them needs."""
LONGEST_MAIL = 320
LONGEST_PHONE = 64
EXACT_FLOAT = 2**53
"""From here on a float may stand for several integers."""

_LONGEST_NUMBER = 64
_LONGEST_NAME = 100
_MOST_DIGITS = 30
_SIX_DIGITS = Decimal("0.000001")
_ONE = Decimal(1)
_GROUP = 3
INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
"""Marks that nobody sees: they come along with what is copied out of a page, a table or a phone's contacts."""
_SPACES = "\u0020\u00a0\u2009\u202f\u2007"
_GROUPS = rf"[{_SPACES}'’]"
_NUMBER = re.compile(
    rf"""(?P<sign>[-+−]?)(?:
    (?P<plain>[0-9]+) | (?P<spaced>[0-9]{{1,3}}(?:{_GROUPS}[0-9]{{3}})+)
    | (?P<commas>[0-9]{{1,3}}(?:,[0-9]{{3}})+(?=\.[0-9])|[0-9]{{1,3}}(?:,[0-9]{{3}}){{2,}})
    | (?P<points>[0-9]{{1,3}}(?:\.[0-9]{{3}})+(?=,[0-9])|[0-9]{{1,3}}(?:\.[0-9]{{3}}){{2,}})
    )?(?:(?P<mark>[.,])(?P<fraction>[0-9]*))?(?:[eE](?P<power>[-+]?[0-9]{{1,3}}))?""",
    re.VERBOSE | re.ASCII,
)
_LIKE_THOUSANDS = re.compile(r"[-+−]?[1-9][0-9]{0,2}\.[0-9]{3}", re.ASCII)
_NO_DIGITS = re.compile(r"[^0-9]+")
_HOOKS = {
    f"order{what}": f"order.{what}" for what in ("created", "changed", "paid", "received", "delivered", "cancelled")
}
_SPELLINGS = {**_HOOKS, "orderupdated": "order.changed", "ordercanceled": "order.cancelled"}
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_UNITS = (1, 1_000, 1_000_000, 1_000_000_000)  # Unix time in seconds, milliseconds, microseconds, nanoseconds
_DIGITS_ONLY = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_MAIL = re.compile(
    r"(?:[A-Za-z]{3,9},? )?([0-9]{1,2})[ -]([A-Za-z]{3})[ -]([0-9]{4}) ([0-9:]+)"
    r"(?: (GMT|UTC|UT|Z|[ECMP][DS]T|[-+][0-9]{2}:?[0-9]{2})(?: \(.*\))?)?"
)
"""The form of mails: its own reader guesses at what else stands there, and takes a zone or a half of the day that it knows not for UTC."""
_SCRIPT = re.compile(r"(?:[A-Za-z]{3} )?([A-Za-z]{3}) ([0-9]{1,2}) ([0-9]{4}) ([0-9:]+) GMT([-+][0-9]{4})(?: \(.*\))?")
"""A browser's own form: ``Mon Feb 02 2026 10:00:00 GMT+0300 (Moscow Standard Time)``."""
_ISO = re.compile(
    r"([0-9]{4}-?[0-9]{2}-?[0-9]{2})[Tt ]([0-9:.,]+) ?(?:([Zz]|UTC|GMT|[-+][0-9:]+)(?:\[[\w/+-]+\])?)?", re.ASCII
)


class Unfit(ValueError):
    """The value cannot be read. ``code`` is stable, the text is a sentence for a person and repeats nothing of the value."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Number(NamedTuple):
    """A number as it was written."""

    value: Decimal
    behind_comma: int
    """Digits behind a comma; 0: there was none."""
    like_thousands: bool
    """Written as thousands are where the point stands between groups: `1.299`. Only in text: JSON's own numbers have one meaning."""


def number_of(value: object) -> Number:
    """Return a number. Raises ``Unfit``: ``not_a_number``, ``too_large``; what may mean two things is for the caller to decide."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _not_a_number()
    text = _bare(value) if isinstance(value, str) else repr(value)
    match = _NUMBER.fullmatch(text) if 0 < len(text) <= _LONGEST_NUMBER else None
    if match is None:
        raise _not_a_number()
    whole = match["plain"] or match["spaced"] or match["commas"] or match["points"]
    fraction = match["fraction"] or ""
    if not whole and not fraction:
        raise _not_a_number()
    if match["mark"] and match["mark"] == ("," if match["commas"] else "." if match["points"] else None):
        raise _not_a_number()
    power = int(match["power"] or 0)
    digits = match["plain"] or _NO_DIGITS.sub("", whole or "0")
    if abs(power) > _MOST_DIGITS or len(digits.lstrip("0")) + max(power, 0) > _MOST_DIGITS:
        raise Unfit("too_large", "the number is too large")
    number = Decimal(f"{digits}.{fraction}" if fraction else digits)
    if power:
        number = Decimal(f"{number.scaleb(power):f}")
    if match["sign"] in {"-", "−"}:
        number = -number
    behind_comma = len(fraction) if match["mark"] == "," and not match["points"] else 0
    return Number(number, behind_comma, isinstance(value, str) and _LIKE_THOUSANDS.fullmatch(text) is not None)


def read_sum(value: object, currency: str) -> int:
    """Return minor units. Raises ``Unfit``.

    What a shop's division left behind the currency's digits (`33.3333`) is rounded, half to even. What may be thousands (`1,299`,
    `1.299`) is an `ambiguous_number`: docs/requirements.md#sums.
    """
    number, behind_comma, like_thousands = number_of(value)
    digits = DECIMAL_DIGITS[currency]
    if behind_comma > digits:
        raise Unfit("ambiguous_number", "the comma may stand before a fraction or between thousands")
    if like_thousands and digits < _GROUP:
        raise Unfit("ambiguous_number", "the point may stand before a fraction or between thousands")
    if number < 0:
        raise _negative()
    minor = number.scaleb(digits)
    if minor > LARGEST_SUM:
        raise Unfit("too_large", "the sum is too large")
    return int(minor.quantize(_ONE, rounding=ROUND_HALF_EVEN))


def read_quantity(value: object) -> Decimal:
    """Return a quantity or weight, at most six digits behind the point. Raises ``Unfit``."""
    number, behind_comma, _ = number_of(value)
    if behind_comma == _GROUP and number >= 1:
        raise Unfit("ambiguous_number", "the comma may stand before a fraction or between thousands")
    if number < 0:
        raise _negative()
    if number >= LARGEST_QUANTITY:
        raise Unfit("too_large", "the quantity is too large")
    exponent = number.as_tuple().exponent
    return number.quantize(_SIX_DIGITS) if isinstance(exponent, int) and exponent < -6 else number


def _bare(text: str) -> str:
    text = text.strip()
    return text if text.isprintable() else text.strip(INVISIBLE).strip()


def identifier(value: object) -> str | None:
    """Return an id as text (ids may come as numbers), or None when it cannot serve as one: 1 to 255 printable characters.

    Blanks and invisible marks around it are no part of it: two hooks that differ in them are of one order.
    """
    if not isinstance(value, str):
        if isinstance(value, float):
            value = int(value) if value.is_integer() and abs(value) < EXACT_FLOAT else None
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 10**LONGEST_ID:
            return None
        value = str(value)
    value = _bare(value)
    return value if 0 < len(value) <= LONGEST_ID and value.isprintable() else None


def text_of(value: object, longest: int | None = None) -> str | None:
    """Return a text that PostgreSQL and JSON hold, without blanks around it; None when there is none. Numbers count as text.

    One of more than ``longest`` characters is none: cut off it would be another.
    """
    if not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        exact = isinstance(value, float) and value.is_integer() and abs(value) < EXACT_FLOAT
        value = str(int(value) if exact else value)
    text = storable(value.replace("\x00", "")).strip()
    return text if text and (longest is None or len(text) <= longest) else None


def storable(text: str) -> str:
    """Return text that PostgreSQL and JSON hold: no NUL, no lone surrogate."""
    if text.isprintable():
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def event_name(name: object) -> str | None:
    """Return the suite's name of an event, whatever stands between its words (``order_created``, ``orderCreated``).

    One unknown is returned as it came but trimmed and in lower case; None when it is none.
    """
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        return None
    plain = _bare(name).lower()
    if not plain or not plain.isprintable():
        return None
    return _SPELLINGS.get(_BETWEEN_WORDS.sub("", plain), plain)


def read_moment(value: object, *, now: datetime | None = None, zoned: bool = False) -> datetime | None:
    """Return a moment with its zone, None when it is none; with ``now``, times more than a day ahead are none.

    Digits only are Unix time, in whichever of seconds, milliseconds, microseconds and nanoseconds gives a year from 2000 on. Else
    ISO 8601 (also with a zone's name behind, RFC 9557) or the form of mails (RFC 5322). Without a zone it is UTC, or none if ``zoned``.
    """
    latest = _LATEST if now is None else now + timedelta(days=1)
    moment = _moment(value, latest)
    if moment is not None and moment.tzinfo is None:
        moment = None if zoned else moment.replace(tzinfo=UTC)
    return moment if moment is not None and _EARLIEST <= moment <= latest else None


def _moment(value: object, latest: datetime) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = _bare(value) if isinstance(value, str) else repr(value)
    if not text or len(text) > _LONGEST_NUMBER:
        return None
    try:
        if not isinstance(value, str) or _DIGITS_ONLY.fullmatch(text):
            return _unix(Decimal(text), latest)
        match = _ISO.fullmatch(text)
        if match is not None:
            zone = "" if match[3] is None else "+00:00" if match[3].upper() in {"Z", "UTC", "GMT"} else match[3]
            return datetime.fromisoformat(f"{match[1]}T{match[2].replace(',', '.')}{zone}")
        if text[0].isdigit() and text[:4].isdigit():
            return datetime.fromisoformat(text)
        return parsedate_to_datetime(_in_the_form_of_mails(text))
    except (ValueError, ArithmeticError, OverflowError, TypeError, IndexError):
        return None


def _in_the_form_of_mails(text: str) -> str:
    """Raises ``ValueError`` on what may be read otherwise than it was meant."""
    if (match := _SCRIPT.fullmatch(text)) is not None:
        month, day, year, clock, zone = match.groups()
    elif (match := _MAIL.fullmatch(text)) is not None:
        day, month, year, clock, zone = match.groups()
    else:
        raise ValueError
    return f"{day} {month} {year} {clock} {(zone or '+0000').replace(':', '')}"


def _unix(number: Decimal, latest: datetime) -> datetime | None:
    for unit in _UNITS:
        seconds = number / unit
        if _EARLIEST.timestamp() <= seconds <= latest.timestamp():
            return datetime.fromtimestamp(float(seconds), UTC)
    return None


def _not_a_number() -> Unfit:
    return Unfit("not_a_number", "a number is needed")


def _negative() -> Unfit:
    return Unfit("negative", "less than nothing cannot be ordered")


def given(value: Any) -> bool:
    """Whether a field says anything: null and empty text count as absent."""
    return value is not None and value != ""
