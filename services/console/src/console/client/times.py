"""Times as people of both tools read them, by language."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo


def moment(value: datetime, *, language: str, zone: tzinfo | None = None) -> str:
    """Write a time with its zone; the person's own unless given."""
    from babel.dates import format_datetime

    there = value.astimezone(zone)
    return f"{format_datetime(there, 'd MMM y, HH:mm:ss', tzinfo=there.tzinfo, locale=language)} {there.tzname()}"


def ago(value: datetime, now: datetime, *, language: str) -> str:
    """Write how long ago it was, or when it will be."""
    from babel.dates import format_timedelta

    lasted = timedelta(seconds=round((value - now).total_seconds()))
    return format_timedelta(lasted, add_direction=True, locale=language, threshold=1.2)
