"""One JSON object a line, ours and every library's alike."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest
import structlog

from common.errors import ConfigurationError
from common.telemetry import MASK, Telemetry, bind_request_id, get_logger, setup_telemetry, span


@pytest.fixture(autouse=True)
def telemetry() -> Iterator[Telemetry]:
    """Telemetry as production sets it up, undone afterwards."""
    root = logging.getLogger()
    handlers, level, before = list(root.handlers), root.level, structlog.get_config()
    opened = setup_telemetry(
        service="demo",
        environment="test",
        replica="r1",
        log_level="info",
        otlp_endpoint=None,
        sentry_dsn=None,
        release="9",
    )
    yield opened
    opened.close()
    structlog.configure(**before)
    logging.captureWarnings(False)
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


STATIC = {"service": "demo", "environment": "test", "replica": "r1", "release": "9"}


def test_a_line_has_time_level_event_service_and_the_ids_of_span_and_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bind_request_id("req-1")
    with span("work") as current, structlog.contextvars.bound_contextvars(order_number="7Q3M0V9XK2TDW8RC"):
        get_logger().info("order_applied", version=3)
        context = current.get_span_context()
    bind_request_id(None)
    [line] = lines(capsys)
    moment = datetime.fromisoformat(str(line.pop("timestamp")))
    assert moment.utcoffset() is not None
    assert line == STATIC | {
        "event": "order_applied",
        "level": "info",
        "version": 3,
        "order_number": "7Q3M0V9XK2TDW8RC",
        "request_id": "req-1",
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
    }


def test_outside_a_span_and_a_request_there_are_no_ids(capsys: pytest.CaptureFixture[str]) -> None:
    get_logger().warning("spool_growing", depth=10)
    [line] = lines(capsys)
    line.pop("timestamp")
    assert line == STATIC | {"event": "spool_growing", "level": "warning", "depth": 10}


def test_the_standard_library_s_records_take_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("some.library").warning("lost %s of user %s", "postgresql://u:pw@h/d", "+7 916 123-45-67")
    [line] = lines(capsys)
    line.pop("timestamp")
    assert line == STATIC | {
        "event": f"lost postgresql://{MASK}@h/d of user {MASK}",
        "level": "warning",
        "logger": "some.library",
    }


def test_what_slips_into_a_line_is_masked_and_a_stack_too(capsys: pytest.CaptureFixture[str]) -> None:
    phone, mail = "+79161234567", "ivan@example.ru"

    def look_up() -> None:
        raise ValueError(f"no such customer {phone}")

    try:
        look_up()
    except ValueError:
        get_logger().exception("lookup_failed", customer={"phone": phone}, note=f"ask {mail}", token="t0p")
    raw = capsys.readouterr().out
    assert phone not in raw
    assert mail not in raw
    assert "t0p" not in raw
    line = json.loads(raw)
    assert line["customer"] == MASK
    assert line["note"] == f"ask {MASK}"
    assert line["exception"].endswith(f"ValueError: no such customer {MASK}")
    assert line["exception"].startswith("Traceback (most recent call last):")


def test_lines_below_the_level_are_not_written_and_debug_of_libraries_never_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    get_logger().debug("too_much")
    logging.getLogger("asyncpg").debug("too much")
    assert lines(capsys) == []


def test_a_value_that_json_does_not_know_is_written_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    get_logger().info("odd", number=2**70, kind=ValueError("x"), bag={1, 2}, text="\udcff")
    [line] = lines(capsys)
    assert (line["number"], line["kind"], line["bag"], line["text"]) == (2**70, "x", [1, 2], "\udcff")


def test_a_level_that_does_not_exist_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="unknown log level 'LOUD'"):
        setup_telemetry(
            service="demo",
            environment="test",
            replica="r",
            log_level="LOUD",
            otlp_endpoint=None,
            sentry_dsn=None,
            release="9",
        )


def test_a_malformed_sentry_dsn_is_a_configuration_error_that_does_not_repeat_it() -> None:
    with pytest.raises(ConfigurationError) as caught:
        setup_telemetry(
            service="demo", environment="test", replica="r", log_level="INFO", otlp_endpoint=None,
            sentry_dsn="https://secret-without-project", release="9",
        )  # fmt: skip
    assert str(caught.value) == "the Sentry DSN is malformed"
