"""Says of a silence that its alert has a name nobody knows: neither the rules that are shipped have it, nor an incident."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib.resources import files

from common.postgres import Connection

_HEARD = "SELECT DISTINCT details ->> 'alert' AS name FROM incidents WHERE details ? 'alert' ORDER BY 1"
_MOST_NAMED = 5
SHIPPED = tuple(files("notifier.silences").joinpath("alert_names.txt").read_text(encoding="utf-8").split())
"""The names of the alerts in the rules that are shipped."""


async def unknown_alerts(connection: Connection, patterns: Sequence[str]) -> list[str]:
    """Return a warning for each pattern that fits no known name, with the names most like it; without any, the first that were heard."""
    heard = [row["name"] for row in await connection.fetch(_HEARD)] if patterns else []
    known = {name.lower(): name for name in (*SHIPPED, *heard)}
    warnings = []
    for pattern in patterns:
        if pattern.startswith("!") or any(fnmatchcase(name, pattern) for name in known.values()):
            continue
        near = ", ".join(known[name] for name in get_close_matches(pattern.lower(), known, n=_MOST_NAMED))
        some = ", ".join((heard or SHIPPED)[:_MOST_NAMED])
        like = f"; names like it are {near}" if near else f", and no name is like it; names are such as {some}"
        warnings.append(f"no alert is known by the name {pattern}{like}")
    return warnings
