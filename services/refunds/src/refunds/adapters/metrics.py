"""Metrics of refunds. No label holds an id."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from common.postgres import Database
from common.telemetry.metrics import FAST_SECONDS
from refunds.application.restart_refund import Restarted
from refunds.domain.states import TABLE, Move, RefundState

UNFINISHED = tuple(
    state for state in RefundState if state not in {RefundState.SUCCESS, RefundState.REVERSED, RefundState.REJECTED}
)
_OPERATIONS = ("payment", "create", "start", "look_up")
_OUTCOMES = ("answered", "gateway_away", "gateway_silent", "gateway_refused")
_COUNT = """
SELECT state, count(*) AS refunds, extract(epoch FROM now() - min(state_since))::float8 AS oldest
FROM refunds WHERE state NOT IN (5, 9, 10) GROUP BY state
"""


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
        self._transitions.labels("NEW", RefundState.CREATE.name)
        for before, row in TABLE.items():
            for ruling in row.values():
                if isinstance(ruling, Move):
                    self._transitions.labels(before.name, ruling.to.name)
        for gateway in gateways:
            for operation in _OPERATIONS:
                for outcome in _OUTCOMES:
                    self._gateway.labels(gateway, operation, outcome)
        for restarted in Restarted:
            self._restarts.labels(restarted)
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

    def show(self, unfinished: dict[int, tuple[int, float]]) -> None:
        """Set the gauges from (number, age of the oldest in seconds) by state."""
        for state in UNFINISHED:
            count, oldest = unfinished.get(state, (0, 0.0))
            self.state.labels(state.name).set(count)
            self.oldest.labels(state.name).set(oldest)


async def count_unfinished(database: Database) -> dict[int, tuple[int, float]]:
    """Count the refunds that are not over, by state; cheap however many are over."""
    async with database.acquire() as connection:
        rows = await connection.fetch(_COUNT)
    return {row["state"]: (row["refunds"], row["oldest"]) for row in rows}
