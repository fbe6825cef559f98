"""What every request goes through: request id, trace, metrics, one log line, and problem+json for every error.

One middleware instead of five: each costs a coroutine a request, and the gateway answers thousands a second.
"""

from __future__ import annotations

import asyncio
import random
import string
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from aiohttp import StreamReader, web
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanKind, Status, StatusCode
from prometheus_client import CollectorRegistry, Counter, Histogram

from common.errors import ConfigurationError
from common.health import Health
from common.http.problems import RequestTimeout, internal_error, problem_of, problem_of_http, to_suite_error
from common.http.routes import Route
from common.telemetry import bind_request_id, get_logger, report_exception
from common.telemetry.metrics import FAST_SECONDS
from common.telemetry.tracing import parse_traceparent, start_span, traceparent_of

_log = get_logger()
_random = random.Random()  # noqa: S311 - request ids tell requests apart, they are not keys

_LONGEST_ID = 128
_ID_CHARACTERS = frozenset(string.ascii_letters + string.digits + "-_.:/+=@")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNMATCHED = "unmatched"
_SERVER_ERROR = 500

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Middleware = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]


class HttpMetrics:
    """Requests by route template, never by path: the labels are as many as there are routes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "http_requests_total", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._duration = Histogram(
            "http_request_duration_seconds",
            "From the request's head to the end of its handler, in seconds.",
            ["method", "route"],
            buckets=FAST_SECONDS,
            registry=registry,
        )
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._histograms: dict[tuple[str, str], Histogram] = {}

    def expect(self, route: Route) -> None:
        """Let the series of a route's success exist at zero."""
        statuses = route.response if isinstance(route.response, dict) else {route.status: None}
        for status in statuses:
            self._requests.labels(route.method, route.path, str(status))
        self._duration.labels(route.method, route.path)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        counter = self._counters.get((method, route, status))
        if counter is None:
            counter = self._counters[method, route, status] = self._requests.labels(method, route, str(status))
        counter.inc()
        histogram = self._histograms.get((method, route))
        if histogram is None:
            histogram = self._histograms[method, route] = self._duration.labels(method, route)
        histogram.observe(seconds)


def clean_request_id(given: str | None) -> str:
    """Return the caller's request id if it is sane (1 to 128 characters of a small set), else a fresh one."""
    if given and len(given) <= _LONGEST_ID and _ID_CHARACTERS.issuperset(given):
        return given
    return f"{_random.getrandbits(128):032x}"


def make_edge(*, metrics: HttpMetrics, health: Health, endpoints: dict[Handler, Route], body_seconds: float) -> Any:
    """Return the middleware. ``endpoints`` says which route a handler serves.

    A body that is not there whole ``body_seconds`` after its head is a 408 (``RequestTimeout``) to whoever reads it; after an answer
    that did not wait for it the connection ends. What a handler sends meanwhile goes on.
    """

    @web.middleware
    async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Carry one request from its head to its answer."""
        started = perf_counter()
        route = endpoints.get(handler)
        template = route.path if route is not None else _UNMATCHED
        method = request.method if request.method in _METHODS else "other"
        headers = request.headers
        request_id = clean_request_id(headers.get("X-Request-Id"))
        bind_request_id(request_id)
        span = _server_span(request, method=method, template=template)
        context = span.get_span_context()
        token = otel_context.attach(trace.set_span_in_context(span))
        body = request.content
        late = None
        if not body.is_eof():
            late = asyncio.get_running_loop().call_later(body_seconds, _give_up, body, body_seconds)
        status = 499  # nginx's number for a caller that went away; stays only when the handler is cancelled
        try:
            try:
                response = await handler(request)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if request.writer.output_size > 0:
                    raise  # part of an answer is out already; aiohttp cuts the connection, which is all that can be done
                response = _answer(error, request_id=request_id, template=template, method=method)
            status = response.status
            if not response.prepared:
                response.headers["X-Request-Id"] = request_id
                response.headers["traceparent"] = traceparent_of(context)
                if health.draining:
                    response.force_close()
            return response
        finally:
            if late is not None and body.is_eof():
                late.cancel()
            seconds = perf_counter() - started
            metrics.observe(method, template, status, seconds)
            if span.is_recording():
                span.set_attribute("http.response.status_code", status)
                if status >= _SERVER_ERROR:
                    span.set_status(Status(StatusCode.ERROR))
                span.end()
            if status >= _SERVER_ERROR or route is None or not (route.raw or route.quiet):
                _log.info(
                    "http_request", method=method, route=template, status=status, duration_ms=round(seconds * 1000, 3)
                )
            otel_context.detach(token)

    return edge


def _give_up(body: StreamReader, seconds: float) -> None:
    if not body.is_eof() and body.exception() is None:
        body.set_exception(RequestTimeout(f"the body did not arrive within {seconds:g} s"))


def _server_span(request: web.Request, *, method: str, template: str) -> Span:
    parent = parse_traceparent(request.headers.get("traceparent"), request.headers)
    # An empty context, not the current one: a connection's task may still hold what an earlier request left there.
    context = trace.set_span_in_context(NonRecordingSpan(parent), Context()) if parent is not None else Context()
    return start_span(
        f"{method} {template}",
        kind=SpanKind.SERVER,
        context=context,
        attributes={"http.request.method": method, "http.route": template},
    )


def _answer(error: Exception, *, request_id: str, template: str, method: str) -> web.StreamResponse:
    if isinstance(error, web.HTTPException):
        return problem_of_http(error, request_id=request_id) if error.status >= 400 else error
    known = to_suite_error(error)
    if known is not None and not isinstance(known, ConfigurationError):
        if known is not error:
            _log.warning("http_request_unavailable", route=template, method=method, error=type(error).__name__)
        return problem_of(known, request_id=request_id)
    _log.error("http_request_failed", route=template, method=method, exc_info=error)
    report_exception(error, route=template, method=method)
    return problem_of(known, request_id=request_id) if known is not None else internal_error(request_id=request_id)
