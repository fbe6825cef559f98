"""Several events as one message: CloudEvents' batched content mode, a JSON array of events in structured mode, compressed by zstd.

Events of one type travel so when they are published together; a consumer takes a single event and a batch, compressed or not, for the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import orjson
import zstandard

BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
"""AMQP ``content_type`` of such a message. Nobody has to look at it: a dead letter that is sent again has lost it."""

BATCH_ENCODING = "zstd"
"""AMQP ``content_encoding`` of such a message: a consumer sees by the first bytes whether it is so."""

EVENTS_HEADER = "events"
"""AMQP header: how many events a batch holds, for those who count events before they read them."""

MOST_EVENTS = 32
MOST_BYTES = 128_000
"""Of a batch before it is compressed: one frame of the broker; a consumer holds hundreds of messages in memory."""
_MOST_UNFOLDED = 1_000_000
"""Bytes that a message may unfold to: none of ours comes near, and a few bytes can say gigabytes."""
LARGE = 32_000
"""An event of more bytes goes alone: neither do small ones wait for its bytes, nor it for them."""

_COMPRESSOR = zstandard.ZstdCompressor(level=1)
_DECOMPRESSOR = zstandard.ZstdDecompressor()


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
    return _COMPRESSOR.compress(b"[" + b",".join(events) + b"]")


def unpack(body: bytes) -> list[bytes]:
    """Return the events of a message's body in their order, each as a body of its own: never none.

    Says nothing about whether they are events. A single event, and what is no batch, comes back as it is. Of a batch that ``pack`` made
    of what our services encode, every event comes back byte for byte.
    """
    try:
        array = _unfolded(body) if body.startswith(zstandard.FRAME_HEADER) else body
        if not array.startswith(b"["):
            return [body]
        return [orjson.dumps(event) for event in orjson.loads(array)] or [body]
    except (ValueError, TypeError, zstandard.ZstdError):  # no JSON, too deep, broken, or far too large
        return [body]


def _unfolded(body: bytes) -> bytes:
    """Return what was compressed. The size stands in the frame's head, and is believed before so much memory is taken."""
    if zstandard.get_frame_parameters(body).content_size > _MOST_UNFOLDED:
        raise ValueError("larger than any batch of ours")
    return _DECOMPRESSOR.decompress(body)
