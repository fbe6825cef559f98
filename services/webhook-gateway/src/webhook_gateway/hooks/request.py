"""What is taken of a request: its body byte for byte, bounded in bytes and in time, and its headers without secrets."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import orjson
from aiohttp import http_exceptions, web

from common.reading import storable
from webhook_gateway.hooks.encodings import Coding, Unfolding, charset_of, coding_of, to_utf8

_MASK = "***"
_SECRET_NAMES = frozenset(
    {"authorization", "client-token", "webhook-signature", "cookie", "proxy-authorization", "x-api-key"}
)
_MOST_HEADERS = 40
_LONGEST_VALUE = 300


class BodyState(StrEnum):
    """How reading ended. ``UNSUPPORTED``: it is compressed in a way that nobody here reads."""

    COMPLETE = "complete"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    BROKEN = "broken"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class BodyFault:
    """What is answered to a body that is not whole. ``reason`` is what its quarantine says."""

    status: int
    code: str
    detail: str
    reason: str


FAULTS: Mapping[BodyState, BodyFault] = {
    BodyState.TOO_LARGE: BodyFault(
        413, "payload_too_large", "the body is larger than what one request may be", "too_large"
    ),
    BodyState.TOO_SLOW: BodyFault(408, "request_timeout", "the body did not arrive in time", "request_timeout"),
    BodyState.BROKEN: BodyFault(400, "broken_body", "the body did not arrive whole", "broken_body"),
    BodyState.UNSUPPORTED: BodyFault(
        415, "unsupported_encoding", "the body is compressed in a way that is not read here", "unsupported_encoding"
    ),
}


@dataclass(frozen=True, slots=True)
class Body:
    """What was read: all of it, or as far as it came. ``content`` is compressed still when ``UNSUPPORTED``."""

    state: BodyState
    content: bytes


async def read_body(request: web.Request, *, limit: int, kept: int, deadline: float) -> Body:
    """Read at most ``limit`` bytes, counted as they come, chunked or not, and as they unfold where the sender compressed.

    ``kept`` bytes are returned of a larger body. ``deadline`` is in seconds. Never raises on what a client does. The server must not
    decompress by itself (``common.http.HttpServer`` does not).
    """
    content = request.content
    coding = content_coding(request)
    declared = request.content_length
    arrived = content.is_eof() and content.exception() is None
    if arrived and declared is not None and declared <= limit and coding == "plain":
        return Body(BodyState.COMPLETE, content.read_nowait())  # it came with the head: no timer, no waiting
    unfolding = None if coding is None or coding == "plain" else Unfolding(coding)
    chunks: list[bytes] = []
    raw = b""  # the beginning as it came, for a body that cannot be unfolded
    size = came = 0
    bound = kept if declared is not None and declared > limit else limit
    state = BodyState.COMPLETE
    try:
        async with asyncio.timeout(deadline):
            while size <= bound and came <= limit:
                chunk = await content.readany()
                if not chunk:
                    break
                came += len(chunk)
                if unfolding is not None:
                    raw = raw or chunk[:kept]
                    chunk = unfolding.feed(chunk, most=bound + 1 - size)
                chunks.append(chunk)
                size += len(chunk)
    except TimeoutError:
        state = BodyState.TOO_SLOW
    except (web.RequestPayloadError, http_exceptions.HttpProcessingError, OSError, zlib.error):
        state = BodyState.BROKEN
    if state is BodyState.COMPLETE:
        if size > limit or came > limit or (declared is not None and declared > limit):
            state = BodyState.TOO_LARGE
        elif coding is None:
            return Body(BodyState.UNSUPPORTED, b"".join(chunks))
        elif unfolding is not None and not unfolding.whole and came:
            state = BodyState.BROKEN
        else:
            return Body(BodyState.COMPLETE, chunks[0] if len(chunks) == 1 else b"".join(chunks))
    return Body(state, b"".join(chunks)[:kept] or raw)


def content_coding(request: web.Request) -> Coding | None:
    """Return how the body is compressed, None when nobody here reads it."""
    headers = request.headers
    return "plain" if "Content-Encoding" not in headers else coding_of(",".join(headers.getall("Content-Encoding")))


def text_of(request: web.Request, content: bytes) -> bytes:
    """Return a body in UTF-8, read by the charset that its headers declare; the bytes as they came when that cannot be."""
    headers = request.headers
    return to_utf8(content, charset_of(headers.get("Content-Type", ""), headers.get("Content-Encoding", "")))


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
