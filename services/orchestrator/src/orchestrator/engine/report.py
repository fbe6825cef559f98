"""What is counted and logged of outcomes once they are committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from common.telemetry import get_logger
from orchestrator.engine.model import Claim, Outcome, StepLog
from orchestrator.metrics import OrchestratorMetrics

_log = get_logger()
_LOGGED_ONE_BY_ONE = 8


def report_completed(metrics: OrchestratorMetrics, outcomes: Sequence[Outcome], *, now: datetime) -> None:
    """Count committed outcomes and how late their effects are, and log them, in the trace of each event."""
    lags: dict[str, list[float]] = {}
    for outcome in outcomes:
        lags.setdefault(outcome.claim.kind, []).extend(
            (now - event.received_at).total_seconds() for event in outcome.claim.events
        )
    for kind, seconds in lags.items():
        metrics.completed.labels(kind).inc(len(seconds))
        observe = metrics.lag.labels(kind).observe
        for each in seconds:
            observe(max(each, 0.0))
    done = [(outcome.claim, entry) for outcome in outcomes for entry in outcome.steps]
    for labels, count in Counter((entry.hook, entry.act) for _, entry in done).items():
        metrics.transitions[labels].inc(count)
    for claim, entry in done:
        for name in entry.unread:
            metrics.unread.labels(metrics.source_label(entry.source), name).inc()
            _log.warning("order_field_unread", order_number=claim.order_number, hook=entry.hook, field=name)
    _log_steps(done)


def _log_steps(done: Sequence[tuple[Claim, StepLog]]) -> None:
    """Log what was carried out; under load one line stands for many: one each costs as much as an event."""
    if len(done) > _LOGGED_ONE_BY_ONE:
        traces = [entry.trace_id for _, entry in done if entry.trace_id]
        _log.info("order_events_done", count=len(done), traces=traces)
        return
    for claim, entry in done:
        _log.info(
            "order_event_done",
            order_number=claim.order_number,
            workflow_id=claim.workflow_id,
            hook=entry.hook,
            act=entry.act,
            status=entry.status,
            trace_id=entry.trace_id,
        )
