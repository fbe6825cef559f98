"""A feedback service that costs next to nothing: the same tips for every order, asked over kept connections.

``python -m tests.bench.references.feedback_server PORT``. Feedback on an order whose number begins with ``W`` is always newer than
before, so that each set-tips-sum has something to write; the others' never changes.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

import uvloop

FIXED = "2026-11-21T07:05:00+00:00"


def answer(updated_at: str) -> bytes:
    """Return the whole HTTP answer."""
    body = (
        '{"rating":5,"tips":{"type":"percent","value":"10"},"choice":"suggested","done":false,"updated_at":"'
        + updated_at
        + '"}'
    ).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Feedback(asyncio.Protocol):
    """One connection; requests come one at a time and have no body."""

    _fixed = answer(FIXED)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport
        self._held = b""

    def data_received(self, data: bytes) -> None:
        """Answer when the head is whole."""
        self._held += data
        if not self._held.endswith(b"\r\n\r\n"):
            return
        moving = b"/orders/W" in self._held.split(b"\r\n", 1)[0]
        self._held = b""
        self._transport.write(answer(datetime.now(UTC).isoformat()) if moving else self._fixed)  # type: ignore[attr-defined]  # a TCP transport writes


async def serve(port: int) -> None:
    """Answer until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Feedback, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(serve(int(sys.argv[1])))
