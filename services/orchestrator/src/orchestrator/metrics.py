"""Metrics of the orchestrator. Every series exists at zero from the start; no label holds an order's number."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from orchestrator.engine.model import KINDS, WorkflowState
from orchestrator.orders.events import Hook
from orchestrator.orders.model import Status
from orchestrator.orders.transitions import Act

_LAG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)
TABLES = ("orders", "workflow", "workflow_event", "workflow_ready", "timeline", "stock_movements", "outbox", "inbox")
"""Tables whose size is measured (M25)."""
OTHER = "other"


class OrchestratorMetrics:
    """The ``EngineMetrics`` on Prometheus, and the gauges that jobs set."""

    def __init__(self, registry: CollectorRegistry, *, sources: Sequence[str] = ()) -> None:
        """``sources`` bounds the label of that name; all others are told as ``other``."""
        self.sources = (*sources, OTHER)
        self._claimed = Counter("workflow_claimed_total", "Workflows taken in hand", registry=registry)
        self._completed = Counter(
            "workflow_events_completed_total", "Workflow events carried out", ["kind"], registry=registry
        )
        self._failures = Counter(
            "workflow_failures_total", "Failures of workflows", ["kind", "outcome"], registry=registry
        )
        self._refused = Counter(
            "workflow_results_refused_total", "Results refused because their lease was lost", registry=registry
        )
        self._expired = Counter(
            "workflow_leases_expired_total", "Leases that ended without a result", registry=registry
        )
        self._lag = Histogram(
            "workflow_event_lag_seconds",
            "From the receipt of an event by the gateway to the commit of its effect",
            ["kind"],
            buckets=_LAG_SECONDS,
            registry=registry,
        )
        self._transitions = Counter(
            "order_transitions_total", "Hooks by what was done with them", ["hook", "act"], registry=registry
        )
        self.ready = Gauge("workflow_ready", "Workflows that wait for a worker", registry=registry)
        self.oldest_ready = Gauge(
            "workflow_oldest_ready_seconds",
            "How long the longest waiting runnable workflow has waited",
            registry=registry,
        )
        self.calls_oldest_ready = Gauge(
            "workflow_calls_oldest_ready_seconds",
            "How long the longest waiting due workflow of the lane of calls has waited",
            registry=registry,
        )
        self.sleeping = Gauge("workflow_sleeping", "Workflows that sleep until their timer", registry=registry)
        self.workflows = Gauge("workflow_troubled", "Workflows stopped or crashed", ["state"], registry=registry)
        self.parked = Gauge("order_parked", "Orders that wait for their order.created", registry=registry)
        self.parked_oldest = Gauge(
            "order_parked_oldest_seconds", "How long the longest parked order has waited", registry=registry
        )
        self.orders = Gauge(
            "order_recent", "Orders that were created in the last hour, by status", ["status"], registry=registry
        )
        self.oldest_snapshot = Gauge(
            "database_oldest_snapshot_seconds",
            "Age of the oldest snapshot held in the database: a held one slows the engine down",
            registry=registry,
        )
        self.table_bytes = Gauge(
            "database_table_bytes", "Size of a table with its indexes", ["table"], registry=registry
        )
        self.table_growth = Gauge(
            "database_table_growth_bytes",
            "Growth of a table with its indexes in a week, from its sizes of past days",
            ["table"],
            registry=registry,
        )
        self.by_source = Gauge(
            "order_recent_by_source",
            "Orders that were created in the last hour, by source and status",
            ["source", "status"],
            registry=registry,
        )
        self.troubled_by_source = Gauge(
            "order_troubled_by_source",
            "Orders with a stopped or crashed workflow, by source",
            ["source", "state"],
            registry=registry,
        )
        self.checked = Counter(
            "order_aggregate_checked_total", "Orders whose aggregate state was compared", registry=registry
        )
        self.drifted = Counter(
            "order_aggregate_drifted_total",
            "Orders whose stored aggregate state was not the derived one; each was derived again",
            registry=registry,
        )
        self.pruned = Counter("workflow_events_pruned_total", "Events deleted by retention", registry=registry)
        for kind in KINDS:
            self._completed.labels(kind)
            self._lag.labels(kind)
            for outcome in ("retried", "crashed"):
                self._failures.labels(kind, outcome)
        self._by_hook_and_act = {
            (hook.value, act.value): self._transitions.labels(hook.value, act.value) for hook in Hook for act in Act
        }
        for state in (WorkflowState.STOPPED, WorkflowState.CRASHED):
            self.workflows.labels(state.name.lower())
        for status in Status:
            self.orders.labels(status.value)
        for table in TABLES:
            self.table_bytes.labels(table)
            self.table_growth.labels(table)
        for source in self.sources:
            for status in Status:
                self.by_source.labels(source, status.value)
            for state in (WorkflowState.STOPPED, WorkflowState.CRASHED):
                self.troubled_by_source.labels(source, state.name.lower())

    def source_label(self, source: str | None) -> str:
        """Return the label of a source."""
        return source if source is not None and source in self.sources else OTHER

    def claimed(self, count: int) -> None:
        """See the port."""
        self._claimed.inc(count)

    def completed(self, kind: str, events: int, lags: Sequence[float]) -> None:
        """See the port."""
        self._completed.labels(kind).inc(events)
        lag = self._lag.labels(kind)
        for seconds in lags:
            lag.observe(max(seconds, 0.0))

    def refused(self, count: int) -> None:
        """See the port."""
        self._refused.inc(count)

    def failed(self, kind: str, *, crashed: bool) -> None:
        """See the port."""
        self._failures.labels(kind, "crashed" if crashed else "retried").inc()

    def expired(self, count: int) -> None:
        """See the port."""
        self._expired.inc(count)

    def transition(self, hook: str, act: str) -> None:
        """See the port."""
        self._by_hook_and_act[hook, act].inc()
