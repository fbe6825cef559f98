"""The weeks of a roster by their Mondays, as swaps name them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from console.client.times import as_time


def weeks(roster: Mapping[str, Any]) -> dict[date, list[str]]:
    """Return who is on duty, in order, by the Monday of the week; nobody is an empty name."""
    zone = ZoneInfo((roster.get("plan") or {}).get("zone") or "UTC")
    found: dict[date, list[str]] = {}
    for shift in roster["shifts"]:
        starts = as_time(shift["starts_at"])
        if starts is not None:
            day = starts.astimezone(zone).date()
            people = found.setdefault(day - timedelta(days=day.weekday()), [])
            if (who := shift["on_duty"] or "") not in people:
                people.append(who)
    return found
