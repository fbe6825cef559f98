"""The idle consumers that stand at both intake queues whoever publishes: they take, count and acknowledge, and look at nothing.

A client library would cost as much as a contestant; this reads AMQP frames from the socket and knows one of them. One JSON object
a line on stdout, whenever a line comes on stdin: how many events each queue has delivered so far (a batch says how many it holds).
``python -m tests.bench.references.consumers AMQP_URL QUEUE…``
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
import sys
import time

from pamqp import commands, frame
from pamqp.base import Frame
from yarl import URL

from common.contracts.batch import EVENTS_HEADER

_PREFETCH = 2000
_HEAD = struct.Struct(">BHI")
_LENGTH = struct.Struct(">I")
_METHOD = 1
_HEARTBEAT = 8
_HEADER = 2
_DELIVER = b"\x00\x3c\x00\x3c"
_EVENTS = bytes([len(EVENTS_HEADER)]) + EVENTS_HEADER.encode() + b"S"


class Consumer:
    """One connection, one channel, one queue."""

    def __init__(self, url: URL, queue: str) -> None:
        self.queue = queue
        self.delivered = 0
        self.socket = socket.create_connection((url.host or "127.0.0.1", url.port or 5672), timeout=10)
        self._rest = b""
        self.socket.sendall(b"AMQP\x00\x00\x09\x01")
        self._take()
        response = f"\0{url.user}\0{url.password}"
        self._send(0, commands.Connection.StartOk({}, "PLAIN", response, "en_US"))
        tune = self._take()
        if not isinstance(tune, commands.Connection.Tune):
            raise TypeError(f"the broker says {tune!r}")
        self._send(0, commands.Connection.TuneOk(tune.channel_max, tune.frame_max, 0))
        self._ask(0, commands.Connection.Open(url.path.removeprefix("/") or "/"))
        self._ask(1, commands.Channel.Open())
        self._ask(1, commands.Basic.Qos(0, _PREFETCH, False))
        self._ask(1, commands.Basic.Consume(queue=queue))
        self.socket.setblocking(False)

    def read(self) -> None:
        """Count what has arrived, and acknowledge all of it at once."""
        self._rest += self.socket.recv(1 << 20)
        view, position, last = self._rest, 0, b""
        while len(view) - position >= _HEAD.size:
            kind, _, size = _HEAD.unpack_from(view, position)
            end = position + _HEAD.size + size + 1
            if end > len(view):
                break
            if kind == _METHOD:
                start = position + _HEAD.size
                if view[start : start + 4] != _DELIVER:
                    raise RuntimeError(f"the broker says {frame.unmarshal(view[position:end])[2]!r}")
                tag = start + 5 + view[start + 4]
                last = view[tag : tag + 8]
                self.delivered += 1
            elif kind == _HEADER and (at := view.find(_EVENTS, position, end)) >= 0:
                at += len(_EVENTS)
                (length,) = _LENGTH.unpack_from(view, at)
                self.delivered += int(view[at + _LENGTH.size : at + _LENGTH.size + length]) - 1
            position = end
        self._rest = view[position:]
        if last:
            self._send(1, commands.Basic.Ack(struct.unpack(">Q", last)[0], True))

    def _send(self, channel: int, method: Frame) -> None:
        self.socket.sendall(frame.marshal(method, channel))

    def _ask(self, channel: int, method: Frame) -> None:
        self._send(channel, method)
        answer = self._take()
        if answer.name not in method.valid_responses:
            raise RuntimeError(f"the broker says {answer!r}")

    def _take(self) -> Frame:
        while True:
            while len(self._rest) < _HEAD.size or len(self._rest) < _HEAD.size + self._size() + 1:
                self._rest += self.socket.recv(65536)
            taken, _, found = frame.unmarshal(self._rest)
            self._rest = self._rest[taken:]
            if isinstance(found, Frame):
                return found

    def _size(self) -> int:
        return int(_HEAD.unpack_from(self._rest)[2])


def main(amqp_url: str, queues: list[str]) -> None:
    """Consume until stdin ends."""
    consumers = [Consumer(URL(amqp_url), queue) for queue in queues]
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        for consumer in consumers:
            selector.register(consumer.socket, selectors.EVENT_READ, consumer)
        while True:
            for key, _ in selector.select():
                if key.data is not None:
                    key.data.read()
                elif not os.read(sys.stdin.fileno(), 4096):
                    return
                else:
                    counts = {consumer.queue: consumer.delivered for consumer in consumers}
                    sys.stdout.write(json.dumps(counts) + "\n")
                    sys.stdout.flush()
            time.sleep(0.001)  # let some gather: an idle consumer is not to take a core by waking for each


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
