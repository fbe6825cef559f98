"""One form for every spelling of the same payload, so that a re-serialised repeat has the same digest.

Two payloads have one digest when they differ only in the order of keys, in spacing, in how a JSON number is spelled (``1``, ``1.0``,
``1e0``), or in whether a field that the contract knows as a number or as an id came as a number or as text (CONTRACT 3). A field
that the contract does not know keeps its JSON type: ``"7"`` and ``7`` may mean two things there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import orjson

NUMERIC = frozenset(
    {
        "originalQuantity",
        "quantity",
        "price",
        "discountPrice",
        "weight",
        "totalPrice",
        "totalDiscountPrice",
        "discountTotalPrice",
    }
)
"""Fields that are numbers, however they are written."""

TEXTUAL = frozenset({"originalOrderId", "externalId", "storeID", "id"})
"""Fields that are names, though a source may write them as numbers."""

DEEPEST = 64
"""Levels of nesting that a payload may have; the contract's own has three."""

_PLAIN = re.compile(r"(?:0|-?[1-9][0-9]{0,17})(?:\.([0-9]{1,18}))?")
_EXACT = 2**53
_LARGEST_EXPONENT = 30


class TooDeep(ValueError):
    """The payload nests deeper than ``DEEPEST``."""


@lru_cache(maxsize=16_384)
def _number_of_text(text: str) -> str | None:
    match = _PLAIN.fullmatch(text)
    if match is not None:
        return text if match[1] is None else text.rstrip("0").rstrip(".")
    try:
        number = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number.adjusted()) > _LARGEST_EXPONENT:
        return None
    if not number:
        return "0"
    plain = f"{number:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def number_text(value: object) -> str | None:
    """Return a number in its one spelling (``"85.00"``, ``85.0`` and ``85`` are ``"85"``), or None when it is no number."""
    kind = type(value)
    if kind is str:
        return _number_of_text(value) if len(value) <= 64 else None  # type: ignore[arg-type]  # kind says it is a str
    if kind is int:
        return str(value)
    if kind is float:
        return _number_of_text(repr(value))
    return None


def canonical(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload in its one form. Raises ``TooDeep``."""
    return _object(value, 0, [])


def digest(payload: Mapping[str, Any]) -> str:
    """Return the hexadecimal SHA-256 of the payload's one form. See ``digest_and_oddities``."""
    return digest_and_oddities(payload)[0]


def digest_and_oddities(payload: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the digest, and whether any field that the contract knows as a number holds something else.

    One walk for both: most payloads are sane, and whoever checks them need not look at their numbers again. Raises ``TooDeep``, or
    ``ValueError`` for what strict JSON cannot hold (lone surrogates, integers past 64 bits).
    """
    odd: list[str] = []
    form = _object(payload, 0, odd)
    try:
        return hashlib.sha256(orjson.dumps(form, option=orjson.OPT_SORT_KEYS)).hexdigest(), bool(odd)
    except TypeError as error:  # orjson's own error class derives from it
        raise ValueError(str(error)) from None


def _object(value: Mapping[str, Any], depth: int, odd: list[str]) -> dict[str, Any]:
    if depth > DEEPEST:
        raise TooDeep(f"nested deeper than {DEEPEST} levels")
    result: dict[str, Any] = {}
    for key, item in value.items():
        if key in NUMERIC:
            number = _number_of_text(item) if type(item) is str and len(item) <= 64 else number_text(item)
            if number is not None:
                result[key] = number
                continue
            if item is not None:
                odd.append(key)
        kind = type(item)
        if kind is str:
            result[key] = item
        elif kind is dict:
            result[key] = _object(item, depth + 1, odd)
        elif kind is list:
            result[key] = _array(item, depth + 1, odd)
        elif kind is int:
            result[key] = str(item) if key in TEXTUAL else item
        elif kind is float:
            plain = _plain_float(item)
            result[key] = str(plain) if key in TEXTUAL else plain
        else:
            result[key] = item
    return result


def _array(value: Sequence[Any], depth: int, odd: list[str]) -> list[Any]:
    if depth > DEEPEST:
        raise TooDeep(f"nested deeper than {DEEPEST} levels")
    result: list[Any] = []
    for item in value:
        kind = type(item)
        if kind is dict:
            result.append(_object(item, depth + 1, odd))
        elif kind is list:
            result.append(_array(item, depth + 1, odd))
        elif kind is float:
            result.append(_plain_float(item))
        else:
            result.append(item)
    return result


def _plain_float(value: float) -> int | float:
    return int(value) if value.is_integer() and abs(value) < _EXACT else value
