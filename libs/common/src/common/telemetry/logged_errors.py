"""Counts the errors that this process logs, by kind: the constant name of the event, or the library that logged it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, MutableMapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

_ERRORS = frozenset({"error", "critical"})
_KIND = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,79}")
_MOST_KINDS = 100
OTHER = "other"


class LoggedErrors(Collector):
    """A structlog processor and a collector. One of a process, as its log is; kinds are at most a hundred, the rest is ``other``."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter({OTHER: 0})

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Count a line of level error or worse. What libraries write may hold anything: their logger is the kind."""
        if event.get("level") in _ERRORS:
            kind = str(event.get("logger") if "_record" in event else event.get("event"))
            known = kind in self._counts or (_KIND.fullmatch(kind) is not None and len(self._counts) < _MOST_KINDS)
            self._counts[kind if known else OTHER] += 1
        return event

    def collect(self) -> Iterator[Metric]:
        """Yield the counts."""
        family = CounterMetricFamily("log_errors", "Lines logged as errors, by kind.", labels=["event"])
        for kind, count in list(self._counts.items()):
            family.add_metric([kind], count)
        yield family


LOGGED_ERRORS = LoggedErrors()
