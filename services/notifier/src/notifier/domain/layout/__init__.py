"""How a render tree becomes the text of one channel, and how much of it fits into one message."""

from notifier.domain.layout.base import Layout, Page
from notifier.domain.layout.mail import MailLayout
from notifier.domain.layout.slack import SlackLayout
from notifier.domain.layout.telegram import TelegramLayout

LAYOUTS: dict[str, Layout] = {"telegram": TelegramLayout(), "slack": SlackLayout(), "mail": MailLayout()}
"""Channel → its layout."""

__all__ = ["LAYOUTS", "Layout", "MailLayout", "Page", "SlackLayout", "TelegramLayout"]
