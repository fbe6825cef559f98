"""Metrics of the console: what it had from the services, and how many lists are read for those who look. Pages are counted as HTTP is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from types import SimpleNamespace

import aiohttp
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from yarl import URL

from common.telemetry.metrics import FAST_SECONDS

ANSWERED, FAILED, UNREACHABLE = OUTCOMES = ("answered", "failed", "unreachable")
_FAILURE = 500


class ConsoleMetrics:
    """Calls of the services by outcome: ``failed`` is a 5xx, whoever is refused something was ``answered``."""

    def __init__(self, registry: CollectorRegistry, urls: Mapping[str, str], *, public_url: str) -> None:
        self._names = {URL(url).origin(): service for service, url in urls.items()}
        self._calls = Counter(
            "console_service_calls_total", "Calls of the services.", ["service", "outcome"], registry=registry
        )
        self._seconds = Histogram(
            "console_service_call_seconds",
            "From a call of a service to the head of its answer, in seconds.",
            ["service"],
            buckets=FAST_SECONDS,
            registry=registry,
        )
        self._lists = Gauge(
            "console_lists_watched", "Lists that are read for news because somebody looks at them.", registry=registry
        )
        Info("console", "Where people find the console.", registry=registry).info({"url": public_url})
        for service in urls:
            self._seconds.labels(service)
            for outcome in OUTCOMES:
                self._calls.labels(service, outcome)

    def count_lists(self, pollers: Callable[[], int]) -> None:
        """Take the number of lists from here."""
        self._lists.set_function(pollers)

    def of_calls(self) -> aiohttp.TraceConfig:
        """Return what hears of a session's requests; those to others than the services do not count."""
        config = aiohttp.TraceConfig()
        config.on_request_start.append(self._started)
        config.on_request_end.append(self._ended)
        config.on_request_exception.append(self._broke)
        return config

    async def _started(
        self, _session: aiohttp.ClientSession, context: SimpleNamespace, _: aiohttp.TraceRequestStartParams
    ) -> None:
        context.started = perf_counter()

    async def _ended(
        self, _session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        self._count(context, params.url, FAILED if params.response.status >= _FAILURE else ANSWERED)

    async def _broke(
        self, _session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams
    ) -> None:
        self._count(context, params.url, UNREACHABLE)

    def _count(self, context: SimpleNamespace, url: URL, outcome: str) -> None:
        service = self._names.get(url.origin())
        if service is not None:
            self._calls.labels(service, outcome).inc()
            self._seconds.labels(service).observe(perf_counter() - context.started)
