"""How a render tree becomes the text of one channel, and how much of it fits into one message."""

from notifier.messages.layout.base import Layout, Page
from notifier.messages.layout.mail import MailLayout
from notifier.messages.layout.slack import SlackLayout
from notifier.messages.layout.telegram import TelegramLayout

LAYOUTS: dict[str, Layout] = {"telegram": TelegramLayout(), "slack": SlackLayout(), "mail": MailLayout()}
"""Channel → its layout."""

__all__ = ["LAYOUTS", "Layout", "MailLayout", "Page", "SlackLayout", "TelegramLayout"]
