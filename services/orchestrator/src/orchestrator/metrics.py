"""Metrics of the orchestrator. Every series exists at zero from the start; no label holds an order's number."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from orchestrator.engine.model import KINDS, WorkflowState
from orchestrator.orders.model import HookType, Status
from orchestrator.orders.transitions import Act

_LAG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)
OTHER = "other"


class OrchestratorMetrics:
    """What the engine counts, and the gauges that jobs set."""

    def __init__(self, registry: CollectorRegistry, *, sources: Sequence[str] = ()) -> None:
        """``sources`` bounds the label of that name; all others are ``other``."""
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self.sources = (*sources, OTHER)
        self.claimed = counter("workflow_claimed_total", "Workflows taken in hand")
        self.completed = counter("workflow_events_completed_total", "Workflow events carried out", ["kind"])
        self.failures = counter("workflow_failures_total", "Failures of workflows", ["kind", "outcome"])
        self.refused = counter("workflow_results_refused_total", "Results refused because their lease was lost")
        self.expired = counter("workflow_leases_expired_total", "Leases that ended without a result")
        self.lag = Histogram(
            "workflow_event_lag_seconds",
            "From the receipt of an event by the gateway to the commit of its effect",
            ["kind"],
            buckets=_LAG_SECONDS,
            registry=registry,
        )
        transitions = counter("order_transitions_total", "Hooks by what was done with them", ["hook", "act"])
        what = "Fields of hooks that nobody could read: the order goes on without them"
        self.unread = counter("order_fields_unread_total", what, ["source", "field"])
        self.ready = gauge("workflow_ready", "Workflows that wait for a worker")
        self.oldest_ready = gauge(
            "workflow_oldest_ready_seconds", "How long the longest waiting runnable workflow has waited"
        )
        self.calls_oldest_ready = gauge(
            "workflow_calls_oldest_ready_seconds",
            "How long the longest waiting due workflow of the lane of calls has waited",
        )
        self.sleeping = gauge("workflow_sleeping", "Workflows that sleep until their timer")
        self.workflows = gauge("workflow_troubled", "Workflows stopped, and crashed or with failed events", ["state"])
        self.running = gauge("workflow_running", "Workflows that run, by kind", ["kind"])
        self.failed_events = gauge(
            "workflow_failed_events", "Events that cannot be carried out and wait for a person, by kind", ["kind"]
        )
        self.parked = gauge("order_parked", "Orders that wait for their order.created")
        self.parked_oldest = gauge("order_parked_oldest_seconds", "How long the longest parked order has waited")
        self.orders = gauge("order_recent", "Orders that were created in the last hour, by status", ["status"])
        self.oldest_snapshot = gauge(
            "database_oldest_snapshot_seconds",
            "Age of the oldest snapshot held in the database: a held one slows the engine down",
        )
        self.by_source = gauge(
            "order_recent_by_source",
            "Orders that were created in the last hour, by source and status",
            ["source", "status"],
        )
        self.troubled_by_source = gauge(
            "order_troubled_by_source", "Orders with a stopped or crashed workflow, by source", ["source", "state"]
        )
        self.checked = counter("order_aggregate_checked_total", "Orders whose aggregate state was compared")
        self.drifted = counter(
            "order_aggregate_drifted_total",
            "Orders whose stored aggregate state was not the derived one; each was derived again",
        )
        self.pruned = counter("workflow_events_pruned_total", "Events deleted by retention")
        for kind in KINDS:
            self.running.labels(kind)
            self.failed_events.labels(kind)
            self.completed.labels(kind)
            self.lag.labels(kind)
            for outcome in ("retried", "crashed"):
                self.failures.labels(kind, outcome)
        self.transitions = {
            (hook.value, act.value): transitions.labels(hook.value, act.value) for hook in HookType for act in Act
        }
        for state in (WorkflowState.STOPPED, WorkflowState.CRASHED):
            self.workflows.labels(state.name.lower())
        for status in Status:
            self.orders.labels(status.value)
        for source in self.sources:
            for status in Status:
                self.by_source.labels(source, status.value)
            for state in (WorkflowState.STOPPED, WorkflowState.CRASHED):
                self.troubled_by_source.labels(source, state.name.lower())

    def source_label(self, source: str | None) -> str:
        """Return the label of a source."""
        return source if source is not None and source in self.sources else OTHER
