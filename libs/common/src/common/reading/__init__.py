"""The one reader of an order's payload: what a hook or a website says about an order, what of it cannot be read, and why.

The gateway answers by it and the orchestrator carries out by it, so that what is answered with a yes can be carried out. Pure: no I/O,
no clock; nothing here raises on what a source sends.
"""

from common.reading.model import Address, Contact, Line, Window, line_total
from common.reading.order import GOODS_NEEDED, OrderContent, read_order
from common.reading.people import phone_key
from common.reading.values import event_name, identifier, read_moment, storable, text_of

__all__ = [
    "GOODS_NEEDED",
    "Address",
    "Contact",
    "Line",
    "OrderContent",
    "Window",
    "event_name",
    "identifier",
    "line_total",
    "phone_key",
    "read_moment",
    "read_order",
    "storable",
    "text_of",
]
