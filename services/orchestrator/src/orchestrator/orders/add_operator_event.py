"""Operators cancel, deliver and correct orders: an event of theirs in the order's life, folded and announced as a hook is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from common.contracts.orders import OrderDifference
from common.errors import Conflict, FieldError, NotFound, Unprocessable
from common.http import Change
from common.ids import derived_id, new_id
from common.postgres import Connection, member
from common.telemetry import current_traceparent
from orchestrator.engine.append import append_events
from orchestrator.engine.model import ORDER_LIFE, NewEvent, StaleVersion, WorkflowEvent, WorkflowState, require_version
from orchestrator.engine.store import event_of
from orchestrator.orders.content import quantity_is_missing
from orchestrator.orders.decisions import decide
from orchestrator.orders.fold import Step, is_next, step
from orchestrator.orders.foretell import ForetellLife
from orchestrator.orders.hooks import UnreadableHook, read_facts, to_fact
from orchestrator.orders.messages import public_difference
from orchestrator.orders.model import HookType, OrderFact, OrderState
from orchestrator.orders.operator_views import OperatorEventAdded
from orchestrator.orders.store import decode_state
from orchestrator.orders.transitions import CHANGING

_LOCK_LIFE = (
    "SELECT id, state, done_seq FROM workflow WHERE order_number = $1 AND kind = $2 AND key = '' FOR NO KEY UPDATE"
)
_ORDER = "SELECT document, revision + tips_revision AS version FROM orders WHERE number = $1"
_PENDING = "SELECT * FROM workflow_event WHERE workflow_id = $1 AND seq > $2 ORDER BY seq"
_SAYS = {
    "positions": "lines",
    "storeID": "store_id",
    "address": "address",
    "customer": "customer",
    "deliveryWindow": "delivery_window",
    "comment": "comment",
}
"""What a correction may say, and what of a fact it becomes."""
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an operator wants of an order: the event, what it says in the words of a hook, and what the audit record calls it."""

    hook: HookType
    said: Mapping[str, Any]
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The order as it will be once what waits is carried out, and what the operator's event must come after."""

    state: OrderState
    version: int
    workflow_state: WorkflowState
    newest: datetime


async def add_operator_event(
    change: Change, number: str, wanted: Wanted, *, expected_version: int, foretell: ForetellLife, now: datetime
) -> OperatorEventAdded:
    """Append the event to the order's life and record it: one commit, so that whoever dies after it changes nothing more.

    Its time is now, and later than all that the order knows. Operators of one order come one after another: as long as one's event is
    not carried out, the next one looks at an old version. Raises ``NotFound``, ``StaleVersion``, ``Conflict`` where the order does not
    allow it or nothing would change, ``Unprocessable`` with the fields at fault.
    """
    known = await _known(change.connection, number)
    require_version(f"order {number}", at=known.version, expected=expected_version)
    event = _event(known, wanted, change, now)
    taken = _try(known.state, event, wanted)
    before, after = known.state, taken.after
    if after is None or taken.act not in CHANGING:
        raise Conflict(f"order {number} is {before.status}: {taken.act.replace('_', ' ')}")
    decisions = decide(before, [taken])
    await append_events(change.connection, [NewEvent(order_number=number, kind=ORDER_LIFE, event=event)])
    change.tells(*foretell.of_event(change.connection, before, event, taken.fact))
    difference = public_difference(taken.difference)
    answer = OperatorEventAdded(
        number=number,
        dry_run=change.dry_run,
        event=wanted.hook,
        event_id=event.event_id,
        version=known.version,
        workflow_state=known.workflow_state.name.lower(),
        status_before=before.status.value,
        status_after=after.status.value,
        currency=after.currency,
        difference=OrderDifference.model_validate(difference),
        refund=f"{number}:cancel" if decisions.refund else None,
    )
    await change.record(
        wanted.action,
        f"order:{number}",
        before={"status": before.status, "version": known.version},
        after={"status": after.status, "event_id": event.event_id, "said": sorted(wanted.said)},
    )
    return answer


async def _known(connection: Connection, number: str) -> _Known:
    life = await connection.fetchrow(_LOCK_LIFE, number, ORDER_LIFE)
    row = await connection.fetchrow(_ORDER, number)
    if life is None or row is None:
        raise NotFound(f"there is no order {number}")
    pending = [event_of(found) for found in await connection.fetch(_PENDING, life["id"], life["done_seq"])]
    if any("operator" in event.attributes for event in pending):
        raise StaleVersion(f"another operator's event of order {number} is being carried out: look again")
    state = decode_state(row["document"])
    newest = state.last.moment
    facts = [fact for fact in read_facts(pending, state.currency) if isinstance(fact, OrderFact)]
    for fact in sorted(facts, key=lambda item: item.key):
        newest = max(newest, fact.moment)
        if is_next(state, fact):
            state = step(number, state, fact).after or state
    workflow_state = member(WorkflowState, life["state"])
    return _Known(state=state, version=row["version"], workflow_state=workflow_state, newest=newest)


def _event(known: _Known, wanted: Wanted, change: Change, now: datetime) -> WorkflowEvent:
    state = known.state
    moment = max(now, known.newest + _INSTANT)
    return WorkflowEvent(
        type=wanted.hook.value,
        event_id=derived_id("operator", state.number, new_id()),
        attributes={
            "source": state.source,
            "external_id": state.external_id,
            "body_form": "payload",
            "sent_at": moment.isoformat(),
            "currency": state.currency,
            "operator": change.principal.name,
            "why": change.reason,
        },
        payload=orjson.dumps(wanted.said),
        traceparent=current_traceparent(),
        received_at=now,
    )


def _try(state: OrderState, event: WorkflowEvent, wanted: Wanted) -> Step:
    """Carry the event out as the worker will. Raises ``Unprocessable`` for what cannot be read: a person is asked again, not guessed."""
    try:
        fact = to_fact(event, state.currency)
    except UnreadableHook as error:
        raise Unprocessable(error.detail, fields=error.fields) from None
    unread = [name for name, field in _SAYS.items() if name in wanted.said and getattr(fact, field) is None]
    if unread:
        raise Unprocessable(
            "the correction does not fit",
            fields=tuple(FieldError(_SAYS[name], "unreadable", "nothing can be read in it") for name in unread),
        )
    if fact.lines and quantity_is_missing(state.lines, fact.lines):
        missing = FieldError("positions", "missing", "a position that is new needs a quantity")
        raise Unprocessable("the correction does not fit", fields=(missing,))
    return step(state.number, state, fact)
