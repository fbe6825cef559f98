"""Requests that never come to an end, byte for byte as a test writes them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from yarl import URL

PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Slow:
    """What is sent at once, and what is sent again and again for as long as the connection lives. ``head``: the head is not whole."""

    name: str
    begins: bytes
    drips: bytes = b""
    head: bool = True


_HEAD = b"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"

SLOW = (
    Slow("nothing at all", b""),
    Slow("a head that never ends", _HEAD),
    Slow("a head byte by byte", _HEAD + b"X-Slow: ", b"x"),
    Slow("a request line byte by byte", b"POST /", b"a"),
    Slow("a body that never ends", _HEAD + b'Content-Length: 1000\r\n\r\n{"note": "', head=False),
    Slow("a body that never begins", _HEAD + b"Content-Length: 1000\r\n\r\n", head=False),
    Slow("a body byte by byte", _HEAD + b"Content-Length: 100000\r\n\r\n", b" ", head=False),
    Slow("chunks without an end", _HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", head=False),
    Slow("a chunk that stops", _HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{", head=False),
)


async def answered_until_the_end(url: str, path: str, slow: Slow, *, every: float, token: str = "") -> bytes:
    """Send it, dripping ``every`` so many seconds, and return what was answered once the server ends the connection.

    Raises ``TimeoutError`` when it is open after a minute.
    """
    where = URL(url)
    reader, writer = await asyncio.open_connection(where.host, where.port)
    dripping = asyncio.create_task(_drip(writer, slow.drips, every)) if slow.drips else None
    try:
        writer.write(slow.begins.replace(b"{path}", path.encode()).replace(b"{token}", token.encode()))
        try:
            async with asyncio.timeout(PATIENCE):
                return await _all_of(reader)
        except TimeoutError:
            raise TimeoutError(f"{slow.name} at {path} is open after {PATIENCE:g} s") from None
    finally:
        if dripping is not None:
            dripping.cancel()
        writer.close()


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    found = b""
    try:
        while piece := await reader.read(65536):
            found += piece
    except ConnectionError:
        return found  # ended, with something of ours unread
    return found


async def _drip(writer: asyncio.StreamWriter, drips: bytes, every: float) -> None:
    while not writer.is_closing():
        await asyncio.sleep(every)
        writer.write(drips)
