"""Which of the messages that wait in a lane goes first (research/notifier.md, "Lanes"). Smaller goes first.

What a person has just done > new critical > shift notice > edit > orders and warnings > information.
"""

from __future__ import annotations

ACT = 0
CRITICAL = 1
SHIFT = 3
EDIT = 4
USUAL = 5
INFORMATION = 9
KEPT_FOR_PAGES = 5
"""Places of a group's minute that ordinary problem messages and edits leave free, so that a critical one need not wait for the next."""


def urgency_of(*, kind: str, severity: str) -> int:
    """Return the urgency of a notice. Orders and test messages are usual whatever their severity says."""
    if kind.startswith(("order.", "test")):
        return USUAL
    if kind.startswith(("shift.", "roster.")):
        return SHIFT
    return {"critical": CRITICAL, "warning": USUAL}.get(severity, INFORMATION)
