"""What is taken of a request: its body byte for byte, bounded in bytes and in time, and its headers without secrets."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import orjson
from aiohttp import http_exceptions, web

from common.reading import storable

_MASK = "***"
_SECRET_NAMES = frozenset(
    {"authorization", "client-token", "webhook-signature", "cookie", "proxy-authorization", "x-api-key"}
)
_MOST_HEADERS = 40
_LONGEST_VALUE = 300

_ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP, _ZLIB, _BARE = 31, 15, -15  # zlib's names for the three forms
_DEFLATED = 8  # the low half of the first byte of zlib's form


class BodyState(StrEnum):
    """How reading ended."""

    COMPLETE = "complete"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Body:
    """What was read. Of a body that is too large only the first part is in ``content``."""

    state: BodyState
    content: bytes


class _Unfolding:
    """Decompresses piece by piece, never more than it is asked for."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._stream = zlib.decompressobj(wbits=_GZIP if encoding == "gzip" else _ZLIB)
        self._begun = False

    def feed(self, piece: bytes, *, most: int) -> bytes:
        """Return what the piece unfolds to, at most ``most`` bytes (positive) of it. Raises ``zlib.error``."""
        if not self._begun:
            self._begun = True
            # RFC 9110 means zlib's form, some send it bare.
            if self._encoding == "deflate" and piece[0] & 0x0F != _DEFLATED:
                self._stream = zlib.decompressobj(wbits=_BARE)
        unfolded = self._stream.decompress(piece, most)
        if self._stream.unused_data:
            raise zlib.error("something follows the end")
        return unfolded

    @property
    def whole(self) -> bool:
        """Whether its end has come."""
        return self._stream.eof


async def read_body(request: web.Request, *, limit: int, kept: int, deadline: float) -> Body:
    """Read at most ``limit`` bytes, counted as they come, chunked or not, and as they unfold where the sender compressed.

    ``kept`` bytes are returned of a larger body. ``deadline`` is in seconds. Takes gzip and deflate; anything else is ``BROKEN``.
    Never raises on what a client does. The server must not decompress by itself (``common.http.HttpServer`` does not).
    """
    content = request.content
    encoding = request.headers.get("Content-Encoding")
    declared = request.content_length
    arrived = content.is_eof() and content.exception() is None
    if arrived and declared is not None and declared <= limit and encoding is None:
        return Body(BodyState.COMPLETE, content.read_nowait())  # it came with the head: no timer, no waiting
    unfolding = None
    if encoding is not None and (name := encoding.strip().lower()) != "identity":
        if name not in _ENCODINGS:
            return Body(BodyState.BROKEN, b"")
        unfolding = _Unfolding(name.removeprefix("x-"))
    chunks: list[bytes] = []
    size = came = 0
    bound = kept if declared is not None and declared > limit else limit
    try:
        async with asyncio.timeout(deadline):
            while size <= bound and came <= limit:
                chunk = await content.readany()
                if not chunk:
                    break
                came += len(chunk)
                if unfolding is not None:
                    chunk = unfolding.feed(chunk, most=bound + 1 - size)
                chunks.append(chunk)
                size += len(chunk)
    except TimeoutError:
        return Body(BodyState.TOO_SLOW, b"".join(chunks)[:kept])
    except (web.RequestPayloadError, http_exceptions.HttpProcessingError, OSError, zlib.error):
        return Body(BodyState.BROKEN, b"".join(chunks)[:kept])
    if size > limit or came > limit or (declared is not None and declared > limit):
        return Body(BodyState.TOO_LARGE, b"".join(chunks)[:kept])
    if unfolding is not None and not unfolding.whole:
        return Body(BodyState.BROKEN, b"".join(chunks)[:kept])
    return Body(BodyState.COMPLETE, chunks[0] if len(chunks) == 1 else b"".join(chunks))


def masked_headers(headers: Iterable[tuple[str, str]], secret_headers: frozenset[str] = frozenset()) -> str:
    """Return at most forty headers as JSON by lower-case name: ``secret_headers`` and all usual secrets masked, long values cut."""
    result: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if len(result) >= _MOST_HEADERS:
            break
        secret = lower in secret_headers or lower in _SECRET_NAMES or "token" in lower or "secret" in lower
        result[lower] = _MASK if secret else storable(value[:_LONGEST_VALUE])
    return orjson.dumps(result).decode()
