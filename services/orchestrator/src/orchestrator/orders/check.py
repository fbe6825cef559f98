"""Whether a database of orders is right, judged from what stands in it: nothing lost, nothing twice, everything at its end.

Each order is folded again from its events and compared with what was written, goods included. What a workflow has done stands in the
timeline, one line an event; from it follows which messages must be in the outbox or published, once each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from common.checks import Finding
from common.contracts import orders
from common.ids import derived_id
from orchestrator.engine.model import EventState, WorkflowEvent, WorkflowState
from orchestrator.orders.fold import fold
from orchestrator.orders.hooks import read_all
from orchestrator.orders.model import OrderState
from orchestrator.orders.store import decode_state

_MESSAGES = {
    "order.create": orders.OrderCreatedV1.TYPE,
    "order.change": orders.OrderChangedV1.TYPE,
    "order.pay": orders.OrderPaidV1.TYPE,
    "order.receive": orders.OrderReceivedV1.TYPE,
    "order.deliver": orders.OrderDeliveredV1.TYPE,
    "order.cancel": orders.OrderCancelledV1.TYPE,
    "order.correct": orders.OrderChangedV1.TYPE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeRecord:
    """All that the database says of one order's life."""

    number: str
    workflow_id: int
    state: int
    last_seq: int
    done_seq: int
    pruned_seq: int
    failed_events: int
    retried_events: int
    ready: bool
    parked: bool
    events: Sequence[WorkflowEvent]
    aside: Mapping[int, int]
    """State by sequence number, of events that were set aside (``EventState``)."""
    order: Mapping[str, Any] | None
    derived_state: str | None
    asked: bool
    moved: Mapping[tuple[str, str], Decimal]
    acts: Sequence[tuple[str, str]]
    """(kind of the timeline's line, event id), in order."""


@dataclass(slots=True, kw_only=True)
class SentMessages:
    """Which messages there are: in the outbox and not published yet, and, where somebody has listened, those published."""

    pending: Counter[str] = field(default_factory=Counter)
    published: set[str] | None = None


def check_life(record: LifeRecord, sent: SentMessages) -> Iterator[Finding]:
    """Judge one order."""
    yield from _cursor(record)
    if record.pruned_seq:
        return
    done = [event for event in record.events if event.seq <= record.done_seq and event.seq not in record.aside]
    try:
        steps = fold(record.number, read_all(done))
    except Exception as error:  # noqa: BLE001 - what was carried out could be read then, so this is a finding of its own
        yield Finding("unreadable", f"{record.number}: a carried out event cannot be read ({type(error).__name__})")
        return
    state = steps[-1].after if steps else None
    yield from _order(record, state)
    yield from _acts(record, {event.event_id for event in done}, sent)


def _cursor(record: LifeRecord) -> Iterator[Finding]:
    name = f"{record.number} (workflow {record.workflow_id})"
    expected = list(range(record.pruned_seq + 1, record.last_seq + 1))
    if [event.seq for event in record.events if event.seq > record.pruned_seq] != expected:
        yield Finding("events_missing", f"{name}: its events are not {record.pruned_seq + 1} to {record.last_seq}")
    states = Counter(record.aside.values())
    pending = record.done_seq < record.last_seq or states[EventState.NEW] > 0
    if record.state == WorkflowState.RUNNING and pending and not record.ready:
        yield Finding("stuck", f"{name}: it has events to carry out and nobody will ever claim it")
    elif record.ready and record.state != WorkflowState.RUNNING:
        yield Finding("ready_by_mistake", f"{name}: it can be claimed and does not run")
    elif pending:
        yield Finding("not_done", f"{name}: carried out up to {record.done_seq} of {record.last_seq}", waiting=True)
    if failed := states[EventState.FAILED]:
        yield Finding("failed", f"{name}: {failed} of its events cannot be carried out", waiting=True)
    if (failed, states[EventState.NEW]) != (record.failed_events, record.retried_events):
        yield Finding("failed_miscounted", f"{name}: it counts {record.failed_events} failed events of {failed}")
    if record.parked:
        yield Finding("parked", f"{name}: its order.created has not come", waiting=True)


def _order(record: LifeRecord, state: OrderState | None) -> Iterator[Finding]:
    row = record.order
    if state is None or row is None:
        if (state is None) != (row is None):
            yield Finding(
                "order_missing", f"{record.number}: its events and the table of orders disagree on whether it exists"
            )
        if state is None and record.moved:
            yield Finding("stock", f"{record.number}: goods moved for an order that does not exist")
        return
    stored = decode_state(row["document"])
    if _substance(stored) != _substance(state):
        fields = [name for name in vars(state) if getattr(_substance(stored), name) != getattr(_substance(state), name)]
        yield Finding("order_differs", f"{record.number}: stored and folded again it differs in {', '.join(fields)}")
    if row["status"] != state.status.value:
        yield Finding(
            "order_differs", f"{record.number}: its status is {row['status']}, its events say {state.status.value}"
        )
    gone = {(item.store_id, item.position_id): -item.quantity for item in state.written_off}
    if dict(record.moved) != gone:
        yield Finding("stock", f"{record.number}: goods moved {_goods(record.moved)}, its events say {_goods(gone)}")
    if row["aggregate_state"] != record.derived_state:
        yield Finding(
            "aggregate_state",
            f"{record.number}: stored {row['aggregate_state']}, derived {record.derived_state}",
            waiting=record.asked,
        )


def _acts(record: LifeRecord, done: set[str], sent: SentMessages) -> Iterator[Finding]:
    acts = [act for act in record.acts if act[0] != "order.park"]
    for (kind, event_id), count in Counter(acts).items():
        if count > 1:
            yield Finding("event_twice", f"{record.number}: {kind} of {event_id} was carried out {count} times")
    if record.order is not None and (left := done - {event_id for _, event_id in acts}):
        yield Finding("event_lost", f"{record.number}: the timeline does not know of {', '.join(sorted(left))}")
    for kind, event_id in acts:
        if kind not in _MESSAGES:
            continue
        message = derived_id(_MESSAGES[kind], record.number, event_id)
        pending = sent.pending[message]
        if pending > 1:
            yield Finding("message_twice", f"{record.number}: {_MESSAGES[kind]} waits {pending} times in the outbox")
        elif sent.published is not None and not pending and message not in sent.published:
            yield Finding("message_lost", f"{record.number}: {_MESSAGES[kind]} is neither published nor in the outbox")
        elif pending:
            yield Finding("not_published", f"{record.number}: {_MESSAGES[kind]} waits in the outbox", waiting=True)


def _substance(state: OrderState) -> OrderState:
    """The state without the place of arrival: a repeat of the newest event may have moved that."""
    return replace(state, last=replace(state.last, arrival=0), repeats=tuple(sorted(state.repeats)))


def _goods(moved: Mapping[tuple[str, str], Decimal]) -> str:
    return ", ".join(f"{position} {quantity:f}" for (_, position), quantity in sorted(moved.items())) or "nothing"
