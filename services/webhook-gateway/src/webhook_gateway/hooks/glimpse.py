"""Whose ``order.created`` it was, also when only a part of the body came (M2)."""

from __future__ import annotations

import re

import orjson

from webhook_gateway.hooks import events
from webhook_gateway.hooks.reading import identifier, read_hook

_CREATED = re.compile(rb'"event_type"\s*:\s*"order\.created"')
_ORDER_ID = re.compile(rb'"originalOrderId"\s*:\s*("(?:[^"\\]|\\.){1,1024}"|[0-9]{1,64})')


def created_order(body: bytes) -> str | None:
    """Return the source's id of the order whose ``order.created`` this is, None when it is another hook or no id can be read.

    A whole body is read as it always is. Of a body that is cut off, the first event type and the first order id decide: good enough to
    tell a person that an order is in danger, not to create one. Never raises.
    """
    reading = read_hook(body)
    if reading.event != events.UNREADABLE or reading.external_id is not None:
        return reading.external_id if reading.event == events.CREATED else None
    found = _ORDER_ID.search(body) if _CREATED.search(body) else None
    if found is None:
        return None
    try:
        return identifier(orjson.loads(found[1]))
    except orjson.JSONDecodeError:
        return None
