"""Traces: spans and the W3C trace context, cheap enough for thousands of requests a second.

With an exporter, spans are real SDK spans. Without one, ``span`` makes a span that has ids and records nothing: the ids
still travel through HTTP and AMQP and stand in the logs, at a tenth of the cost.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, MutableMapping
from contextvars import Token
from types import TracebackType
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_PLAIN_HEADER = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_LONGEST_STATE = 512  # characters; the W3C asks to carry at least that much
_random = random.Random()  # noqa: S311 - trace ids tell requests apart, they are not keys


class _State:
    """What the process-wide set-up decided; before it, spans only have ids."""

    tracer: trace.Tracer | None = None


class Tracing:
    """The tracer provider of this process."""

    def __init__(self, provider: TracerProvider) -> None:
        self.provider = provider

    def add_processor(self, processor: SpanProcessor) -> None:
        """Record spans from now on and hand them to this processor."""
        self.provider.add_span_processor(processor)
        _State.tracer = self.provider.get_tracer("common")

    def close(self) -> None:
        """Send what is left and shut down. Blocks while a collector does not answer: call it beside, with a deadline."""
        _State.tracer = None
        self.provider.shutdown()


def setup_tracing(*, service: str, environment: str, replica: str, release: str, otlp_endpoint: str | None) -> Tracing:
    """Make the tracer provider; spans are exported by OTLP over HTTP only when an endpoint is given."""
    resource = Resource.create(
        {
            "service.name": service,
            "service.version": release,
            "service.instance.id": replica,
            "deployment.environment.name": environment,
        }
    )
    tracing = Tracing(TracerProvider(resource=resource, shutdown_on_exit=False))
    if otlp_endpoint is not None:
        exporter = OTLPSpanExporter(endpoint=otlp_endpoint.rstrip("/") + "/v1/traces", timeout=2)
        tracing.add_processor(BatchSpanProcessor(exporter))
    return tracing


class span:  # noqa: N801 - used as a function: `with span("orders.apply") as current`
    """Open a span around a block: ``with span("refund.send", kind=SpanKind.CLIENT, state="sending") as current``.

    The parent is the current span, or the one in ``context`` (see ``extract``). An exception that leaves the block
    marks the span as failed, with the exception's class and no message: messages may hold personal data. Attribute
    values must be bounded and free of personal data; dots are allowed by ``**{"http.route": …}``.
    """

    __slots__ = ("_attributes", "_context", "_kind", "_name", "_span", "_token")

    def __init__(
        self, name: str, *, kind: SpanKind = SpanKind.INTERNAL, context: Context | None = None, **attributes: Any
    ) -> None:
        self._name = name
        self._kind = kind
        self._context = context
        self._attributes = attributes
        self._span: Span = trace.INVALID_SPAN
        self._token: Token[Context] | None = None

    def __enter__(self) -> Span:
        self._span = start_span(self._name, kind=self._kind, context=self._context, attributes=self._attributes)
        self._token = otel_context.attach(trace.set_span_in_context(self._span, self._context))
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            otel_context.detach(self._token)
        if self._span.is_recording():
            if kind is not None and error is not None and issubclass(kind, Exception):
                self._span.set_attribute("error.type", kind.__name__)
                self._span.set_status(Status(StatusCode.ERROR))
            self._span.end()


def start_span(
    name: str, *, kind: SpanKind = SpanKind.INTERNAL, context: Context | None = None, attributes: Mapping[str, Any]
) -> Span:
    """Make a span without entering it; the caller ends it. Prefer ``span``."""
    tracer = _State.tracer
    if tracer is not None:
        return tracer.start_span(name, context=context, kind=kind, attributes=attributes)
    parent = trace.get_current_span(context).get_span_context()
    fresh = _random.getrandbits(64) or 1
    if parent.is_valid:
        return NonRecordingSpan(SpanContext(parent.trace_id, fresh, False, parent.trace_flags, parent.trace_state))
    return NonRecordingSpan(SpanContext(_random.getrandbits(128) or 1, fresh, False, _SAMPLED))


def follow(name: str, parent: str | None, attributes: Mapping[str, Any]) -> tuple[str, str]:
    """Note something that happened in the trace that ``parent`` (a ``traceparent``) names, or in a new one; it has no duration.

    Returns its own ``traceparent`` and the trace id in hexadecimal. Nothing is entered: without an exporter this costs two
    microseconds, where ``span`` with ``extract`` and ``inject`` costs thirty.
    """
    if _State.tracer is not None:
        context = extract({} if parent is None else {TRACEPARENT: parent})
        current = start_span(name, context=context, attributes=attributes)
        current.end()
        made = current.get_span_context()
        return traceparent_of(made), f"{made.trace_id:032x}"
    fresh = _random.getrandbits(64) or 1
    match = _PLAIN_HEADER.fullmatch(parent) if parent else None
    if match is None or not int(match[1], 16):
        trace_hex = f"{_random.getrandbits(128) or 1:032x}"
        return f"00-{trace_hex}-{fresh:016x}-01", trace_hex
    return f"00-{match[1]}-{fresh:016x}-{match[2]}", match[1]


def traceparent_of(context: SpanContext) -> str:
    """Write a span's context as the ``traceparent`` header does."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def inject(headers: MutableMapping[str, str]) -> None:
    """Add ``traceparent`` (and ``tracestate``) of the current span to headers; outside a span nothing is added."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        headers[TRACEPARENT] = traceparent_of(context)
        if context.trace_state:
            headers[TRACESTATE] = context.trace_state.to_header()


def current_traceparent() -> str | None:
    """Return the current span's ``traceparent``, for what follows from it later; ``None`` outside a span."""
    context = trace.get_current_span().get_span_context()
    return traceparent_of(context) if context.is_valid else None


def extract(headers: Mapping[str, Any]) -> Context:
    """Return the context that incoming headers name; an absent or malformed one gives an empty context.

    Takes HTTP headers and AMQP headers alike (values may be text or bytes). Never raises.
    """
    parent = parse_traceparent(_text(headers.get(TRACEPARENT)), headers)
    return trace.set_span_in_context(NonRecordingSpan(parent), Context()) if parent is not None else Context()


def parse_traceparent(value: str | None, headers: Mapping[str, Any]) -> SpanContext | None:
    """Read a ``traceparent`` (W3C Trace Context, level 1); ``tracestate`` is looked up in the headers only if it fits."""
    match = _HEADER.fullmatch(value) if value else None
    if match is None:
        return None
    version, trace_hex, span_hex, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest):
        return None
    trace_number, span_number = int(trace_hex, 16), int(span_hex, 16)
    if not trace_number or not span_number:
        return None
    raw = _text(headers.get(TRACESTATE))
    state = TraceState.from_header([raw]) if raw and len(raw) <= _LONGEST_STATE else None
    return SpanContext(trace_number, span_number, True, TraceFlags(int(flags, 16)), state)


def trace_id() -> str | None:
    """Return the current trace id in hexadecimal, or ``None`` outside a span."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


def span_id() -> str | None:
    """Return the current span id in hexadecimal, or ``None`` outside a span."""
    context = trace.get_current_span().get_span_context()
    return f"{context.span_id:016x}" if context.is_valid else None


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return value.decode("ascii", "replace") if isinstance(value, bytes) else None
