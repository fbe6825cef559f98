"""Times as people of both tools read them, by language."""

from __future__ import annotations

import re
from datetime import MAXYEAR, MINYEAR, datetime, timedelta, tzinfo

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")
BUSINESS_ZONE = "Europe/Moscow"
"""The zone of both tools, wherever they run, unless the console's setting or the person's profile names another."""


def zone_named(name: str) -> tzinfo:
    """Return a time zone by its name. ``ValueError`` when there is none of it."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of zones is no zone
        raise ValueError("is no time zone's name") from None


def moment(value: datetime, *, language: str, zone: tzinfo) -> str:
    """Write a time with its zone."""
    from babel.dates import format_datetime

    there = value.astimezone(zone)
    return f"{format_datetime(there, 'd MMM y, HH:mm:ss', tzinfo=there.tzinfo, locale=language)} {there.tzname()}"


def as_time(value: object) -> datetime | None:
    """Return the time that a text of a service is, None for any other value, also for one that not every zone can name."""
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            return None
        return found if MINYEAR < found.year < MAXYEAR else None
    return None


def lasting(seconds: float, *, language: str) -> str:
    """Write how long something lasts."""
    from babel.dates import format_timedelta

    return format_timedelta(timedelta(seconds=round(seconds)), locale=language, threshold=1.2)


def ago(value: datetime, now: datetime, *, language: str) -> str:
    """Write how long ago it was, or when it will be."""
    from babel.dates import format_timedelta

    lasted = timedelta(seconds=round((value - now).total_seconds()))
    return format_timedelta(lasted, add_direction=True, locale=language, threshold=1.2)
