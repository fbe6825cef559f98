"""The metrics of tips on a registry of each test's own."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from tips.metrics import TipsMetrics


@pytest.fixture
def registry() -> CollectorRegistry:
    """Where the figures of one test are."""
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> TipsMetrics:
    """The service's own metrics."""
    return TipsMetrics(
        registry, zones=frozenset({"moscow"}), tariffs=frozenset({"express"}), currencies=frozenset({"RUB"})
    )
