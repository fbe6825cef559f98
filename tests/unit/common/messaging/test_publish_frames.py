"""The frames of a published message, written by hand, are the ones that pamqp writes."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, frame, header

from common.contracts.batch import BATCH_CONTENT_TYPE, BATCH_ENCODING, EVENTS_HEADER
from common.contracts.envelope import CONTENT_TYPE
from common.messaging.confirms import encode

NAMES = st.text(st.characters(codec="utf-8"), max_size=60)


def by_pamqp(channel: int, exchange: str, key: str, content: bytes, name: str, *, room: int, events: int) -> bytes:
    """The same message, written by the library."""
    together = events > 1
    properties = commands.Basic.Properties(
        content_type=BATCH_CONTENT_TYPE if together else CONTENT_TYPE,
        content_encoding=BATCH_ENCODING if together else None,
        headers={EVENTS_HEADER: str(events)} if together else None,
        delivery_mode=2,
        message_id=name,
    )
    stream = io.BytesIO(content)
    pieces = iter(lambda: stream.read(room), b"")
    frames: list[Any] = [
        commands.Basic.Publish(exchange=exchange, routing_key=key, mandatory=True),
        header.ContentHeader(body_size=len(content), properties=properties),
        *map(body.ContentBody, pieces),
    ]
    return b"".join(frame.marshal(each, channel) for each in frames)


@given(
    channel=st.integers(1, 65535),
    exchange=st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz.-_:"), max_size=100),
    key=NAMES,
    content=st.binary(max_size=300),
    name=st.text(st.sampled_from("0123456789abcdef."), min_size=1, max_size=64),
    room=st.integers(1, 200),
    events=st.integers(1, 32),
)
def test_every_message_is_written_as_the_library_writes_it(
    channel: int,
    exchange: str,
    key: str,
    content: bytes,
    name: str,
    room: int,
    events: int,
) -> None:
    """Any name, any size, split or whole, one event or a batch."""
    written = encode(channel, exchange, key, content, name, room=room, events=events)
    assert written == by_pamqp(channel, exchange, key, content, name, room=room, events=events)


@pytest.mark.parametrize(("exchange", "key"), [("e" * 256, "k"), ("e", "ж" * 128)])
def test_a_name_longer_than_amqp_can_say_is_an_error(exchange: str, key: str) -> None:
    """255 bytes, not characters."""
    with pytest.raises(ValueError, match="255 bytes"):
        encode(1, exchange, key, b"", "m", room=100)
