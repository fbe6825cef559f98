"""Structured logs: one JSON object a line on stdout, for our own lines and for every library's alike.

Keys of every line: ``timestamp`` (RFC 3339, UTC), ``level``, ``event`` (a constant name), ``service``, ``replica``,
``environment``; inside a trace ``trace_id`` and ``span_id``; inside a request ``request_id``; and whatever was bound with
``structlog.contextvars``. The last step before rendering masks secrets and personal data.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar, Token
from typing import Any, cast

import orjson
import structlog
from opentelemetry import trace
from structlog.typing import EventDict, Processor, WrappedLogger

from common.telemetry.logged_errors import LOGGED_ERRORS
from common.telemetry.masking import scrub_item

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def get_logger(**bound: Any) -> structlog.typing.FilteringBoundLogger:
    """Return a logger. Safe at module level: it looks the configuration up when it is first used."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(**bound))


def bind_request_id(value: str | None) -> Token[str | None]:
    """Bind the request id to the current context; log lines and outgoing requests then carry it."""
    return _request_id.set(value)


def current_request_id() -> str | None:
    """Return the request id of the current context, if there is one."""
    return _request_id.get()


def add_context(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the ids of the current span and request to a line (a structlog processor)."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event.setdefault("trace_id", f"{context.trace_id:032x}")
        event.setdefault("span_id", f"{context.span_id:016x}")
    request = _request_id.get()
    if request is not None:
        event.setdefault("request_id", request)
    return event


def mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask secrets and personal data (a structlog processor, the last before rendering)."""
    for key, value in event.items():
        if not key.startswith("_"):
            event[key] = scrub_item(key, value)
    return event


class _AddStatic:
    """Adds the fields that never change in this process."""

    def __init__(self, fields: dict[str, str]) -> None:
        self._fields = fields

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.update(self._fields)
        return event


class _StdoutLogger:
    """Writes finished lines to whatever ``sys.stdout`` is at that moment, one write a line."""

    def msg(self, line: str) -> None:
        """Write one line and flush it: a line that was logged survives a kill."""
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    log = debug = info = warning = warn = error = critical = exception = fatal = failure = msg


def _stdout_logger(*_arguments: Any) -> _StdoutLogger:
    return _StdoutLogger()


def _to_json(event: MutableMapping[str, Any], **_options: Any) -> str:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Integers beyond 64 bits, texts that are no UTF-8: the slow way knows them, and a log line must never raise.
        return json.dumps(event, default=str, skipkeys=True)


class _StdoutHandler(logging.Handler):
    """Carries stdlib logging to the same place, line by line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Render and write one record; a broken record is reported by logging's own handler of errors."""
        try:
            sys.stdout.write(self.format(record) + "\n")
            sys.stdout.flush()
        except Exception:  # noqa: BLE001 - logging must never break the caller; handleError is the standard way out
            self.handleError(record)


def configure_logs(*, level: str, static: dict[str, str]) -> None:
    """Send structlog's and stdlib's lines through the same processors to stdout.

    May be called again (tests do); loggers that exist already follow the new configuration. An unknown level raises
    ``ValueError``.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"unknown log level {level!r}")
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        LOGGED_ERRORS,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        _AddStatic(static),
        add_context,
    ]
    last: list[Processor] = [
        structlog.processors.format_exc_info,
        mask,
        structlog.processors.JSONRenderer(serializer=_to_json),
    ]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_stdout_logger,
        cache_logger_on_first_use=False,
    )
    handler = _StdoutHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    for old in [existing for existing in root.handlers if isinstance(existing, _StdoutHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(number, logging.INFO))  # libraries' debug lines hold payloads and SQL parameters
    logging.captureWarnings(True)
