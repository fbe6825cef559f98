"""The one call that a process makes to have logs, traces and error reports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sentry_sdk.utils import BadDsn

from common.errors import ConfigurationError
from common.telemetry.logs import configure_logs
from common.telemetry.sentry import setup_sentry
from common.telemetry.service_info import SERVICE_INFO
from common.telemetry.tracing import Tracing, setup_tracing

_CLOSE_SECONDS = 1.0  # the contract's ten seconds to exit are for accepted work


class Telemetry:
    """What ``setup_telemetry`` opened. ``close`` flushes traces and error reports, in at most a second."""

    def __init__(self, *, tracing: Tracing, close_sentry: Callable[[], None] | None) -> None:
        self.tracing = tracing
        self._close_sentry = close_sentry

    def close(self) -> None:
        """Flush and close. Safe to call twice. What cannot be sent within a second is given up: nobody waits for telemetry."""
        closers = [self.tracing.close, *([self._close_sentry] if self._close_sentry is not None else [])]
        self._close_sentry = None
        threads = [threading.Thread(target=closer, name="telemetry-close", daemon=True) for closer in closers]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + _CLOSE_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def setup_telemetry(
    *,
    service: str,
    environment: str,
    replica: str,
    log_level: str,
    otlp_endpoint: str | None,
    sentry_dsn: str | None,
    release: str,
) -> Telemetry:
    """Configure logs, traces and error reports of this process; call it once, before anything else.

    A level or a DSN that makes no sense raises ``ConfigurationError``; an unreachable collector or Sentry does not.
    """
    try:
        configure_logs(
            level=log_level,
            static={"service": service, "replica": replica, "environment": environment, "release": release},
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    SERVICE_INFO.know(version=release, environment=environment, replica=replica)
    tracing = setup_tracing(
        service=service, environment=environment, replica=replica, release=release, otlp_endpoint=otlp_endpoint
    )
    close_sentry = None
    if sentry_dsn:
        try:
            close_sentry = setup_sentry(
                dsn=sentry_dsn, environment=environment, release=release, service=service, replica=replica
            )
        except (BadDsn, ValueError):
            raise ConfigurationError("the Sentry DSN is malformed") from None
    return Telemetry(tracing=tracing, close_sentry=close_sentry)
