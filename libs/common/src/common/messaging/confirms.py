"""The publishing side of one channel, for thousands of messages a second: many messages a write, confirmations awaited together.

aiormq's own ``basic_publish`` spends about 100 µs on a message, most of it on futures, locks and timers that stand for one message each,
and a system call. Here a message costs its bytes and one future; whatever the callers of one turn of the loop want to send is written
at once. Frames are built by hand, and a test holds them against pamqp's. What the channel itself needs in order to match
confirmations and returns (``delivery_tag``, ``confirmations``, ``message_id_delivery_tag``) is kept exactly as ``basic_publish`` does.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
from functools import lru_cache, partial
from uuid import uuid4

from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from pamqp import commands as spec
from pamqp import frame as amqp_frame
from pamqp.header import ContentHeader

from common.contracts.batch import BATCH_CONTENT_TYPE, BATCH_ENCODING, EVENTS_HEADER
from common.contracts.envelope import CONTENT_TYPE

_PERSISTENT = 2
_LONGEST_WRITE = 1024 * 1024
_TRY_AGAIN_S = 0.01

_FRAME = struct.Struct(">BHI")
_HEADER = struct.Struct(">HHQH")
_METHOD_FRAME, _HEADER_FRAME, _BODY_FRAME = 1, 2, 3
_BASIC_CLASS = 60
_END = b"\xce"
_FLAGS = 0x8000 | 0x1000 | 0x0080  # content type, delivery mode, message id: in this order on the wire
_CONTENT_TYPE = bytes([len(CONTENT_TYPE)]) + CONTENT_TYPE.encode() + bytes([_PERSISTENT])


class ConfirmedWriter:
    """Writes messages to a channel in confirm mode that nobody else publishes through.

    Messages go out in the order of the calls. Nothing is written before the socket has taken what was written before: while the broker
    does not read, messages wait here, and one whose caller has given up is forgotten, not sent. To be used within one event loop.
    When the channel ends, or at ``close``, everything that still waits fails.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, tuple[asyncio.Future[object], bytes]] = {}
        self._sent: dict[str, asyncio.Future[object]] = {}
        self._writing = False
        self._closed: BaseException | None = None
        # Unique for each attempt: returns are matched by it, and with one id shared by concurrent attempts some unroutable publishes
        # look confirmed.
        self._attempts = map(f"{uuid4().hex}.{{:x}}".format, itertools.count())
        self._ending = channel.closing
        self._ending.add_done_callback(self._ended)

    @property
    def waiting(self) -> int:
        """How many messages have not been written yet."""
        return len(self._waiting)

    def submit(self, exchange: str, routing_key: str, body: bytes, events: int = 1) -> asyncio.Future[object]:
        """Take a message to be sent at the end of this turn of the loop, mandatory and persistent.

        The future is done when the broker has confirmed it. It fails with aiormq's ``PublishError`` when the message was returned,
        ``DeliveryError`` when it was refused, and with what ended the channel (``ConnectionError`` when nothing said why).
        Cancel it to give the message up: what has not been written by then never will be. Raises ``ValueError`` for names
        that AMQP cannot say.
        """
        attempt = next(self._attempts)
        channel = self._channel
        content = encode(
            channel.number, exchange, routing_key, body, attempt, room=channel.max_content_size, events=events
        )
        confirmed: asyncio.Future[object] = self._loop.create_future()
        if self._closed is not None:
            confirmed.set_exception(self._closed)
            return confirmed
        confirmed.add_done_callback(partial(self._forget, attempt))
        self._waiting[attempt] = (confirmed, content)
        if not self._writing:
            self._writing = True
            self._loop.call_soon(self._write)
        return confirmed

    def close(self) -> None:
        """Fail whatever waits, written or not, and whatever comes. Harmless when repeated."""
        self._fail(_closed())

    def _write(self) -> None:
        """Give the connection everything that waits, as one piece; it calls again when the socket has taken it."""
        channel = self._channel
        if self._closed is not None or not self._waiting:
            self._writing = False
            return
        if channel.write_queue.full():
            self._loop.call_later(_TRY_AGAIN_S, self._write)
            return
        pieces: list[bytes] = []
        size = 0
        for attempt, (confirmed, content) in list(self._waiting.items()):
            del self._waiting[attempt]
            if confirmed.done():
                continue
            channel.delivery_tag += 1
            channel.confirmations[channel.delivery_tag] = confirmed
            channel.message_id_delivery_tag[attempt] = channel.delivery_tag
            self._sent[attempt] = confirmed
            pieces.append(content)
            size += len(content)
            if size >= _LONGEST_WRITE:
                break
        taken = self._loop.create_future()
        taken.add_done_callback(lambda _: self._write())
        payload = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        channel.write_queue.put_nowait(ChannelFrame(payload=payload, should_close=False, drain_future=taken))

    def _forget(self, attempt: str, _: object) -> None:
        self._waiting.pop(attempt, None)
        self._sent.pop(attempt, None)
        self._channel.message_id_delivery_tag.pop(attempt, None)

    def _ended(self, ending: asyncio.Future[object]) -> None:
        error = None if ending.cancelled() else ending.exception()
        # aiormq says CancelledError of a channel whose connection was closed or found silent: whoever waits would look cancelled.
        self._fail(error if isinstance(error, Exception) else _closed())

    def _fail(self, error: Exception) -> None:
        if self._closed is not None:
            return
        self._closed = error
        self._ending.remove_done_callback(self._ended)
        self._ending.cancel()
        unconfirmed = [*(confirmed for confirmed, _ in self._waiting.values()), *self._sent.values()]
        for confirmed in unconfirmed:
            if not confirmed.done():
                confirmed.set_exception(error)


def encode(
    channel: int, exchange: str, routing_key: str, body: bytes, message_id: str, *, room: int, events: int = 1
) -> bytes:
    """Return the frames of one message: method, header, and the body, an event or a batch, in pieces of at most ``room`` bytes.

    Raises ``ValueError`` for what does not fit: names and ids have at most 255 bytes.
    """
    method = _method(channel, exchange, routing_key)
    size = len(body)
    if events > 1:
        header = amqp_frame.marshal(
            ContentHeader(
                body_size=size,
                properties=spec.Basic.Properties(
                    content_type=BATCH_CONTENT_TYPE,
                    content_encoding=BATCH_ENCODING,
                    delivery_mode=_PERSISTENT,
                    message_id=message_id,
                    headers={EVENTS_HEADER: str(events)},
                ),
            ),
            channel,
        )
    else:
        content = _HEADER.pack(_BASIC_CLASS, 0, size, _FLAGS) + _CONTENT_TYPE + _short(message_id)
        header = _FRAME.pack(_HEADER_FRAME, channel, len(content)) + content + _END
    if size <= room:
        if not size:
            return method + header
        return b"".join((method, header, _FRAME.pack(_BODY_FRAME, channel, size), body, _END))
    pieces = [method, header]
    for start in range(0, size, room):
        piece = body[start : start + room]
        pieces += (_FRAME.pack(_BODY_FRAME, channel, len(piece)), piece, _END)
    return b"".join(pieces)


@lru_cache(maxsize=256)
def _method(channel: int, exchange: str, routing_key: str) -> bytes:
    _short(exchange), _short(routing_key)
    return amqp_frame.marshal(spec.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True), channel)


def _closed() -> ConnectionError:
    return ConnectionError("the link to RabbitMQ was closed")


def _short(text: str) -> bytes:
    encoded = text.encode("utf-8")
    if len(encoded) > 255:
        raise ValueError("AMQP's short strings have at most 255 bytes")
    return bytes([len(encoded)]) + encoded
