"""Metrics of refunds. No label holds an id."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from common.postgres import Database
from common.telemetry.metrics import FAST_SECONDS
from refunds.providers.guard import Circuit, Guard
from refunds.reconciliation.model import DifferenceKind
from refunds.reconciliation.reconcile import Reconciliation
from refunds.refunds.restart import Restarted
from refunds.refunds.states import TABLE, TERMINAL, Move, RefundState

UNFINISHED = tuple(state for state in RefundState if state not in TERMINAL)
PROBLEMS = ("refund.error", "refund.reversed", "refund.difference")
_OPERATIONS = ("payment", "create", "start", "look_up", "cancel", "register")
_OUTCOMES = ("answered", "gateway_away", "gateway_silent", "gateway_refused")
COUNT = """
SELECT state, count(*) AS refunds, extract(epoch FROM now() - min(state_since))::float8 AS oldest
FROM refunds WHERE state NOT IN (5, 9, 10, 11) GROUP BY state
"""
_DIFFERENCES = "SELECT kind, count(*) AS open FROM refund_differences WHERE over_at IS NULL GROUP BY kind"


class RefundMetrics:
    """Port ``Observer``, and the gauges. A transition is counted when it is written; the rare one that rolls back counts too."""

    def __init__(self, registry: CollectorRegistry, *, gateways: tuple[str, ...]) -> None:
        self.state = Gauge(
            "refunds_state", "Refunds by state, those that are not over yet.", ["state"], registry=registry
        )
        self.oldest = Gauge(
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
        self._gateway = Histogram(
            "refunds_gateway_duration_seconds",
            "Calls to payment systems by what came of them.",
            ["gateway", "operation", "outcome"],
            buckets=FAST_SECONDS,
            registry=registry,
        )
        self._restarts = Counter(
            "refunds_restarts_total", "Restarts by operators, by what came of them.", ["outcome"], registry=registry
        )
        self.failures = Counter(
            "refunds_worker_failures_total",
            "Refunds that a worker had to leave because of an error that nobody expected; they are tried again.",
            registry=registry,
        )
        self._problems = Counter(
            "refunds_problems_total",
            "Problems raised for people; the notifier makes a ticket of each.",
            ["kind"],
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
        self._differences = Gauge(
            "refunds_differences", "What we and a payment system disagree about.", ["kind"], registry=registry
        )
        self._compared = Counter(
            "refunds_reconciled_total",
            "Refunds that reconciliation looked at, by what came of it.",
            ["outcome"],
            registry=registry,
        )
        self._reconciled_at = Gauge(
            "refunds_reconciled_timestamp_seconds",
            "When this process last finished a reconciliation, 0 before the first.",
            registry=registry,
        )
        self._transitions.labels("NEW", RefundState.CREATE.name)
        for before, row in TABLE.items():
            for ruling in row.values():
                if isinstance(ruling, Move):
                    self._transitions.labels(before.name, ruling.to.name)
        for gateway in gateways:
            for operation in _OPERATIONS:
                for outcome in _OUTCOMES:
                    self._gateway.labels(gateway, operation, outcome)
            self._circuit.labels(gateway)
            self._budget.labels(gateway)
        for restarted in Restarted:
            self._restarts.labels(restarted)
        for kind in PROBLEMS:
            self._problems.labels(kind)
        for difference in DifferenceKind:
            self._differences.labels(difference)
        for outcome in ("examined", "advanced", "unanswered"):
            self._compared.labels(outcome)
        self.show({})

    def moved(self, before: RefundState | None, after: RefundState) -> None:
        """Count a change of state."""
        self._transitions.labels("NEW" if before is None else before.name, after.name).inc()

    def gateway_called(self, gateway: str, operation: str, outcome: str, seconds: float) -> None:
        """Record a call."""
        self._gateway.labels(gateway, operation, outcome).observe(seconds)

    def restarted(self, outcome: str) -> None:
        """Count a restart."""
        self._restarts.labels(outcome).inc()

    def problem(self, kind: str) -> None:
        """Count a problem."""
        self._problems.labels(kind).inc()

    def reconciled(self, found: Reconciliation, *, at: float) -> None:
        """Count a run of reconciliation; ``at`` in seconds since 1970."""
        for outcome in ("examined", "advanced", "unanswered"):
            self._compared.labels(outcome).inc(getattr(found, outcome))
        self._reconciled_at.set(at)

    def show_guards(self, guards: Mapping[str, Guard]) -> None:
        """Set the gauges of breakers and budgets."""
        for gateway, guard in guards.items():
            self._circuit.labels(gateway).set(guard.circuit is not Circuit.CLOSED)
            self._budget.labels(gateway).set(guard.tokens)

    def show_differences(self, counts: Mapping[str, int]) -> None:
        """Set the gauges of differences that are not over."""
        for kind in DifferenceKind:
            self._differences.labels(kind).set(counts.get(kind, 0))

    def show(self, unfinished: dict[int, tuple[int, float]]) -> None:
        """Set the gauges from (number, age of the oldest in seconds) by state."""
        for state in UNFINISHED:
            count, oldest = unfinished.get(state, (0, 0.0))
            self.state.labels(state.name).set(count)
            self.oldest.labels(state.name).set(oldest)


async def count_unfinished(database: Database) -> dict[int, tuple[int, float]]:
    """Count the refunds that are not over, by state; cheap however many are over."""
    async with database.acquire() as connection:
        rows = await connection.fetch(COUNT)
    return {row["state"]: (row["refunds"], row["oldest"]) for row in rows}


async def count_differences(database: Database) -> dict[str, int]:
    """Count the differences that are not over, by kind."""
    async with database.acquire() as connection:
        rows = await connection.fetch(_DIFFERENCES)
    return {row["kind"]: row["open"] for row in rows}
