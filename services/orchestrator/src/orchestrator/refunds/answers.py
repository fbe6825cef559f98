"""What the refunds service answers: its states are kept, whoever follows a refund is notified, a full refund zeroes the order's tips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.clock import Clock
from common.contracts.envelope import Envelope, parse
from common.contracts.refunds import RefundRejectedV1, RefundStateChangedV1
from common.postgres import Connection
from orchestrator.engine.append import append_events
from orchestrator.engine.model import REFUND_REQUEST, UPDATE_TRANSACTIONS, NewEvent, TimelineEntry, new_event
from orchestrator.engine.store import add_to_timeline
from orchestrator.refunds.follow import REFUND_REJECTED, REFUND_STATE
from orchestrator.refunds.store import followed, store_states
from orchestrator.tips.zero import zero_tips

_MOVES_MONEY = frozenset({"SUCCESS", "REVERSED", "CLOSED"})


async def store_answers(connection: Connection, envelopes: Sequence[Envelope], *, clock: Clock) -> None:
    """Store a batch of answers, in the consumer's transaction.

    The refunds service itself writes its states into the timeline. Types of a later release are left alone.
    """
    entries: list[TimelineEntry] = []
    states: list[RefundStateChangedV1] = []
    events: list[NewEvent] = []
    for envelope in envelopes:
        if envelope.type == RefundStateChangedV1.TYPE:
            states.append(parse(envelope, RefundStateChangedV1))
            events += _moved(states[-1], envelope.traceparent)
        elif envelope.type == RefundRejectedV1.TYPE:
            rejected = parse(envelope, RefundRejectedV1)
            entries.append(_entry(rejected, envelope.traceparent))
            events.append(_rejected(rejected, envelope.traceparent))
    await _append_followed(connection, events)  # workflows are locked before orders
    for number in await store_states(connection, states):
        # A repeat changes nothing.
        await zero_tips(connection, number, "refund", actor="refunds", now=clock.now(), traceparent=None)
    await add_to_timeline(connection, entries)


async def _append_followed(connection: Connection, events: Sequence[NewEvent]) -> None:
    """Append events to workflows of refunds that exist, and to ``update_transactions``; what nobody follows is left out."""
    pairs = [(event.order_number, event.key) for event in events if event.kind == REFUND_REQUEST]
    known = await followed(connection, pairs) if pairs else set()
    await append_events(
        connection,
        [event for event in events if event.kind != REFUND_REQUEST or (event.order_number, event.key) in known],
    )


def _moved(message: RefundStateChangedV1, traceparent: str | None) -> list[NewEvent]:
    """Return events for whoever follows the refund and, when money moved, for whoever works out the sum to pay."""
    identity, number = f"{message.refund_id}:{message.version}", message.order_number
    about: dict[str, Any] = {"now": message.occurred_at, "traceparent": traceparent}
    state = {"refund_id": message.refund_id, "state_name": message.state_name}
    more = {**state, "version": message.version, "error": message.error, "settled": message.settled}
    key = message.business_key
    events = [new_event(number, REFUND_REQUEST, REFUND_STATE, identity, key=key, attributes=more, **about)]
    if message.state_name in _MOVES_MONEY:
        events.append(new_event(number, UPDATE_TRANSACTIONS, "refund.changed", identity, attributes=state, **about))
    return events


def _rejected(message: RefundRejectedV1, traceparent: str | None) -> NewEvent:
    return new_event(
        message.order_number,
        REFUND_REQUEST,
        REFUND_REJECTED,
        message.code,
        key=message.business_key,
        attributes={"code": message.code, "detail": message.detail},
        now=message.occurred_at,
        traceparent=traceparent,
    )


def _entry(message: RefundRejectedV1, traceparent: str | None) -> TimelineEntry:
    return TimelineEntry(
        order_number=message.order_number,
        occurred_at=message.occurred_at,
        service="refunds",
        kind="refund.rejected",
        actor="refunds",
        summary=message.detail,
        details={"business_key": message.business_key, "code": message.code},
        traceparent=traceparent,
    )
