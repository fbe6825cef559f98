"""Moments within sentences: every service writes them in UTC, whoever reads a sentence has a zone."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import MAXYEAR, MINYEAR, datetime, tzinfo

BUSINESS_ZONE = "Europe/Moscow"
"""The zone of both tools and of the chats, wherever they run, unless a setting, or the person, names another."""
_INSTANT = re.compile(
    r"(?<![\w@:/.-])\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z| UTC|[+-]\d\d:\d\d)(?![\w:-])"
)
"""In any way in which services write one; not as a part of a name."""


def zone_named(name: str) -> tzinfo:
    """Return a time zone by its name. ``ValueError`` when there is none of it."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of zones is no zone
        raise ValueError("is no time zone's name") from None


def rewritten(text: str, write: Callable[[datetime], str]) -> str:
    """Return a sentence with each moment in it as the reader writes times; sums, names and what is no moment stay."""

    def written(found: re.Match[str]) -> str:
        try:
            at = datetime.fromisoformat(found[0].replace(" UTC", "Z"))
        except ValueError:
            return found[0]
        return write(at) if MINYEAR < at.year < MAXYEAR else found[0]

    return _INSTANT.sub(written, text)
