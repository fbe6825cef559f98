"""The channels there are: what an address looks like, how a document becomes a message, whether messages can be edited.

A new channel is an entry here, a sender in ``channels/`` (a ``delivery.model.Sender``) and its opening in ``providers.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from notifier.messages.document import Document, Page
from notifier.messages.layout.mail import MailLayout
from notifier.messages.layout.slack import SlackLayout
from notifier.messages.layout.telegram import TelegramLayout


class Layout(Protocol):
    """What a channel allows."""

    limit: int
    """The largest total of ``cost`` of the pages that go into one message."""
    most_pages: int
    """How many pages go into one message at most."""

    def pages(self, document: Document, *, shrink: int = 0) -> tuple[Page, ...]:
        """Cut a document at line borders into pages that each fit into one message, with every line once.

        ``shrink``: how often the provider found the pages too long; each time they are half as large.
        """
        ...

    def cost(self, page: Page, mark: str | None) -> int:
        """Return what a page takes of ``limit``, its marks and its distance from the next page included."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRules:
    """What holds for every destination of a channel. ``wants`` says in words what ``address`` says as a pattern.

    ``digests``: in a storm one message stands for many, at most every ``digest_seconds`` (edited where ``edits``, else sent again).
    Off where each problem needs its own (tickets, calls). It names orders in up to ``digest_room`` characters, the others in lists.
    """

    layout: Layout
    address: re.Pattern[str]
    wants: str
    topics: bool = False
    edits: bool = False
    digests: bool = False
    digest_seconds: float = 6.0
    digest_room: int = 1400


CHANNELS: dict[str, ChannelRules] = {
    "telegram": ChannelRules(
        layout=TelegramLayout(),
        address=re.compile(r"-?[0-9]{1,19}|@[A-Za-z0-9_]{4,}"),
        wants="a Telegram chat id or @name as its address",
        topics=True,
        edits=True,
        digests=True,
    ),
    "slack": ChannelRules(
        layout=SlackLayout(),
        address=re.compile(r".+"),
        wants="a Slack channel as its address",
        edits=True,
        digests=True,
    ),
    "mail": ChannelRules(
        layout=MailLayout(),
        address=re.compile(r"[^@\s<>]+@[^@\s<>]+"),
        wants="a mail address",
        digests=True,
        digest_seconds=300.0,
        digest_room=100_000,
    ),
}
"""Channel → its rules."""
