"""Metrics of refunds. No label holds an id."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from refunds.refunds.model import Restarted
from refunds.refunds.states import TABLE, TERMINAL, Move, RefundState

_UNFINISHED = tuple(state for state in RefundState if state not in TERMINAL)
_PROBLEMS = ("refund.error", "refund.reversed", "refund.difference")


class RefundMetrics:
    """Refunds by state, their moves, restarts and problems. A move is counted when it is written; the rare one that rolls back too."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._state = Gauge(
            "refunds_state", "Refunds by state, those that are not over yet.", ["state"], registry=registry
        )
        self._oldest = Gauge(
            "refunds_oldest_seconds",
            "How long the oldest refund has been in the state, 0 when there is none.",
            ["state"],
            registry=registry,
        )
        self._transitions = Counter(
            "refunds_transitions_total",
            "Changes of state; a new refund comes from NEW.",
            ["from", "to"],
            registry=registry,
        )
        self._restarts = Counter(
            "refunds_restarts_total", "Restarts by operators, by what came of them.", ["outcome"], registry=registry
        )
        self._problems = Counter(
            "refunds_problems_total",
            "Problems raised for people; the notifier makes a ticket of each.",
            ["kind"],
            registry=registry,
        )
        self.failures = Counter(
            "refunds_worker_failures_total",
            "Refunds that a worker had to leave because of an error that nobody expected; they are tried again.",
            registry=registry,
        )
        self._transitions.labels("NEW", RefundState.CREATE.name)
        for before, row in TABLE.items():
            for ruling in row.values():
                if isinstance(ruling, Move):
                    self._transitions.labels(before.name, ruling.to.name)
        for restarted in Restarted:
            self._restarts.labels(restarted)
        for kind in _PROBLEMS:
            self._problems.labels(kind)
        self.show({})

    def moved(self, before: RefundState | None, after: RefundState) -> None:
        """Count a new refund (``before`` None) or a change of state."""
        self._transitions.labels("NEW" if before is None else before.name, after.name).inc()

    def restarted(self, outcome: Restarted) -> None:
        """Count a restart."""
        self._restarts.labels(outcome).inc()

    def problem(self, kind: str) -> None:
        """Count a problem; ``kind`` is that of the event."""
        self._problems.labels(kind).inc()

    def show(self, unfinished: dict[int, tuple[int, float]]) -> None:
        """Set the gauges from (number, age of the oldest in seconds) by state."""
        for state in _UNFINISHED:
            count, oldest = unfinished.get(state, (0, 0.0))
            self._state.labels(state.name).set(count)
            self._oldest.labels(state.name).set(oldest)
