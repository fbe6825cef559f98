"""The roster as an iCalendar file (RFC 5545), for calendars that follow it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from icalendar import Calendar, Event

from notifier.duty.roster import Shift
from notifier.messages.document import one_line
from notifier.people.model import Directory

_REFRESH = timedelta(minutes=15)


def with_names(shift: Shift, directory: Directory) -> Shift:
    """Return a shift with people's names instead of their ids: what anybody may read, without what calendars do not take."""
    on_duty, backup = (
        None if who is None else one_line(directory.name_of(who)) for who in (shift.on_duty, shift.backup)
    )
    return replace(shift, on_duty=on_duty, backup=backup)


def names_digest(directory: Directory) -> str:
    """Return a digest of everybody's name: two directories that show other names have different ones."""
    names = sorted((person.id, person.name) for person in directory.people.values())
    return hashlib.blake2b(json.dumps(names).encode(), digest_size=16).hexdigest()


def calendar(
    found: Sequence[Shift], *, revision: int, changed_at: datetime, zone: str, name: str, nobody: str
) -> bytes:
    """Return the (with_names) shifts as events, times in UTC; weeks of nobody are events too, so the file is never empty.

    The UID of a shift stays the same and SEQUENCE grows, so a change replaces it. Events are transparent: being on duty makes nobody
    busy. The same shifts at the same revision are the same bytes.
    """
    feed = Calendar()
    feed.add("VERSION", "2.0")
    feed.add("PRODID", "-//order-suite//notifier//EN")
    feed.add("CALSCALE", "GREGORIAN")
    feed.add("X-WR-CALNAME", name)
    feed.add("X-WR-TIMEZONE", zone)
    feed.add("REFRESH-INTERVAL", _REFRESH, parameters={"VALUE": "DURATION"})
    feed.add("X-PUBLISHED-TTL", "PT15M")
    for shift in found:
        event = Event()
        event.add("UID", f"shift-{shift.starts_at.astimezone(UTC):%Y%m%dT%H%M%SZ}@order-suite")
        event.add("DTSTAMP", changed_at.astimezone(UTC))
        event.add("LAST-MODIFIED", changed_at.astimezone(UTC))
        event.add("SEQUENCE", revision)
        event.add("DTSTART", shift.starts_at.astimezone(UTC))
        event.add("DTEND", shift.ends_at.astimezone(UTC))
        event.add("TRANSP", "TRANSPARENT")
        event.add("SUMMARY", nobody if shift.on_duty is None else shift.on_duty)
        if shift.backup is not None:
            event.add("DESCRIPTION", shift.backup)
        feed.add_component(event)
    raw: bytes = feed.to_ical()
    return raw
