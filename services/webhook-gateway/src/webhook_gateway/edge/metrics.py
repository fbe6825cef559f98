"""What is measured of requests that ended at nginx."""

from __future__ import annotations

from collections.abc import Iterable
from time import time

from prometheus_client import CollectorRegistry, Counter, Gauge

from webhook_gateway.edge.model import STATUSES
from webhook_gateway.hooks.model import UNKNOWN_SOURCE

_OTHER = "other"


class EdgeMetrics:
    """One instance an application. Whichever replica reads the log counts; the sum over replicas is all there was."""

    def __init__(self, registry: CollectorRegistry, *, sources: Iterable[str], reads: bool) -> None:
        """``reads``: a log is configured, so its age matters."""
        self._refused = Counter(
            "gateway_edge_refused_total",
            "Requests to the intake that ended at nginx, as its log says.",
            ["source", "status"],
            registry=registry,
        )
        self._unread = Counter(
            "gateway_edge_lines_unreadable_total", "Lines of nginx's log that could not be read.", registry=registry
        )
        self._not_endangered = Counter(
            "gateway_edge_orders_not_kept_total",
            "Website orders that ended at nginx and were counted only, because there were too many.",
            registry=registry,
        )
        age = Gauge(
            "gateway_edge_log_looked_at_seconds",
            "How long ago this replica last looked at nginx's log; 0 when there is none to look at.",
            registry=registry,
        )
        self._looked_at = time()
        age.set_function(lambda: time() - self._looked_at if reads else 0.0)
        for source in (*sources, _OTHER):
            for status in (*STATUSES, _OTHER):
                self._refused.labels(source, status)

    def looked(self) -> None:
        """Note that the log has been looked at: by this replica, or by another one at the same moment."""
        self._looked_at = time()

    def refused(self, source: str, status: int) -> None:
        """Count a request that ended at nginx. ``source`` is a configured one, a website, or ``UNKNOWN_SOURCE``."""
        label = str(status) if str(status) in STATUSES else _OTHER
        self._refused.labels(_OTHER if source == UNKNOWN_SOURCE else source, label).inc()

    def unreadable(self, count: int) -> None:
        """Count lines that could not be read."""
        self._unread.inc(count)

    def not_kept(self, count: int) -> None:
        """Count orders of which there is no record but their count."""
        self._not_endangered.inc(count)
