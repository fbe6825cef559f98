"""Runs a service as a process: settings, telemetry, signals, drain, exit code.

Exit codes: 0 ended cleanly, 1 something died or could not be opened, 2 configuration error (one line on stderr),
3 the database's schema is too old.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

import uvloop

from common.errors import ConfigurationError, SchemaTooOld, SuiteError
from common.http import HttpServer
from common.service.lifecycle import Lifecycle
from common.service.settings import ProcessSettings
from common.telemetry import get_logger, report_exception, setup_telemetry

_log = get_logger()

EXIT_OK = 0
EXIT_CRASH = 1
EXIT_CONFIGURATION = 2
EXIT_SCHEMA = 3

_EXIT_DEADLINE = 9.5  # seconds from the signal; the contract says 10, whatever hangs


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What a composition root returns: the service, open and serving. Services may subclass it to show tests more."""

    server: HttpServer
    lifecycle: Lifecycle

    @property
    def port(self) -> int:
        """The port that was bound."""
        return self.server.port

    @property
    def url(self) -> str:
        """The address to call, without a trailing slash."""
        return self.server.url


SettingsT = TypeVar("SettingsT", bound=ProcessSettings)
AppT = TypeVar("AppT", bound=Application)
Build = Callable[[SettingsT, Lifecycle], Awaitable[AppT]]


@asynccontextmanager
async def running(build: Build[SettingsT, AppT], settings: SettingsT) -> AsyncIterator[AppT]:
    """Build an application, lend it, and drain it: exactly what production does, without process, signals and telemetry.

    A supervised task that died inside is raised at the end, so that a test cannot overlook it.
    """
    lifecycle = Lifecycle(drain_seconds=settings.drain_seconds)
    try:
        yield await build(settings, lifecycle)
    finally:
        await lifecycle.drain()
    if lifecycle.failure is not None:
        raise lifecycle.failure


def run_service(build: Build[SettingsT, AppT], settings: SettingsT, *, service: str, version: str) -> int:
    """Run a service until a signal or a failure ends it; return the exit code.

    SIGTERM and SIGINT drain; a second one ends the process at once, with 128 plus its number. The process is gone within
    ten seconds of the first signal, also when a step of the drain or a callback of the loop hangs. What it writes on disk its own
    account alone may read.
    """
    os.umask(0o077)
    secret = settings.sentry_dsn
    telemetry = setup_telemetry(
        service=service,
        environment=settings.environment,
        replica=settings.replica,
        log_level=settings.log_level,
        otlp_endpoint=settings.otlp_endpoint,
        sentry_dsn=secret.get_secret_value() if secret is not None else None,
        release=version,
    )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(build, settings, service=service, version=version))
    finally:
        telemetry.close()


async def _serve(build: Build[SettingsT, AppT], settings: SettingsT, *, service: str, version: str) -> int:
    lifecycle = Lifecycle(drain_seconds=settings.drain_seconds)
    _handle_signals(lifecycle)
    code = EXIT_OK
    building = asyncio.ensure_future(build(settings, lifecycle))
    stopping = asyncio.create_task(lifecycle.stopping.wait(), name="stopping")
    try:
        await asyncio.wait({building, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if building.done():
            application = building.result()
            # What was made while starting lives as long as the process; the collector need not look at it again.
            gc.collect()
            gc.freeze()
            # Requests and batches make thousands of short-lived objects and few cycles: looking every 700 costs a tenth of the time.
            gc.set_threshold(10_000, 20, 20)
            _log.info("service_started", port=application.port, version=version, pid=os.getpid())
            await lifecycle.stopping.wait()
    except SuiteError as error:
        code = _refused(error, service)
    except Exception as error:  # noqa: BLE001 - the last place where a failure to start can be logged
        _log.error("service_failed_to_start", exc_info=error)
        report_exception(error, service=service)
        code = EXIT_CRASH
    finally:
        stopping.cancel()
        building.cancel()
        with suppress(BaseException):  # its result was taken above, or it was cancelled half-way by a signal
            await building
        clean = await lifecycle.drain()
    if lifecycle.failure is not None and code == EXIT_OK:
        code = EXIT_CRASH
    _log.info("service_stopped", exit_code=code, clean=clean)
    return code


def _refused(error: SuiteError, service: str) -> int:
    if isinstance(error, SchemaTooOld):
        code = EXIT_SCHEMA
    elif isinstance(error, ConfigurationError):
        code = EXIT_CONFIGURATION
    else:
        code = EXIT_CRASH
    _log.error("service_refused_to_start", code=error.code, reason=error.detail)
    print_line(f"{service}: {error.detail}")
    return code


def print_line(text: str) -> None:
    """Say one thing to the person at the terminal, on stderr, on one line."""
    sys.stderr.write(" ".join(text.split()) + "\n")
    sys.stderr.flush()


def _handle_signals(lifecycle: Lifecycle) -> None:
    loop = asyncio.get_running_loop()
    seen = False

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        if seen:
            os._exit(128 + number)
        seen = True
        watchdog = threading.Timer(_EXIT_DEADLINE, _give_up)
        watchdog.daemon = True
        watchdog.start()
        loop.call_soon_threadsafe(lifecycle.stop, signal.Signals(number).name)

    # Python's own handlers instead of the loop's: they run also while the loop is stuck in a callback, so that the
    # watchdog starts. They may interrupt anything, hence no log line in there.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


def _give_up() -> None:
    # Logged by a thread of its own: the main one may hold stdout's lock for ever.
    logged = threading.Thread(
        target=_log.error, args=("drain_gave_up",), kwargs={"seconds": _EXIT_DEADLINE}, daemon=True
    )
    logged.start()
    logged.join(0.2)
    os._exit(EXIT_CRASH)
