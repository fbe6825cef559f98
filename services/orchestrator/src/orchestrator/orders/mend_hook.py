"""A hook with another body: what a person's mended copy of an event that cannot be carried out is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from common.errors import Conflict, FieldError, Unprocessable
from common.reading import identifier
from orchestrator.engine.model import WorkflowEvent
from orchestrator.orders.hooks import UnreadableHook, to_fact
from orchestrator.orders.model import HookType


def mend_hook(event: WorkflowEvent, payload: Mapping[str, Any] | None, at: datetime | None) -> WorkflowEvent:
    """Return the hook with another payload (the whole envelope will do), or at another time; what is None stays.

    It is read at once, as it will be when it is carried out. Raises ``Unprocessable`` with the fields where it cannot be, or where it is
    about another order; ``Conflict`` for an ``order.created`` at another time: it comes before everything.
    """
    if at is not None and event.type == HookType.CREATED:
        raise Conflict("an order is created once, before everything else: mend it in its place, or skip it")
    attributes = dict(event.attributes)
    if at is not None:
        attributes["sent_at"] = at.isoformat()
    body = event.payload
    if payload is not None:
        inner = payload.get("payload")
        said = inner if "event_type" in payload and isinstance(inner, dict) else payload
        named = said.get("originalOrderId")
        if named is not None and identifier(named) != attributes["external_id"]:
            field = FieldError("payload.originalOrderId", "another_order", "the event is about another order")
            raise Unprocessable("the payload is of another order", fields=(field,))
        body = orjson.dumps(said)
        attributes |= {"body_form": "payload"}
        attributes.pop("digest", None)
    mended = replace(event, attributes=attributes, payload=body)
    try:
        to_fact(mended, entered=payload is not None)
    except UnreadableHook as error:
        raise Unprocessable(f"it still cannot be read: {error.detail}", fields=error.fields) from None
    return mended
