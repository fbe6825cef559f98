"""Operators mend an event that cannot be carried out: a copy with another payload has its place, its time and its identity."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from common.errors import Conflict
from common.http import Change
from common.postgres import Connection
from common.telemetry import current_traceparent
from orchestrator.engine.model import Claim, EventState, WorkflowEvent
from orchestrator.engine.set_aside import end_failure
from orchestrator.engine.skip import EventEffect, FailureEnded, failure_ended, lock_workflow_of
from orchestrator.engine.store import event_of

MendPayload = Callable[[WorkflowEvent, Mapping[str, Any] | None, datetime | None], WorkflowEvent]
"""Of one kind of workflow: returns the event with another payload (None: its own), and with another time (None: its own).

Raises ``Unprocessable`` with the fields where it cannot be read, ``Conflict`` where it cannot have another time.
"""
EventEffects = Callable[[Connection, Claim], Awaitable[tuple[EventEffect, Mapping[str, str]] | None]]
"""Of one kind of workflow: in the caller's transaction, returns what the one event of a claim does, and in words that may be kept."""


@dataclass(frozen=True, slots=True)
class Mender:
    """How the events of one kind of workflow are mended, and what that does."""

    mend: MendPayload
    effect: EventEffects


_EVENT = "SELECT * FROM workflow_event WHERE workflow_id = $1 AND seq = $2"
_APPEND = """
INSERT INTO workflow_event (workflow_id, seq, type, event_id, attributes, payload, traceparent, received_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_MOVE_LAST = "UPDATE workflow SET last_seq = last_seq + 1 WHERE id = $1 RETURNING last_seq"


async def mend_event(
    change: Change,
    workflow_id: int,
    seq: int,
    *,
    payload: Mapping[str, Any] | None,
    as_of_now: bool,
    menders: Mapping[str, Mender],
    expected_version: int | None,
    now: datetime,
) -> FailureEnded:
    """Append the mended copy, end the original's failure and record it.

    ``as_of_now``: the copy happens now instead of at its own time; a late event whose order's history is no longer kept has no other way
    to take effect. Raises ``NotFound``, ``StaleVersion``; ``Conflict`` where the event has not failed, or has no payload; ``Unprocessable``
    with the fields where the payload still cannot be read. The answer, and the record, say what the copy does to its order.
    """
    connection = change.connection
    before = await lock_workflow_of(connection, workflow_id, seq, expected_version=expected_version)
    row = await connection.fetchrow(_EVENT, workflow_id, seq)
    last = await connection.fetchval(_MOVE_LAST, workflow_id)
    after = await end_failure(
        connection, before, seq, EventState.MENDED, actor=change.principal.name, why=change.reason, replaced_by=last
    )
    mender = menders.get(before["kind"])
    if row is None or mender is None:
        raise Conflict(f"events of {before['kind']} have no payload to mend: retry the workflow, or skip the event")
    copy = mender.mend(event_of(row), payload, now if as_of_now else None)
    attributes = {
        "arrival": last if as_of_now else seq,
        **copy.attributes,
        "mend_of": seq,
        "mend_by": change.principal.name,
        "mend_reason": change.reason,
    }
    await connection.execute(
        _APPEND,
        workflow_id,
        last,
        copy.type,
        copy.event_id,
        attributes,
        copy.payload,
        current_traceparent() or copy.traceparent,
        copy.received_at,
    )
    claim = Claim(
        workflow_id=workflow_id,
        order_number=before["order_number"],
        kind=before["kind"],
        key=before["key"],
        done_seq=before["done_seq"],
        fence=0,
        attempts=0,
        events=(replace(copy, seq=last, attributes=attributes),),
    )
    effect, said = await mender.effect(connection, claim) or (None, None)
    return await failure_ended(change, "mend", before, after, seq, now=now, appended=last, effect=effect, said=said)
