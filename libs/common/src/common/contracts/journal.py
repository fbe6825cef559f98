"""Context ``journal``: what each service did for an order. The orchestrator gathers it into the order's timeline, each entry once."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from common.contracts.envelope import Message, Moment


class JournalEntryV1(Message):
    """One line of an order's story. ``kind`` is a constant (``chat_message.sent``, ``refund.started``); no customer's data."""

    TYPE: ClassVar[str] = "journal.entry.recorded.v1"
    order_number: str
    service: str
    kind: str
    actor: str
    summary: str
    details: dict[str, str] = Field(default_factory=dict)
    occurred_at: Moment
