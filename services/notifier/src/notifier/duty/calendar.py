"""The roster as an iCalendar file (RFC 5545), for calendars that follow the mirror (M24)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from notifier.duty.roster import Shift
from notifier.people.model import Directory

_LONGEST = 75  # octets a line, its break not counted (RFC 5545, 3.1)


def calendar(found: Sequence[Shift], directory: Directory, *, now: datetime, name: str, nobody: str) -> str:
    """Return the shifts as events. Names only, no phone numbers. The UID of a shift stays the same, so a change replaces it."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//order-suite//notifier//EN",
        "CALSCALE:GREGORIAN",
        f"X-WR-CALNAME:{_escaped(name)}",
    ]
    for shift in found:
        who = nobody if shift.on_duty is None else directory.name_of(shift.on_duty)
        backup = "" if shift.backup is None else directory.name_of(shift.backup)
        lines += [
            "BEGIN:VEVENT",
            f"UID:shift-{_stamp(shift.starts_at)}@order-suite",
            f"DTSTAMP:{_stamp(now)}",
            f"DTSTART:{_stamp(shift.starts_at)}",
            f"DTEND:{_stamp(shift.ends_at)}",
            f"SUMMARY:{_escaped(who)}",
            *([f"DESCRIPTION:{_escaped(backup)}"] if backup else []),
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return "".join(f"{part}\r\n" for line in lines for part in _folded(line))


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _escaped(text: str) -> str:
    for sign in ("\\", ";", ","):
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.splitlines())


def _folded(line: str) -> list[str]:
    """Cut a line at 75 octets, never inside a character; what follows begins with a blank."""
    parts: list[str] = []
    current, used = "", 0
    for sign in line:
        size = len(sign.encode())
        if used + size > _LONGEST:
            parts.append(current)
            current, used = " ", 1
        current += sign
        used += size
    return [*parts, current]
