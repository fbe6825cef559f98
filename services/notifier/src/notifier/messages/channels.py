"""The channels there are: what an address looks like, how a document becomes a message, whether messages can be edited.

A new channel is an entry here, a sender in ``channels/`` (a ``delivery.model.Sender``) and its opening in ``providers.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from notifier.messages.layout import LAYOUTS, Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRules:
    """What holds for every destination of a channel. ``wants`` says in words what ``address`` says as a pattern.

    ``digests``: in a storm one message tells of many problems, at most every ``digest_seconds`` (edited where ``edits``, else sent again).
    Off where each problem needs its own (tickets, calls).
    """

    layout: Layout
    address: re.Pattern[str]
    wants: str
    topics: bool = False
    edits: bool = False
    digests: bool = False
    digest_seconds: float = 6.0


CHANNELS: dict[str, ChannelRules] = {
    "telegram": ChannelRules(
        layout=LAYOUTS["telegram"],
        address=re.compile(r"-?[0-9]{1,19}|@[A-Za-z0-9_]{4,}"),
        wants="a Telegram chat id or @name as its address",
        topics=True,
        edits=True,
        digests=True,
    ),
    "slack": ChannelRules(
        layout=LAYOUTS["slack"],
        address=re.compile(r".+"),
        wants="a Slack channel as its address",
        edits=True,
        digests=True,
    ),
    "mail": ChannelRules(
        layout=LAYOUTS["mail"],
        address=re.compile(r"[^@\s<>]+@[^@\s<>]+"),
        wants="a mail address",
        digests=True,
        digest_seconds=300.0,
    ),
}
"""Channel → its rules."""
