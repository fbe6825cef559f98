"""What people are told once a worker carries out what waits in a workflow: its handler does it now, and nothing of it stays."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from common.contracts.notices import notices_of
from common.http import Change
from common.postgres import Connection, undone
from orchestrator.engine.messages import workflow_crashed
from orchestrator.engine.model import Claim, Encoded, WorkflowEvent
from orchestrator.engine.set_aside import supersede
from orchestrator.engine.store import claims_of, is_away
from orchestrator.engine.views import WorkflowView
from orchestrator.engine.worker import EventFails, Handler, RetryLater, over_timers

_AT_MOST_ALONE = 20  # whoever rehearses holds the workflow as long as that takes
Foretell = Callable[[Connection, int], Awaitable[Sequence[str]]]
"""Of one kind of workflow: in the caller's transaction, returns the notices that follow once what waits in it is carried out."""
Foretellers = Mapping[str, Foretell]
"""By kind of workflow; carrying out kinds that are not in it tells nobody."""

# As workflow_take lends it (migration 0220), of one workflow, whoever holds it.
_WAITING = """
SELECT w.id AS workflow_id, w.order_number, w.kind, w.key, w.done_seq, 0 AS fence, 0 AS attempts,
       e.seq, e.type, e.event_id, e.attributes, e.payload, NULL AS traceparent, e.received_at, e.aside
FROM workflow AS w
LEFT JOIN LATERAL (
    (SELECT v.seq, v.type, v.event_id, v.attributes, v.payload, v.received_at, NULL::smallint AS aside
     FROM workflow_event AS v WHERE v.workflow_id = w.id AND v.seq > w.done_seq ORDER BY v.seq LIMIT 200)
    UNION ALL
    SELECT v.seq, v.type, v.event_id, v.attributes, v.payload, v.received_at, a.state
    FROM set_aside_event AS a JOIN workflow_event AS v ON v.workflow_id = a.workflow_id AND v.seq = a.seq
    WHERE a.workflow_id = w.id AND v.workflow_id = w.id AND a.state IN (1, 3)
) AS e ON true
WHERE w.id = $1 AND w.state = 1
ORDER BY e.seq
"""


async def tell_what_follows(change: Change, workflow: WorkflowView, foretellers: Foretellers) -> None:
    """Name what people are told once the workflow, which this change has let go on, is carried out."""
    if (foretell := foretellers.get(workflow.kind)) is not None:
        change.tells(*await foretell(change.connection, workflow.id))


async def foresee(connection: Connection, workflow_id: int, handler: Handler, *, now: datetime) -> list[str]:
    """Return the notices of what a worker with this handler, which reads by ``connection``, will publish; of a workflow that is not
    to run, none. What cannot be carried out is named as the failure that it will be.
    """
    claims = claims_of(await connection.fetch(_WAITING, workflow_id))
    return notices_of([each for claim in claims for each in await _follows(connection, claim, handler, now)])


async def _follows(connection: Connection, claim: Claim, handler: Handler, now: datetime) -> Sequence[Encoded]:
    """Event by event where a few cannot be carried out together: one that fails does so alone. Of many the first failure is named."""
    found = await _carried_out(connection, claim, handler, now)
    if not isinstance(found, Exception):
        return found
    if not 1 < len(claim.events) <= _AT_MOST_ALONE:
        return [_failure(claim, found, now)]
    failures: list[Encoded] = []
    good: list[WorkflowEvent] = []
    for event in claim.events:
        alone = replace(claim, events=(event,))
        if isinstance(error := await _carried_out(connection, alone, handler, now), Exception):
            failures.append(_failure(alone, error, now))
        else:
            good.append(event)
    rest = await _carried_out(connection, replace(claim, events=tuple(good)), handler, now) if good else []
    return failures if isinstance(rest, Exception) else [*failures, *rest]


async def _carried_out(
    connection: Connection, claim: Claim, handler: Handler, now: datetime
) -> Sequence[Encoded] | Exception:
    """Return what would be published, or why it cannot be carried out: written as a worker does, and undone."""
    try:
        async with undone(connection):
            outcome = over_timers(handler.run(claim, await handler.prepare([claim])))
            superseding = await supersede(connection, [outcome], now=now, foreseen=True)
            return [*outcome.messages, *superseding, *await handler.write(connection, [outcome])]
    except RetryLater:
        return []
    except Exception as error:
        if is_away(error):
            raise
        return error


def _failure(claim: Claim, error: Exception, now: datetime) -> Encoded:
    event = error.event if isinstance(error, EventFails) else next(iter(claim.events), None)
    return workflow_crashed(claim, event, code="", error="", now=now)
