"""Messages about workflows: one crashed, one was stopped, one goes on. And how this service encodes any message."""

from __future__ import annotations

from datetime import datetime

from common.contracts.alerts import ProblemResolvedV1
from common.contracts.envelope import Envelope, Message
from common.contracts.orders import WorkflowCrashedV1, WorkflowStoppedV1
from common.ids import derived_id
from orchestrator.engine.model import SERVICE, Claim, Encoded, Failure, TimelineEntry, WorkflowEvent, timeline_entry
from orchestrator.engine.views import WorkflowView

SOURCE = "/orchestrator"


def encode_message(
    message: Message, *identity: str, subject: str | None, now: datetime, traceparent: str | None
) -> Encoded:
    """Encode a message that is not on the hot path. The same ``identity`` is the same message, however often it is sent."""
    envelope = Envelope.of(
        message,
        event_id=derived_id(message.TYPE, *identity),
        source=SOURCE,
        subject=subject,
        time=now,
        traceparent=traceparent,
    )
    return message.TYPE, envelope.encode()


def problem_over(
    fingerprint: str, summary: str, *identity: str, subject: str, now: datetime, traceparent: str | None
) -> Encoded:
    """Return the end of a problem; ``identity`` tells the ends of one problem apart, if it may come up again."""
    message = ProblemResolvedV1(fingerprint=fingerprint, summary=summary, service=SERVICE, occurred_at=now)
    return encode_message(message, fingerprint, *identity, subject=subject, now=now, traceparent=traceparent)


def workflow_fingerprint(workflow_id: int) -> str:
    """Return what the notifier makes of all stops and crashes of one workflow: one incident, and one ticket."""
    return f"workflow:{workflow_id}"


def workflow_crashed(
    claim: Claim,
    event: WorkflowEvent | None,
    *,
    code: str,
    error: str,
    now: datetime,
    retried: tuple[str, datetime] | None = None,
) -> Encoded:
    """Return the message about a failure for good, of the event that cannot be carried out, or of a timer (None).

    ``error`` says what and where, and nothing of a payload. ``retried``: who had it tried again, and when, in vain.
    """
    by, at = retried or (None, None)
    seq = None if event is None else event.seq
    message = WorkflowCrashedV1(
        workflow_id=claim.workflow_id,
        kind=claim.kind,
        order_number=claim.order_number,
        event_type=event.type if event else "none",
        event=None if seq is None else f"{claim.workflow_id}-{seq}",
        code=code,
        error=error,
        attempts=claim.attempts + 1,
        retried_by=by,
        retried_at=at,
        occurred_at=now,
    )
    return encode_message(
        message,
        str(claim.workflow_id),
        str(claim.fence),
        subject=claim.order_number,
        now=now,
        traceparent=event.traceparent if event else None,
    )


def crashed_again(failure: Failure, by: str, at: datetime) -> TimelineEntry:
    """Return the line of an event that failed again after a person had it tried again."""
    claim, event = failure.claim, failure.event
    summary = f"The workflow crashed again after the retry of {by}"
    details = {"workflow_id": str(claim.workflow_id), "retried_at": at.isoformat(), "error": failure.error}
    now, trace = failure.at or at, None if event is None else event.traceparent
    return timeline_entry(
        claim.order_number, "workflow.crashed_again", summary, now=now, traceparent=trace, details=details
    )


def workflow_stopped(
    workflow: WorkflowView, *, actor: str, reason: str, now: datetime, traceparent: str | None
) -> Encoded:
    """Return the event of a stop; ``workflow`` is as it is after it: each stop is an event of its own."""
    message = WorkflowStoppedV1(
        workflow_id=workflow.id,
        kind=workflow.kind,
        order_number=workflow.order_number,
        actor=actor,
        reason=reason,
        occurred_at=now,
    )
    identity = (str(workflow.id), str(workflow.version))
    return encode_message(message, *identity, subject=workflow.order_number, now=now, traceparent=traceparent)


def workflow_goes_on(
    workflow: WorkflowView, *, actor: str, now: datetime, traceparent: str | None, skipped: bool = False
) -> Encoded:
    """Return the end of the incident of a workflow that a person lets go on. If it crashes again, that is a new incident."""
    return problem_over(
        workflow_fingerprint(workflow.id),
        f"{actor} skipped what had failed" if skipped else f"{actor} lets the workflow go on",
        str(workflow.version),
        subject=workflow.order_number,
        now=now,
        traceparent=traceparent,
    )
