"""The workflow ``refund_request`` (M13): asks for a refund and follows it to its end.

```
refund.requested → orders.refund.wanted.v1      refund.published: a cancelled order's life has asked already
refund.state     → ended by SUCCESS, CANCELLED, REJECTED, REVERSED; RS_ERROR waits for a person (the refunds service raises that problem)
refund.rejected  → the problem is raised here: whoever asked counts on the money
timer            → no answer at all for too long: a problem, until one comes
```

The wish is an event of the outbox under its business key: asked twice, it is one refund.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from common.clock import Clock
from orchestrator.engine.model import Claim, Outcome, RefundWish, WorkflowEvent, WorkflowState
from orchestrator.orders.children import REFUND_PUBLISHED
from orchestrator.refunds import messages as life_messages
from orchestrator.refunds import stories as life_stories

REFUND_REQUESTED = "refund.requested"
REFUND_STATE = "refund.state"
REFUND_REJECTED = "refund.rejected"

_ENDED = frozenset({"SUCCESS", "REJECTED", "REVERSED", "CANCELLED"})
_UNANSWERED = "refund.unanswered"
_SUMMARIES = {
    "SUCCESS": ("done", "The money that was asked for went back"),
    "ERROR": ("failed", "The refund came to RS_ERROR and waits for a person to restart it"),
    "CANCELLED": ("done", "Nothing had been captured: the payment was cancelled instead"),
    "REVERSED": ("failed", "The payment system took the finished refund back"),
}


@dataclass(frozen=True, slots=True)
class KnownRefund:
    """What is known of a refund that was asked for: since when it has been wanted, and its newest state."""

    requested_at: datetime | None
    state_name: str | None
    rejected: bool


class RefundReader(Protocol):
    """Reads what became of refunds."""

    async def refunds(self, keys: Sequence[str]) -> dict[str, KnownRefund]:
        """Return what is known, by business key; every key is in it."""
        ...


class RefundRequest:
    """The handler; the workflow's key is the business key. ``answer_within``: how long the refunds service may be silent."""

    def __init__(self, reader: RefundReader, clock: Clock, *, answer_within: timedelta) -> None:
        self._reader = reader
        self._clock = clock
        self._answer_within = answer_within

    async def prepare(self, claims: Sequence[Claim]) -> Mapping[str, KnownRefund]:
        """Read what is known of the refunds."""
        return await self._reader.refunds([claim.key for claim in claims])

    def run(self, claim: Claim, batch: Mapping[str, KnownRefund]) -> Outcome:
        """Return what follows from what happened to one refund."""
        known, now = batch[claim.key], self._clock.now()
        outcome = Outcome(claim=claim, upto=claim.upto)
        for event in claim.events:
            if event.type in {REFUND_REQUESTED, REFUND_PUBLISHED}:
                self._asked(outcome, event, now)
            elif event.type == REFUND_STATE:
                self._moved(outcome, event, now)
            elif event.type == REFUND_REJECTED:
                self._rejected(outcome, event, now)
        if known.rejected or outcome.refund_rejected is not None or known.state_name in _ENDED:
            outcome.state = WorkflowState.FINISHED
        since = known.requested_at or now
        late = since + self._answer_within
        answered = known.state_name is not None or outcome.refund_rejected is not None
        if not answered and now < late:
            outcome.wake_at = late
        elif not answered and not claim.events:
            self._unanswered(outcome, since, now)
        elif answered and any(event.received_at >= late for event in claim.events):
            trace = claim.events[-1].traceparent
            outcome.events.append(
                life_messages.refund_problem_over(
                    claim.order_number, claim.key, _UNANSWERED, now=now, traceparent=trace
                )
            )
        return outcome

    def _asked(self, outcome: Outcome, event: WorkflowEvent, now: datetime) -> None:
        claim, asked = outcome.claim, event.attributes
        wish = RefundWish(
            business_key=claim.key,
            order_number=claim.order_number,
            payment_id=asked["payment_id"],
            amount=asked["amount"],
            currency=asked["currency"],
            reason=asked["reason"],
            requested_by=asked["requested_by"],
            requested_at=event.received_at,
        )
        outcome.refund_wish = wish
        if event.type == REFUND_PUBLISHED:
            return  # the order's life has asked, and told the timeline
        outcome.events.append(
            life_messages.refund_wanted(
                claim.order_number,
                wish.payment_id,
                amount=wish.amount,
                currency=wish.currency,
                reason=wish.reason,
                business_key=wish.business_key,
                source=asked.get("source"),
                now=now,
                traceparent=event.traceparent,
            )
        )
        self._tell(outcome, "wanted", "A refund was asked for", event, now=now, actor=wish.requested_by)

    def _moved(self, outcome: Outcome, event: WorkflowEvent, now: datetime) -> None:
        told = _SUMMARIES.get(str(event.attributes["state_name"]))
        if told is not None:
            self._tell(outcome, *told, event, now=now)

    def _rejected(self, outcome: Outcome, event: WorkflowEvent, now: datetime) -> None:
        code, detail = str(event.attributes["code"]), str(event.attributes["detail"])
        outcome.refund_rejected = code
        summary = "A refund that was asked for cannot be made"
        self._tell(outcome, "rejected", f"{summary}: {detail}", event, now=now)
        self._raise(outcome, "refund.rejected", summary, {"code": code, "detail": detail}, now=now, event=event)

    def _unanswered(self, outcome: Outcome, since: datetime, now: datetime) -> None:
        summary = "A refund was asked for, and the refunds service has not answered"
        self._tell(outcome, "unanswered", summary, None, now=now)
        self._raise(outcome, _UNANSWERED, summary, {"since": since.isoformat()}, now=now, event=None)

    @staticmethod
    def _tell(
        outcome: Outcome, kind: str, summary: str, event: WorkflowEvent | None, *, now: datetime, actor: str = "refunds"
    ) -> None:
        claim = outcome.claim
        trace = None if event is None else event.traceparent
        outcome.timeline.append(
            life_stories.refund_step(
                claim.order_number, claim.key, kind, summary, now=now, actor=actor, traceparent=trace
            )
        )

    @staticmethod
    def _raise(
        outcome: Outcome,
        kind: str,
        summary: str,
        details: Mapping[str, Any],
        *,
        now: datetime,
        event: WorkflowEvent | None,
    ) -> None:
        claim = outcome.claim
        outcome.events.append(
            life_messages.refund_problem(
                claim.order_number,
                claim.key,
                kind,
                summary,
                details={"business_key": claim.key, **details},
                now=now,
                traceparent=None if event is None else event.traceparent,
            )
        )
