"""Ingest events: decide who is notified and store the notices, in the transaction that marks the event as seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC

from common.contracts import Envelope, parse
from common.contracts.alerts import HeartbeatV1, ProblemRaisedV1, ProblemResolvedV1
from common.contracts.orders import WorkflowCrashedV1, WorkflowStoppedV1
from common.contracts.refunds import RefundRejectedV1
from common.ids import new_id
from common.messaging.consumer import nothing_follows
from common.messaging.topology import NOTIFIER_ALERTS, NOTIFIER_ORDERS, NOTIFIER_REFUNDS
from common.postgres import Connection
from common.telemetry import scrub_text
from notifier.delivery.dispatch import HandOver
from notifier.delivery.model import NewNotice
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.model import ProblemFact
from notifier.incidents.problems import NO_ROUTE, Problems, Report, Resolution
from notifier.inputs.orders import ORDER_EVENTS, OrderNotices, held_behind_gaps
from notifier.messages.document import one_line
from notifier.messages.incident_notices import HEARTBEAT, render_heartbeat
from notifier.messages.problem_words import in_our_words, phrase
from notifier.messages.words import Words
from notifier.routing.model import Labels, Routes

QUEUES = (NOTIFIER_ORDERS, NOTIFIER_REFUNDS, NOTIFIER_ALERTS)


class IngestEvents:
    """Turns events into notices.

    The effect of one event is the same however often it comes (the inbox and the unique (subject, transition) see to that). An
    event that cannot be read raises ``ValueError``; nothing of its batch is kept then.
    """

    def __init__(
        self,
        *,
        routes: Routes,
        words: Words,
        environment: str,
        problems: Problems,
        console_url: str | None = None,
        hand_over: HandOver | None = None,
        wake: Callable[[], None] = nothing_follows,
    ) -> None:
        self._routes = routes
        self._words = words
        self._environment = environment
        self._problems = problems
        self._hand_over = hand_over or HandOver()
        self._wake = wake
        self._orders = OrderNotices(routes=routes, words=words, environment=environment, console_url=console_url)

    async def __call__(self, connection: Connection, envelopes: Sequence[Envelope]) -> Callable[[], None]:
        """Take a batch in, in the inbox's transaction: orders in its order, each problem's reports and ends in theirs.

        Types that nobody is notified of are left alone. What may be sent at once is claimed here, and handed to its sender by what is
        returned, which is to be called after the commit. Only problems are work for others than senders.
        """
        notifications = NotificationStore(connection)
        read = [entry for envelope in envelopes if (entry := self._read(envelope)) is not None]
        orders = [entry for entry in read if isinstance(entry, NewNotice)]
        problems = [entry for entry in read if not isinstance(entry, NewNotice)]
        taken = await self._problems(notifications, problems)
        await notifications.add(await held_behind_gaps(notifications, [*orders, *taken.notices]))
        await self._problems.refresh(notifications, taken)
        hand_over = await self._hand_over(connection, notifications.deliveries)

        def committed() -> None:
            """Send what was claimed, and wake whoever has work by the rest."""
            hand_over()
            if problems:
                self._wake()

        return committed

    def _read(self, envelope: Envelope) -> Report | Resolution | NewNotice | None:
        if envelope.type in ORDER_EVENTS:
            return self._orders.notice(envelope)
        if envelope.type == HeartbeatV1.TYPE:
            return self._heartbeat(parse(envelope, HeartbeatV1), envelope)
        if envelope.type == ProblemResolvedV1.TYPE:
            over = parse(envelope, ProblemResolvedV1)
            return Resolution(
                fingerprint=over.fingerprint,
                actor=over.service,
                summary=phrase(over.summary, self._words),
                at=over.occurred_at,
                event_id=envelope.id,
                traceparent=envelope.traceparent,
            )
        fact = self._problem(envelope)
        if fact is None:
            return None
        always = envelope.type in (WorkflowStoppedV1.TYPE, WorkflowCrashedV1.TYPE)
        return Report(fact=fact, event_id=envelope.id, traceparent=envelope.traceparent, always=always)

    def _problem(self, envelope: Envelope) -> ProblemFact | None:
        if envelope.type == WorkflowStoppedV1.TYPE:
            return workflow_fact(parse(envelope, WorkflowStoppedV1), self._words)
        if envelope.type == WorkflowCrashedV1.TYPE:
            return workflow_fact(parse(envelope, WorkflowCrashedV1), self._words)
        if envelope.type == ProblemRaisedV1.TYPE:
            return in_our_words(problem_fact(parse(envelope, ProblemRaisedV1)), self._words)
        if envelope.type == RefundRejectedV1.TYPE:
            return in_our_words(rejection_fact(parse(envelope, RefundRejectedV1)), self._words)
        return None

    def _heartbeat(self, beat: HeartbeatV1, envelope: Envelope) -> NewNotice:
        """The dead-man's switch: a notice like any other, to whom the routes send ``heartbeat``."""
        labels = Labels(environment=self._environment, kind=HEARTBEAT, service=beat.service)
        chosen = self._routes.choose(labels)
        return NewNotice(
            id=new_id(),
            subject=f"heartbeat:{envelope.id}",
            transition=HEARTBEAT,
            sequence=0,
            kind=HEARTBEAT,
            severity="info",
            event_id=envelope.id,
            occurred_at=beat.occurred_at,
            document=render_heartbeat(beat.occurred_at, environment=self._environment, words=self._words),
            reason=None if chosen else NO_ROUTE,
            traceparent=envelope.traceparent,
            chosen=chosen,
            labels=labels,
        )


def workflow_fact(event: WorkflowStoppedV1 | WorkflowCrashedV1, words: Words) -> ProblemFact:
    """A stopped workflow is information, a crashed one is critical. One workflow is one incident."""
    summary = f"{event.kind} {event.workflow_id}"
    if isinstance(event, WorkflowStoppedV1):
        kind, severity = "workflow.stopped", "info"
        details = {"who": event.actor, "why": scrub_text(event.reason)}
    else:
        kind, severity = "workflow.crashed", "critical"
        failed = event.event_type if event.event is None else f"{event.event_type} {event.event}"
        details = {"event": failed, "attempts": str(event.attempts), "error": scrub_text(event.error)}
        error = one_line(details["error"])
        if event.retried_by is not None and event.retried_at is not None:
            at = f"{event.retried_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
            summary = words["crashed.again"].format(workflow=summary, who=event.retried_by, at=at, error=error)
        else:
            summary = f"{summary}: {error}"
    return ProblemFact(
        kind=kind,
        severity="info" if severity == "info" else "critical",
        fingerprint=f"workflow:{event.workflow_id}",
        summary=summary,
        service="orchestrator",
        occurred_at=event.occurred_at,
        details=details,
        order_number=event.order_number,
        what_to_do=words[f"do.{kind}"].format(id=event.workflow_id),
    )


def problem_fact(event: ProblemRaisedV1) -> ProblemFact:
    """A problem that a service raised; ``kind`` gets the prefix ``problem.`` for the routes. Detail ``instruction`` is what to do."""
    details = {name: scrub_text(value) for name, value in event.details.items()}
    what_to_do = details.pop("instruction", None)
    return ProblemFact(
        kind=f"problem.{event.kind}",
        severity=event.severity,
        fingerprint=event.fingerprint,
        summary=scrub_text(event.summary),
        service=event.service,
        occurred_at=event.occurred_at,
        details=details,
        order_number=event.order_number,
        source=event.source,
        store_id=event.store_id,
        zone=event.zone,
        link=event.link,
        what_to_do=what_to_do,
    )


def rejection_fact(event: RefundRejectedV1) -> ProblemFact:
    """A refund that was wanted and cannot be made. Refunds in RS_ERROR are problems that the refunds service raises itself."""
    return ProblemFact(
        kind="refund.rejected",
        severity="warning",
        fingerprint=f"refund-rejected:{event.business_key}",
        summary=event.code,
        service="refunds",
        occurred_at=event.occurred_at,
        details={"why": scrub_text(event.detail)},
        order_number=event.order_number,
    )
