"""The values of the workflow engine: workflows, their events, claims on them, and what came of a claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from typing import Any, TypeVar

from common.errors import Conflict
from common.ids import derived_id

ORDER_LIFE = "order_life"
"""The workflow kind that carries an order through its life: one per number."""
UPDATE_TRANSACTIONS = "update_transactions"
"""Works out the sum to pay and the tips of a finished order: one per number."""
REFUND_REQUEST = "refund_request"
"""Asks for a refund and follows it to its end: one per business key."""
ORDER_DOCUMENT = "order_document"
"""Issues an order's document (voucher) and issues it again: one per number."""
KINDS = (ORDER_LIFE, UPDATE_TRANSACTIONS, REFUND_REQUEST, ORDER_DOCUMENT)

SERVICE = "orchestrator"
TIMER = "timer"
"""The type of the event that stands for a timer which failed: only then a timer is an event, so that it fails alone as one."""
E = TypeVar("E")
Encoded = tuple[str, bytes]
"""A message for the outbox: (type, encoded envelope)."""


class WorkerPool(IntEnum):
    """Who carries a workflow out: workers that never wait for another service, or those that do (SQL ``workflow_lane``)."""

    LIFE = 0
    CALLS = 1


class WorkflowState(IntEnum):
    """States of a workflow. The numbers stand in the database and in the interface; a stopped one is 2 everywhere."""

    RUNNING = 1
    STOPPED = 2
    FINISHED = 3
    CRASHED = 4


class EventState(IntEnum):
    """States of a workflow event: new and done follow from its workflow's cursor, the others are of events that were set aside."""

    NEW = 1
    DONE = 2
    FAILED = 3
    SKIPPED = 4
    SUPERSEDED = 5
    MENDED = 6


class StaleVersion(Conflict):
    """The thing is not at the version that the caller looked at: look again, decide again."""

    code = "stale_version"


def require_version(what: str, *, at: int, expected: int | None) -> None:
    """Raise ``StaleVersion`` when the caller looked at another version; ``expected`` None: the caller does not mind."""
    if expected is not None and at != expected:
        raise StaleVersion(f"{what} is at version {at}, not {expected}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowEvent:
    """What happened. ``event_id`` is the same for a repeat; ``seq`` counts a workflow's events from 1 without gaps, 0: not appended yet."""

    type: str
    event_id: str
    attributes: Mapping[str, Any]
    payload: bytes
    received_at: datetime
    traceparent: str | None = None
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to append to the workflow (``order_number``, ``kind``, ``key``), which is made if it does not exist."""

    order_number: str
    kind: str
    event: WorkflowEvent
    key: str = ""


def new_event(
    number: str,
    kind: str,
    event_type: str,
    identity: str,
    *,
    key: str = "",
    attributes: Mapping[str, Any] | None = None,
    now: datetime,
    traceparent: str | None,
) -> NewEvent:
    """Return an event from one workflow of an order for another. ``identity`` tells events of one type and order apart."""
    event = WorkflowEvent(
        type=event_type,
        event_id=derived_id(kind, number, key, event_type, identity),
        attributes=attributes or {},
        payload=b"",
        received_at=now,
        traceparent=traceparent,
    )
    return NewEvent(order_number=number, kind=kind, key=key, event=event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A workflow lent to one worker until its lease ends, with its next events. ``fence`` names this claim for ever.

    ``events`` are to be carried out, in sequence: events that were set aside and are tried again (their ``seq`` is not above
    ``done_seq``), and those behind the cursor. ``failed`` are the events that wait for a person, without their payloads.
    """

    workflow_id: int
    order_number: str
    kind: str
    key: str
    done_seq: int
    fence: int
    attempts: int
    events: tuple[WorkflowEvent, ...]
    failed: tuple[WorkflowEvent, ...] = ()

    def first(self, count: int) -> Claim:
        """The same claim on its first events only."""
        return replace(self, events=self.events[:count])

    @property
    def upto(self) -> int:
        """The last event that was lent."""
        return self.events[-1].seq if self.events else self.done_seq

    @property
    def traceparent(self) -> str | None:
        """The trace of the last event, if there is one."""
        return self.events[-1].traceparent if self.events else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One line of an order's story, not about a hook's arrival (those are workflow events). No customer's data."""

    order_number: str
    occurred_at: datetime
    service: str
    kind: str
    actor: str
    summary: str
    details: Mapping[str, str] = field(default_factory=dict)
    traceparent: str | None = None


def timeline_entry(
    number: str,
    kind: str,
    summary: str,
    *,
    now: datetime,
    traceparent: str | None,
    actor: str = SERVICE,
    details: Mapping[str, str] | None = None,
) -> TimelineEntry:
    """Return a line of this service in an order's timeline."""
    return TimelineEntry(
        order_number=number,
        occurred_at=now,
        service=SERVICE,
        kind=kind,
        actor=actor,
        summary=summary,
        details=details or {},
        traceparent=traceparent,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLog:
    """What to log of an event once its effect is committed, with the trace that the event belongs to. ``unread``: see ``OrderFact``."""

    trace_id: str | None
    hook: str
    act: str
    status: str | None
    source: str
    unread: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A claim carried out: the cursor moves to ``upto`` and everything here is written in one transaction, or nothing is.

    ``effect`` is what the handler of this kind writes, ``messages`` go to the outbox, ``appends`` are events for other workflows (which
    are made where they do not exist), ``steps`` are logged after the commit. ``wake_at`` runs the workflow again at that moment, with no
    event, unless a new event comes first. ``superseded`` are failed events whose place an event of this claim has taken: sequence number
    of the failed one → that of the other; ``superseded_if_unreadable`` those that give their place away only if nobody could read them.
    """

    claim: Claim
    upto: int
    state: WorkflowState = WorkflowState.RUNNING
    wake_at: datetime | None = None
    effect: object | None = None
    timeline: Sequence[TimelineEntry] = ()
    messages: Sequence[Encoded] = ()
    appends: Sequence[NewEvent] = ()
    steps: Sequence[StepLog] = ()
    superseded: Mapping[int, int] = field(default_factory=dict)
    superseded_if_unreadable: Mapping[int, int] = field(default_factory=dict)

    @property
    def cursor(self) -> int:
        """The last event behind which everything is new; it never goes back."""
        return max(self.claim.done_seq, self.upto)

    @property
    def retried(self) -> list[int]:
        """The sequence numbers of events that were set aside before and have taken effect now."""
        claim = self.claim
        if not claim.events or claim.events[0].seq > claim.done_seq:
            return []
        return [event.seq for event in claim.events if event.seq <= min(claim.done_seq, self.upto)]


def effects_of(outcomes: Sequence[Outcome], *kinds: type[E]) -> list[tuple[Claim, E]]:
    """Return the effects with their claims. Raises ``TypeError`` for one of another kind: no cursor moves without its effect."""
    effects: list[tuple[Claim, E]] = []
    for outcome in outcomes:
        if outcome.effect is None:
            continue
        if not isinstance(outcome.effect, kinds):
            raise TypeError(f"the handler of {outcome.claim.kind} writes no {type(outcome.effect).__name__}")
        effects.append((outcome.claim, outcome.effect))
    return effects


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A claim that failed. ``retry_in`` seconds it is tried again; None means that it has failed for good.

    Then ``event`` is the one that cannot be carried out: it is set aside, the workflow goes on behind it. A timer that failed is an event
    from then on (``TIMER``), appended unless something has happened meanwhile, which runs the workflow instead. Without an event the
    workflow has crashed and stands still. ``code``, ``error`` and ``stack`` say what and where, and nothing of a payload. ``at`` is when.
    """

    claim: Claim
    error: str
    stack: str
    retry_in: float | None
    counted: bool = True
    code: str = ""
    event: WorkflowEvent | None = None
    at: datetime | None = None

    @property
    def of_timer(self) -> bool:
        """Whether it is a timer that failed, which is no event of its workflow yet."""
        event = self.event
        return event is not None and event.type == TIMER and event.seq > self.claim.upto

    @property
    def retried(self) -> bool:
        """Whether the event had been set aside before and was tried again."""
        event, claim = self.event, self.claim
        return event is not None and event.seq <= claim.done_seq and event in claim.events
