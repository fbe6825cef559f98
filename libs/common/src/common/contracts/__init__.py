"""Everything that services say to each other over RabbitMQ: one envelope, and versioned messages by context.

A message's type is ``<context>.<thing>.<what happened>.v<version>``; the context is the name of the exchange. A field may be
added with a default; anything else is a new version beside the old one, until nobody sends the old.
"""

from common.contracts.envelope import Envelope, Message, exchange_of, parse
from common.contracts.registry import MESSAGES

__all__ = ["MESSAGES", "Envelope", "Message", "exchange_of", "parse"]
