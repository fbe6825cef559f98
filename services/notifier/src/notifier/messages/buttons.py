"""Buttons under a message about a problem. What is pressed comes back as ``data``, from Telegram and from Slack alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

LONGEST_DATA = 64  # bytes: Telegram's limit of callback_data
LONGEST_LABEL = 75  # characters: Slack's limit of a button's text


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """One button. ``data`` is 1 to 64 bytes."""

    label: str
    data: str
    style: Literal["primary", "danger"] | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.data.encode()) <= LONGEST_DATA:
            raise ValueError("a button's data has 1 to 64 bytes")
        if not 1 <= len(self.label) <= LONGEST_LABEL:
            raise ValueError("a button's label has 1 to 75 characters")


Keyboard: TypeAlias = tuple[tuple[Button, ...], ...]
"""Rows of buttons; empty clears what stood there."""
