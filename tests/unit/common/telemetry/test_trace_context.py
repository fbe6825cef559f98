"""The W3C trace context goes in and out unharmed."""

from __future__ import annotations

import pytest
from opentelemetry import trace

from common.telemetry import current_traceparent, extract, follow, inject, span, trace_id
from common.telemetry.tracing import parse_traceparent

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


def test_a_span_under_an_incoming_context_keeps_the_trace_and_gets_an_id_of_its_own() -> None:
    headers: dict[str, str] = {}
    with span("take", context=extract({"traceparent": PARENT, "tracestate": "shop=1"})):
        assert trace_id() == TRACE
        inject(headers)
    assert headers.pop("tracestate") == "shop=1"
    version, trace_part, span_part, flags = headers.pop("traceparent").split("-")
    assert (version, trace_part, flags, headers) == ("00", TRACE, "01", {})
    assert span_part != SPAN
    assert trace_id() is None


def test_headers_of_amqp_may_be_bytes() -> None:
    with span("take", context=extract({"traceparent": PARENT.encode()})):
        assert trace_id() == TRACE


def test_a_later_version_with_more_parts_is_read_as_far_as_it_is_known() -> None:
    with span("take", context=extract({"traceparent": f"01-{TRACE}-{SPAN}-01-more"})):
        assert trace_id() == TRACE


@pytest.mark.parametrize(
    "value",
    ["", "garbage", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{SPAN}-01-x",
     f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01\n", 7, None, b"\xff"],
)  # fmt: skip
def test_a_malformed_traceparent_starts_a_new_trace(value: object) -> None:
    with span("take", context=extract({"traceparent": value})):
        assert trace_id() not in {None, TRACE}


def test_spans_nest_and_siblings_differ() -> None:
    with span("outer") as outer:
        with span("first") as first:
            pass
        with span("second") as second:
            assert trace.get_current_span() is second
        assert trace.get_current_span() is outer
    contexts = [each.get_span_context() for each in (outer, first, second)]
    assert len({context.trace_id for context in contexts}) == 1
    assert len({context.span_id for context in contexts}) == 3


def test_the_current_traceparent_is_what_would_be_injected() -> None:
    headers: dict[str, str] = {}
    with span("take"):
        inject(headers)
        assert current_traceparent() == headers["traceparent"]
    assert current_traceparent() is None


def test_outside_a_span_nothing_is_injected() -> None:
    headers: dict[str, str] = {}
    inject(headers)
    assert headers == {}


def test_an_exception_passes_through_a_span_and_the_outer_one_is_current_again() -> None:
    with span("outer") as outer:
        with pytest.raises(ZeroDivisionError), span("inner"):
            raise ZeroDivisionError
        assert trace.get_current_span() is outer


def test_what_follows_stays_in_its_trace_and_nonsense_begins_a_new_one() -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    traceparent, number = follow("orders.event", parent, {})
    assert (traceparent[:36], traceparent[-3:], number) == (parent[:36], "-01", parent[3:35])
    assert traceparent != parent
    for wrong in (None, "", "nonsense", parent[:-1], "ff" + parent[2:], parent.replace("00f067aa0ba902b7", "0" * 16)):
        begun, number = follow("orders.event", wrong, {})
        assert (begun[3:35], number == parent[3:35]) == (number, False), wrong
        assert parse_traceparent(begun, {}) is not None
