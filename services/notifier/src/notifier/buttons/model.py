"""A pressed button."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonAction:
    """A pressed button, as it was kept."""

    id: int
    channel: str
    who: str
    data: str
    address: str
    traceparent: str | None
