"""Several events as one message: CloudEvents' batched content mode, a JSON array of events in structured mode.

Events of one type travel so when they are published together; a consumer takes a single event and a batch for the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
"""AMQP ``content_type`` of such a message. Nobody has to look at it: a dead letter that is sent again has lost it."""

EVENTS_HEADER = "events"
"""AMQP header: how many events a batch holds, for those who count events before they read them."""


def pack(events: Sequence[bytes]) -> bytes:
    """Return encoded events as one body, in their order."""
    return b"[" + b",".join(events) + b"]"


def unpack(body: bytes) -> list[bytes]:
    """Return the events of a message's body in their order, each as a body of its own: never none.

    Says nothing about whether they are events. A single event, and what is no batch, comes back as it is. Of a batch that ``pack`` made
    of what our services encode, every event comes back byte for byte.
    """
    if not body.startswith(b"["):
        return [body]
    try:
        return [orjson.dumps(event) for event in orjson.loads(body)] or [body]
    except (ValueError, TypeError):  # no JSON, or nested deeper than any event of ours
        return [body]
