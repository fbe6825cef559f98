"""Logs, traces, error reports and metrics: one set-up per process, nothing at import."""

from common.telemetry.logs import bind_request_id, current_request_id, get_logger
from common.telemetry.masking import MASK, contacts_in, mask_all, mask_contact, mask_name, scrub, scrub_text
from common.telemetry.names import mask_names
from common.telemetry.sentry import report_exception
from common.telemetry.setup import Telemetry, setup_telemetry
from common.telemetry.tracing import current_traceparent, extract, follow, inject, span, span_id, trace_id

__all__ = [
    "MASK",
    "Telemetry",
    "bind_request_id",
    "contacts_in",
    "current_request_id",
    "current_traceparent",
    "extract",
    "follow",
    "get_logger",
    "inject",
    "mask_all",
    "mask_contact",
    "mask_name",
    "mask_names",
    "report_exception",
    "scrub",
    "scrub_text",
    "setup_telemetry",
    "span",
    "span_id",
    "trace_id",
]
