"""What is told of a workflow when a person acts on it: Slack learns of a stop (M8), and an incident ends when work goes on."""

from __future__ import annotations

from datetime import datetime

from common.contracts.alerts import ProblemResolvedV1
from common.contracts.orders import WorkflowStoppedV1
from common.ids import derived_id
from orchestrator.orders.messages import SERVICE, Encoded, encode_message


def fingerprint(workflow_id: int) -> str:
    """Return what the notifier makes of all stops and crashes of one workflow: one incident, and one ticket."""
    return f"workflow:{workflow_id}"


def stopped(
    *,
    workflow_id: int,
    version: int,
    kind: str,
    order_number: str,
    actor: str,
    reason: str,
    now: datetime,
    traceparent: str | None,
) -> Encoded:
    """Return the event of a stop. ``version`` is the workflow's after it: each stop is an event of its own."""
    message = WorkflowStoppedV1(
        workflow_id=workflow_id, kind=kind, order_number=order_number, actor=actor, reason=reason, occurred_at=now
    )
    return encode_message(
        message,
        event_id=derived_id(message.TYPE, str(workflow_id), str(version)),
        subject=order_number,
        now=now,
        traceparent=traceparent,
    )


def goes_on(
    *, workflow_id: int, version: int, order_number: str, actor: str, now: datetime, traceparent: str | None
) -> Encoded:
    """Return the end of the incident of a workflow that a person lets go on. If it crashes again, that is a new incident."""
    message = ProblemResolvedV1(
        fingerprint=fingerprint(workflow_id),
        summary=f"{actor} lets the workflow go on",
        service=SERVICE,
        occurred_at=now,
    )
    return encode_message(
        message,
        event_id=derived_id(message.TYPE, message.fingerprint, str(version)),
        subject=order_number,
        now=now,
        traceparent=traceparent,
    )
