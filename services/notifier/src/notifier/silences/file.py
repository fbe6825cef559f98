"""The inhibitions of the routes file."""

from __future__ import annotations

from notifier.routing.file import frozen, read_file
from notifier.silences.model import Inhibition


def read_inhibitions(text: str | bytes, *, name: str) -> tuple[Inhibition, ...]:
    """Return the inhibitions of a routes file. Raises like ``read_routes``."""
    return tuple(
        Inhibition(name=rule.name, source=frozen(rule.source), target=frozen(rule.target), equal=tuple(rule.equal))
        for rule in read_file(text, name=name).inhibit
    )
