"""Where the thing that an audit record names is shown. Pure."""

from __future__ import annotations

from console.web.links import address_of

_NOUNS = {
    "order": "order",
    "workflow": "workflow",
    "refund": "refund",
    "delivery": "intake",
    "endangered": "endangered",
    "incident": "incident",
    "silence": "silence",
    "known_defect": "known-defect",
    "alert_sender": "alert-sender",
    "order_limit": "limit",
    "roster_override": "duty",
    "difference": "difference",
    "flag": "flag",
}


def address_of_target(target: str) -> str | None:
    """Return the short address of ``order:7Q3M…``; None for what has none."""
    kind, _, name = target.partition(":")
    noun = _NOUNS.get(kind)
    return address_of(noun, name) if noun and name else None
