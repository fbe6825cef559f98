"""Metrics of the tips caller (M16). Every series exists at zero from the start; no label holds an order's number."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from orchestrator.tips.switches import Arm, Reason, Shadow

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_DECIDERS = ("service", "old", "nobody", "deferred")
_OPERATIONS = ("set_tips_sum", "need_hold_tips", "explain")


class TipsCallerMetrics:
    """The ``CallerMetrics`` on Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._exposures = Counter(
            "tips_exposures_total", "Orders looked up in the experiment, by arm", ["arm"], registry=registry
        )
        self._fallbacks = Counter(
            "tips_fallback_total",
            "Iterations that the caller's own rules decided although the service should have, by reason",
            ["reason"],
            registry=registry,
        )
        self._shadows = Counter(
            "tips_shadow_total", "Comparisons of the service with the caller's own rules", ["result"], registry=registry
        )
        self._iterations = Counter(
            "update_transactions_iterations_total",
            "Iterations of update_transactions, by who decided the tips",
            ["decided_by"],
            registry=registry,
        )
        self._duration = Histogram(
            "tips_call_duration_seconds",
            "Calls of the tips service, failed ones too",
            ["operation"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._open = Gauge("tips_breaker_open", "1 while calls of the tips service are turned away", registry=registry)
        for arm in Arm:
            self._exposures.labels(arm.value)
        for reason in Reason:
            self._fallbacks.labels(reason.value)
        for result in Shadow:
            self._shadows.labels(result.value)
        for decider in _DECIDERS:
            self._iterations.labels(decider)
        for operation in _OPERATIONS:
            self._duration.labels(operation)

    def exposed(self, arm: Arm) -> None:
        """See the port."""
        self._exposures.labels(arm.value).inc()

    def fell_back(self, reason: Reason) -> None:
        """See the port."""
        self._fallbacks.labels(reason.value).inc()

    def compared(self, result: Shadow) -> None:
        """See the port."""
        self._shadows.labels(result.value).inc()

    def iterated(self, decided_by: str) -> None:
        """See the port."""
        self._iterations.labels(decided_by).inc()

    def breaker(self, *, is_open: bool) -> None:
        """See the port."""
        self._open.set(int(is_open))

    def called(self, operation: str, seconds: float) -> None:
        """One call of the tips service ended."""
        self._duration.labels(operation).observe(seconds)
