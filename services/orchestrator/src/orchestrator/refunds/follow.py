"""The workflow ``refund_request``: asks for a refund and follows it to its end.

```
refund.requested → orders.refund.wanted.v1      refund.published: a cancelled order's life has asked already
refund.state     → ended by SUCCESS, CANCELLED, REJECTED, REVERSED, CLOSED; RS_ERROR waits for a person
refund.rejected  → the notifier tells people by the refunds service's own event
timer            → no answer at all for too long: a problem, until one comes
```

The request is a message of the outbox under its business key: asked twice, it is one refund.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from common.clock import Clock
from common.postgres import Connection
from orchestrator.engine.model import (
    TIMER,
    Claim,
    Encoded,
    Outcome,
    TimelineEntry,
    WorkflowEvent,
    WorkflowState,
    effects_of,
)
from orchestrator.orders.followers import REFUND_PUBLISHED
from orchestrator.refunds.messages import refund_entry, refund_problem, refund_problem_over, refund_requested
from orchestrator.refunds.model import EVENT_FIELDS, GoodsPart, KnownRefund, RefundRequest
from orchestrator.refunds.store import RefundStore, add_requests, reject_requests

REFUND_REQUESTED = "refund.requested"
REFUND_STATE = "refund.state"
REFUND_REJECTED = "refund.rejected"

_ENDED = frozenset({"SUCCESS", "REJECTED", "REVERSED", "CANCELLED", "CLOSED"})
_UNANSWERED = "refund.unanswered"
_KEY_REUSED = "business_key_reused"
_STATES = {
    "SUCCESS": ("done", "The money that was asked for went back"),
    "ERROR": ("failed", "The refund came to RS_ERROR and waits for a person to restart it"),
    "CANCELLED": ("done", "Nothing had been captured: the payment was cancelled instead"),
    "CLOSED outside": ("done", "People closed the refund: the customer has the money by another way"),
    "CLOSED given_up": ("failed", "People gave the refund up and closed it"),
    "REVERSED": ("failed", "The payment system took the finished refund back"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one event of a refund brings: a request to note, the code of a rejection, a line of the timeline, a message."""

    request: RefundRequest | None = None
    rejected: str | None = None
    entry: TimelineEntry | None = None
    message: Encoded | None = None


@dataclass(frozen=True, slots=True)
class Steps:
    """What the events of one claim do, in their order: the effect that is written."""

    steps: tuple[Step, ...]


def _requested(claim: Claim, event: WorkflowEvent, now: datetime) -> Step:
    request = _request(claim, event)
    trace = event.traceparent
    return Step(
        request=request,
        entry=refund_entry(
            claim, "wanted", "A refund was asked for", now=now, traceparent=trace, actor=request.requested_by
        ),
        message=refund_requested(request, source=event.attributes.get("source"), now=now, traceparent=trace),
    )


def _published(claim: Claim, event: WorkflowEvent, now: datetime) -> Step:
    return Step(request=_request(claim, event))  # the order's life has asked, and written the line


def _moved(claim: Claim, event: WorkflowEvent, now: datetime) -> Step:
    name = str(event.attributes["state_name"])
    said = _STATES.get(f"{name} {event.attributes.get('settled')}" if name == "CLOSED" else name)
    return Step() if said is None else Step(entry=refund_entry(claim, *said, now=now, traceparent=event.traceparent))


def _rejected(claim: Claim, event: WorkflowEvent, now: datetime) -> Step:
    code, detail = str(event.attributes["code"]), str(event.attributes["detail"])
    summary = "A refund that was asked for cannot be made"
    return Step(
        # What was asked first under the key stands: to ask for it again under another could pay it twice.
        rejected=None if code == _KEY_REUSED else code,
        entry=refund_entry(claim, "rejected", f"{summary}: {detail}", now=now, traceparent=event.traceparent),
    )


STEPS: Mapping[str, Callable[[Claim, WorkflowEvent, datetime], Step]] = {
    REFUND_REQUESTED: _requested,
    REFUND_PUBLISHED: _published,
    REFUND_STATE: _moved,
    REFUND_REJECTED: _rejected,
}
"""What each event does; others do nothing."""


class FollowRefund:
    """The handler; the workflow's key is the business key. ``answer_within``: how long the refunds service may be silent."""

    def __init__(self, store: RefundStore, clock: Clock, *, answer_within: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._answer_within = answer_within

    async def prepare(self, claims: Sequence[Claim]) -> Mapping[str, KnownRefund]:
        """Read what is known of the refunds."""
        return await self._store.known([claim.key for claim in claims])

    def run(self, claim: Claim, batch: Mapping[str, KnownRefund]) -> Outcome:
        """Return what follows from what happened to one refund."""
        known, now = batch[claim.key], self._clock.now()
        steps = [STEPS[event.type](claim, event, now) for event in claim.events if event.type in STEPS]
        rejected = known.rejected or any(step.rejected is not None for step in steps)
        since = known.requested_at or now
        late = since + self._answer_within
        answered = known.state_name is not None or any(step.rejected is not None for step in steps)
        happened = [event for event in claim.events if event.type != TIMER]
        if not answered and now >= late and not happened:
            steps.append(_unanswered(claim, since, now))
        elif answered and any(event.received_at >= late for event in happened):
            steps.append(Step(message=refund_problem_over(claim, _UNANSWERED, now=now)))
        return Outcome(
            claim=claim,
            upto=claim.upto,
            state=WorkflowState.FINISHED if rejected or known.state_name in _ENDED else WorkflowState.RUNNING,
            wake_at=late if not answered and (now < late or happened) else None,  # a request that was late itself, too
            effect=Steps(tuple(steps)),
            timeline=[step.entry for step in steps if step.entry is not None],
            messages=[step.message for step in steps if step.message is not None],
        )

    async def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> list[Encoded]:
        """Note what was asked for, and what cannot be had."""
        steps = [(claim.key, step) for claim, taken in effects_of(outcomes, Steps) for step in taken.steps]
        await add_requests(connection, [step.request for _, step in steps if step.request is not None])
        await reject_requests(connection, {key: step.rejected for key, step in steps if step.rejected is not None})
        return []


def _unanswered(claim: Claim, since: datetime, now: datetime) -> Step:
    summary = "A refund was asked for, and the refunds service has not answered"
    return Step(
        entry=refund_entry(claim, "unanswered", summary, now=now, traceparent=None),
        message=refund_problem(
            claim, _UNANSWERED, summary, details={"since": since.isoformat()}, now=now, traceparent=None
        ),
    )


def _request(claim: Claim, event: WorkflowEvent) -> RefundRequest:
    return RefundRequest(
        business_key=claim.key,
        order_number=claim.order_number,
        requested_at=event.received_at,
        tips=event.attributes.get("tips", 0),  # the release before knew none
        goods=tuple(_part(part) for part in event.attributes.get("goods", ())),  # the same
        **{name: event.attributes[name] for name in EVENT_FIELDS},
    )


def _part(said: Mapping[str, Any]) -> GoodsPart:
    """Return a part of an order; the release before said besides what it comes to."""
    return GoodsPart(said["id"], said["quantity"], said["of_quantity"], said["paid"])
