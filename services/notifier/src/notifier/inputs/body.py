"""The body of a notification, as far as it is read: bounded, unpacked, and what is behind the bound only counted."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from aiohttp import web

LARGEST = 16 * 1024**2
"""Bytes of a notification that are read, when it is unpacked; of what is behind them only alerts are counted."""
_LARGEST_COUNTED = 4 * LARGEST
_CHUNK = 1024**2
_ENOUGH = 256 * 1024
_GZIP = b"\x1f\x8b"
_GZIP_OR_ZLIB = 47  # zlib's word for: whichever of the two it is
_ALERT = b'"startsAt"'


def count_beginnings(content: bytes) -> int:
    """Count alerts in a part of a body that is not kept, by what each has once."""
    return content.count(_ALERT)


async def read_body(request: web.Request) -> tuple[bytes, bytes, int]:
    """Return the body's first bytes as they came and unpacked, and how many alerts there are behind them.

    A body that is compressed, whether it says so or not, is unpacked; of one that breaks off, or is something else, there is what could
    be read.
    """
    content, cut_off = await _bounded(request.content.iter_chunked(_CHUNK))
    named = request.headers.get("Content-Encoding", "").lower()
    if not content.startswith(_GZIP) and not any(each in named for each in ("gzip", "deflate")):
        return content, content, cut_off
    unpacked, behind = await _bounded(_unpacked(content))
    return content, unpacked or content, cut_off + behind


async def read_beginning(request: web.Request) -> bytes:
    """Return the first bytes of a body, unpacked: enough to see what it is."""
    content = bytearray()
    async for chunk in request.content.iter_chunked(_ENOUGH):
        content += chunk
        if len(content) >= _ENOUGH:
            break
    if not content.startswith(_GZIP):
        return bytes(content)
    async for piece in _unpacked(bytes(content)):
        return piece
    return bytes(content)


async def _bounded(chunks: AsyncIterator[bytes]) -> tuple[bytes, int]:
    content, rest, left_out, total = bytearray(), 0, b"", 0
    async for chunk in chunks:
        room = LARGEST - len(content)
        content += chunk[:room]
        total += len(chunk)
        if len(chunk) > room:
            left_out = left_out[1 - len(_ALERT) :] + chunk[room:]
            rest += count_beginnings(left_out)
        if total > _LARGEST_COUNTED:
            rest = max(rest, 1)
            break
    return bytes(content), rest


async def _unpacked(content: bytes) -> AsyncIterator[bytes]:
    """Give what a compressed body holds, several members too, until it ends or cannot be unpacked."""
    while content:
        stream = zlib.decompressobj(wbits=_GZIP_OR_ZLIB)
        while content and not stream.eof:
            try:
                piece = stream.decompress(content, _CHUNK)
            except zlib.error:
                return
            if not piece and not stream.unused_data and not stream.eof:
                return
            content = stream.unconsumed_tail
            yield piece
        content = stream.unused_data.lstrip(b"\0")
