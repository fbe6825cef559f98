"""Times as people of both tools read them, by language."""

from __future__ import annotations

import re
from datetime import MAXYEAR, MINYEAR, datetime, timedelta, tzinfo

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")
_SECONDS = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?) [sс]\b")
"""Seconds as services write them, in both languages."""


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


def lasting_in(text: str, *, language: str) -> str:
    """Return a sentence with each number of seconds in it (``90 s``) as people say how long something lasts."""
    return _SECONDS.sub(lambda found: lasting(float(found[1]), language=language), text)


def ago(value: datetime, now: datetime, *, language: str) -> str:
    """Write how long ago it was, or when it will be."""
    from babel.dates import format_timedelta

    lasted = timedelta(seconds=round((value - now).total_seconds()))
    if not lasted:
        return "только что" if language == "ru" else "just now"
    return format_timedelta(lasted, add_direction=True, locale=language, threshold=1.2)
