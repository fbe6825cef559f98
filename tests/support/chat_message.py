"""A message as a sender is handed it."""

from __future__ import annotations

from datetime import UTC, datetime

from notifier.delivery.model import Message
from notifier.messages.document import Page, plain


def a_message() -> Message:
    """A message of one line."""
    return Message(
        key="k",
        channel="telegram",
        address="1",
        topic=None,
        pages=((Page(lines=((plain("x"),),)), None),),
        subject="test:1",
        kind="test",
        severity="info",
        dated=datetime(2026, 11, 21, 7, 0, tzinfo=UTC),
    )
