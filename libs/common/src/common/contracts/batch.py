"""Several events as one message: CloudEvents' batched content mode, a JSON array of events in structured mode.

Events of one type travel so when they are published together; a consumer takes a single event and a batch for the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import orjson

BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
"""AMQP ``content_type`` of such a message. Nobody has to look at it: a dead letter that is sent again has lost it."""

EVENTS_HEADER = "events"
"""AMQP header: how many events a batch holds, for those who count events before they read them."""

MOST_EVENTS = 32
MOST_BYTES = 128_000
"""Of a batch: one frame of the broker; a consumer holds hundreds of messages in memory."""
LARGE = 32_000
"""An event of more bytes goes alone: neither do small ones wait for its bytes, nor it for them."""


def cut(events: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Cut encoded events into batches within the bounds, in their order; large ones stay alone."""
    first, size = 0, 0
    for place, event in enumerate(events):
        alone = len(event) > LARGE or len(events[first]) > LARGE
        if place > first and (alone or place - first >= MOST_EVENTS or size + len(event) > MOST_BYTES):
            yield events[first:place]
            first, size = place, 0
        size += len(event)
    if events:
        yield events[first:]


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
