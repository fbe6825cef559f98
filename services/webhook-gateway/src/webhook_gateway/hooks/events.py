"""The six hooks of a marketplace, by one name each (M1)."""

from __future__ import annotations

CREATED = "order.created"
CHANGED = "order.changed"
PAID = "order.paid"
RECEIVED = "order.received"
DELIVERED = "order.delivered"
CANCELLED = "order.cancelled"

KNOWN = frozenset({CREATED, CHANGED, PAID, RECEIVED, DELIVERED, CANCELLED})
"""The names that the rest of the suite uses."""

NEED_POSITIONS = frozenset({CREATED, CHANGED})
"""Hooks that mean nothing without their positions (CONTRACT 3)."""

UNREADABLE = "unreadable"
"""Stands where a name would, when no name can be read."""

_SPELLINGS = {"order.updated": CHANGED, "order.canceled": CANCELLED}
_LONGEST_NAME = 100


def canonical(name: object) -> str:
    """Return the suite's name of an event, the name as it came when we do not know it, or ``UNREADABLE``.

    The marketplace's published spellings ``order.updated`` and ``order.canceled`` are the same events (M1).
    """
    if not isinstance(name, str) or not name or len(name) > _LONGEST_NAME or not name.isprintable():
        return UNREADABLE
    return _SPELLINGS.get(name, name)


def label(event: str) -> str:
    """Return the event as a metric label: one of the six, ``unreadable`` or ``other``, so that labels stay bounded."""
    return event if event in KNOWN or event == UNREADABLE else "other"
