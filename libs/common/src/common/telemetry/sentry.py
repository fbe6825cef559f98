"""Error reports to Sentry, only with a DSN, and never with a customer's data.

Nothing is collected automatically: no request bodies, headers, query strings, local variables, source arguments or
breadcrumbs. The HTTP kit and the consumers report the exceptions they catch through ``report_exception``; stdlib records
of level ERROR (an asyncio task that died unseen, for example) come by the logging integration. Everything passes the same
scrubber as log lines. Events carry the trace id, so that a report leads to the logs.

The aiohttp integration is left out on purpose: it patches ``Application._handle``, attaches the request with URL and
query, and would never see our errors, since the kit turns every exception into an answer before it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import sentry_sdk
from opentelemetry import trace
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration
from sentry_sdk.types import Event, Hint

from common.telemetry.logs import current_request_id
from common.telemetry.masking import scrub

# Every category that the SDK could collect by itself is off (it replaces `send_default_pii=False`, which is deprecated and
# leaves request bodies on). Source lines around a frame stay: they are ours.
_NOTHING: dict[str, Any] = {
    "user_info": False,
    "cookies": {"mode": "off"},
    "http_headers": {"request": {"mode": "off"}},
    "http_bodies": [],
    "url_query_params": {"mode": "off"},
    "graphql": {"document": False, "variables": False},
    "gen_ai": {"inputs": False, "outputs": False},
    "database_query_data": False,
    "queues": False,
    "stack_frame_variables": False,
    "frame_context_lines": 5,
}
_DROPPED = ("request", "user", "breadcrumbs", "modules")
_SEARCHED = ("method", "route", "workflow_id", "order_number", "refund_id", "source")
"""Fields that are tags, too: Sentry finds reports by tags only, and messages about problems link to such searches."""
_SCRUBBED = ("message", "logentry", "extra", "tags", "contexts", "transaction")


def setup_sentry(*, dsn: str, environment: str, release: str, service: str, replica: str) -> Callable[[], None]:
    """Start the client and return the function that flushes and closes it (within a second)."""
    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        release=f"{service}@{release}",
        server_name=replica,
        data_collection=_NOTHING,  # type: ignore[arg-type]  # the SDK gives its TypedDict to type checkers only
        max_breadcrumbs=0,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            DedupeIntegration(),
            ExcepthookIntegration(),
            ThreadingIntegration(propagate_scope=False),
            LoggingIntegration(level=None, event_level=logging.ERROR),
        ],
        trace_propagation_targets=[],
        before_send=clean_event,
    )
    sentry_sdk.set_tag("service", service)

    def close() -> None:
        sentry_sdk.get_client().close(timeout=1.0)

    return close


def report_exception(error: BaseException, **fields: Any) -> None:
    """Report an exception with bounded, harmless fields (route, handler, queue …). Without a DSN it does nothing."""
    if not sentry_sdk.get_client().is_active():
        return
    with sentry_sdk.new_scope() as scope:
        if fields:
            scope.set_context("suite", dict(fields))
            scope.set_tags({name: str(fields[name]) for name in _SEARCHED if name in fields})
        scope.capture_exception(error)


def clean_event(event: Event, _hint: Hint) -> Event:
    """Take personal data out of an event and add the trace it belongs to (Sentry's ``before_send``)."""
    raw: dict[str, Any] = event  # type: ignore[assignment]  # Event is a TypedDict; it is edited by computed keys here
    for key in _DROPPED:
        raw.pop(key, None)
    for key in _SCRUBBED:
        if key in raw:
            raw[key] = scrub(raw[key])
    for value in _values(raw, "exception"):
        if isinstance(value.get("value"), str):
            value["value"] = scrub(value["value"])
        _drop_locals(value)
    for value in _values(raw, "threads"):
        _drop_locals(value)
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        contexts = raw.setdefault("contexts", {})
        contexts["trace"] = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
    request_id = current_request_id()
    if request_id is not None:
        raw.setdefault("tags", {})["request_id"] = request_id
    return event


def _values(event: dict[str, Any], key: str) -> list[dict[str, Any]]:
    holder = event.get(key)
    values = holder.get("values") if isinstance(holder, dict) else None
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _drop_locals(value: dict[str, Any]) -> None:
    stack = value.get("stacktrace")
    for frame in stack.get("frames", []) if isinstance(stack, dict) else []:
        frame.pop("vars", None)
