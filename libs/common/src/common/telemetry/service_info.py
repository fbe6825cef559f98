"""What runs here, as a series: version, environment, replica. Dashboards choose by it, and see a deployment in its change."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector


class ServiceInfo(Collector):
    """``service_info`` of this process, always 1; nothing until the process knows what it is."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def know(self, *, version: str, environment: str, replica: str) -> None:
        """Say what runs here."""
        self._known = {"version": version, "environment": environment, "replica": replica}

    def collect(self) -> Iterator[Metric]:
        """Yield the series."""
        if self._known:
            yield InfoMetricFamily("service", "What runs here: its version, environment and replica.", self._known)


SERVICE_INFO = ServiceInfo()
