"""Outgoing HTTP: sessions with sane deadlines that carry the trace and the request id along."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import aiohttp
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from common.telemetry import current_request_id
from common.telemetry.tracing import TRACEPARENT, TRACESTATE, inject, start_span, traceparent_of


def new_session(
    *,
    base_url: str | None = None,
    total: float = 10.0,
    connect: float = 2.0,
    limit: int = 100,
    headers: dict[str, str] | None = None,
    service: str = "suite",
    traced: bool = True,
    watched_by: Sequence[aiohttp.TraceConfig] = (),
    trusted: ssl.SSLContext | None = None,
) -> aiohttp.ClientSession:
    """Return a session; the caller closes it (``async with``). Must be called inside a running loop.

    ``total`` and ``connect`` are deadlines in seconds: of a whole request, and of getting a connection (waiting for the
    pool included). ``limit`` is the number of connections at a time. Redirects are followed by aiohttp's own rules;
    cookies are not kept. Every request carries ``traceparent`` and ``X-Request-Id``; with ``traced=False`` only if the caller gives
    ``outgoing_headers()`` along, which costs a fraction of aiohttp's hooks: for hot paths.
    ``watched_by`` hears of each request, too. ``trusted`` is whom to believe over https; None: whom the machine does.
    """
    return aiohttp.ClientSession(
        base_url=base_url,
        timeout=aiohttp.ClientTimeout(total=total, connect=connect, sock_connect=connect),
        connector=aiohttp.TCPConnector(limit=limit, ttl_dns_cache=30, ssl=trusted or True),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": service, **(headers or {})},
        trace_configs=[*([tracing_config()] if traced else ()), *watched_by],
    )


class Calling:
    """Whoever calls another system: a session of its own, opened at the first call, inside the loop that runs then."""

    _session: aiohttp.ClientSession | None = None

    def _opened(self, **options: Any) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = new_session(**options)
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def retry_after(value: object) -> float | None:
    """Return the seconds of a Retry-After header, an hour at most; None when it says none."""
    try:
        return max(0.0, min(3600.0, float(str(value))))
    except ValueError:
        return None


def outgoing_headers() -> dict[str, str]:
    """Return the headers that carry the current span and request id to another service."""
    headers: dict[str, str] = {}
    inject(headers)
    request_id = current_request_id()
    if request_id is not None:
        headers["X-Request-Id"] = request_id
    return headers


def tracing_config() -> aiohttp.TraceConfig:
    """Return the trace-config that ``new_session`` uses, for sessions made elsewhere (a library's, for example)."""
    config = aiohttp.TraceConfig()
    config.on_request_start.append(_started)
    config.on_request_end.append(_ended)
    config.on_request_exception.append(_failed)
    return config


async def _started(
    _session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestStartParams
) -> None:
    # Method and host only: paths and queries may hold tokens (Telegram's do) and ids without bound.
    span = start_span(
        f"{params.method} {params.url.host}",
        kind=SpanKind.CLIENT,
        attributes={"http.request.method": params.method, "server.address": params.url.host or ""},
    )
    context.span = span
    own = span.get_span_context()
    if TRACEPARENT not in params.headers:  # whoever sets it knows better
        params.headers[TRACEPARENT] = traceparent_of(own)
        if own.trace_state:
            params.headers[TRACESTATE] = own.trace_state.to_header()
    request_id = current_request_id()
    if request_id is not None and "X-Request-Id" not in params.headers:
        params.headers["X-Request-Id"] = request_id


async def _ended(
    _session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
) -> None:
    span: trace.Span = context.span
    span.set_attribute("http.response.status_code", params.response.status)
    span.end()


async def _failed(
    _session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams
) -> None:
    span: trace.Span = context.span
    span.set_attribute("error.type", type(params.exception).__name__)
    span.set_status(Status(StatusCode.ERROR))
    span.end()
