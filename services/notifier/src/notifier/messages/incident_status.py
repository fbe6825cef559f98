"""How an incident stands at the moment a message about it is sent or edited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from notifier.incidents.model import IncidentState
from notifier.messages.document import shorten
from notifier.messages.wording import Words

_LONGEST_NAME = 40
STATUS_LINE_ROOM = 160
"""What a status may add to a message's cost later: kept free when problems share a message, so that every edit of it fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentNow:
    """The part of an incident that messages about it show. Read in the transaction that claims the message."""

    id: int
    kind: str
    severity: str
    state: IncidentState
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    resolved_by: str | None = None
    resolved_at: datetime | None = None
    version: int = 1


def status_line(incident: IncidentNow | None, words: Words, *, name_of: Callable[[str], str] = str) -> str | None:
    """Return what a message says of who took the problem or that it is over; None while it is simply open. At most 100 characters.

    ``name_of``: from the id that the incident keeps to the name that people know.
    """
    if incident is None:
        return None
    if incident.state is IncidentState.RESOLVED:
        return _said(words["standing.resolved"], incident.resolved_by, incident.resolved_at, name_of)
    if incident.state is IncidentState.ACKNOWLEDGED:
        return _said(words["standing.acknowledged"], incident.acknowledged_by, incident.acknowledged_at, name_of)
    return None


def _said(what: str, who: str | None, when: datetime | None, name_of: Callable[[str], str]) -> str:
    name = f": {shorten(name_of(who), _LONGEST_NAME)}" if who else ""
    return f"{what}{name}{f', {when:%H:%M} UTC' if when else ''}"
