"""Metrics of the tips caller. Every series exists at zero from the start; no label holds an order's number."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from common.telemetry.tips_figures import TipsFigures
from orchestrator.tips.model import Arm, Reason, Shadow

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_DECIDERS = ("service", "old", "nobody", "deferred")
_OPERATIONS = ("set_tips_sum", "need_hold_tips", "explain")


class TipsMetrics:
    """What the tips caller counts. ``figures``: the product's, of orders that its own rules decided; the service reports the others."""

    def __init__(self, registry: CollectorRegistry, figures: TipsFigures) -> None:
        self.figures = figures
        counter = partial(Counter, registry=registry)
        self.exposures = counter("tips_exposures_total", "Orders looked up in the experiment, by arm", ["arm"])
        self.fallbacks = counter(
            "tips_fallback_total",
            "Iterations that the caller's own rules decided although the service should have, by reason",
            ["reason"],
        )
        self.shadows = counter(
            "tips_shadow_total", "Comparisons of the service with the caller's own rules", ["result"]
        )
        self.iterations = counter(
            "update_transactions_iterations_total",
            "Iterations of update_transactions, by who decided the tips",
            ["decided_by"],
        )
        self.duration = Histogram(
            "tips_call_duration_seconds",
            "Calls of the tips service, failed ones too",
            ["operation"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.breaker_open = Gauge(
            "tips_breaker_open", "1 while calls of the tips service are turned away", registry=registry
        )
        label_values = (
            (self.exposures, Arm),
            (self.fallbacks, Reason),
            (self.shadows, Shadow),
            (self.iterations, _DECIDERS),
            (self.duration, _OPERATIONS),
        )
        for metric, values in label_values:
            for value in values:
                metric.labels(value)
