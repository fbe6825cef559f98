"""Metrics of the calls to payment gateways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Gauge, Histogram

from common.resilience import CircuitState
from common.telemetry.metrics import FAST_SECONDS
from refunds.providers.guard import Guard

_OPERATIONS = ("payment", "create", "start", "look_up", "cancel", "register")
_OUTCOMES = ("answered", "gateway_away", "gateway_silent", "gateway_refused")


class GatewayMetrics:
    """Calls, breakers and retry budgets by gateway."""

    def __init__(self, registry: CollectorRegistry, *, gateways: Iterable[str]) -> None:
        self._calls = Histogram(
            "refunds_gateway_duration_seconds",
            "Calls to payment systems by what came of them.",
            ["gateway", "operation", "outcome"],
            buckets=FAST_SECONDS,
            registry=registry,
        )
        self._circuit = Gauge(
            "refunds_gateway_circuit_open",
            "1 while this process calls the payment system only to see whether it is back.",
            ["gateway"],
            registry=registry,
        )
        self._budget = Gauge(
            "refunds_gateway_retry_tokens", "What is left of the retry budget.", ["gateway"], registry=registry
        )
        for gateway in gateways:
            for operation in _OPERATIONS:
                for outcome in _OUTCOMES:
                    self._calls.labels(gateway, operation, outcome)
            self._circuit.labels(gateway)
            self._budget.labels(gateway)

    def called(self, gateway: str, operation: str, outcome: str, seconds: float) -> None:
        """Record a call; ``outcome`` is ``answered`` or the code of an error."""
        self._calls.labels(gateway, operation, outcome).observe(seconds)

    def show_guards(self, guards: Mapping[str, Guard]) -> None:
        """Set the gauges of breakers and budgets."""
        for gateway, guard in guards.items():
            self._circuit.labels(gateway).set(guard.circuit is not CircuitState.CLOSED)
            self._budget.labels(gateway).set(guard.tokens)
