"""Events, handlers and workers for tests of the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from common.clock import SystemClock
from common.postgres import Connection, Database
from common.telemetry.metrics import new_registry
from orchestrator.engine.append import append_events
from orchestrator.engine.ingest import Ingest
from orchestrator.engine.model import Claim, Encoded, NewEvent, Outcome, WorkflowEvent
from orchestrator.engine.operate import RESUME, RETRY, STOP, operate
from orchestrator.engine.store import WorkflowStore
from orchestrator.engine.wakeup import WakeupListener
from orchestrator.engine.worker import Handler, Worker, WorkerLimits
from orchestrator.metrics import OrchestratorMetrics
from tests.support.servers import eventually


async def no_effects(_connection: Connection, _outcomes: Sequence[Outcome]) -> list[Encoded]:
    """Write nothing beside what the engine itself writes."""
    return []


class Nothing:
    """A handler that does nothing but move the cursor."""

    async def prepare(self, claims: Sequence[Claim]) -> None:
        """Nothing to read."""

    def run(self, claim: Claim, batch: None) -> Outcome:
        """Move the cursor."""
        return Outcome(claim=claim, upto=claim.upto)

    async def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> list[Encoded]:
        """Write nothing."""
        return []


def event_for(number: str, kind: str, name: str, *, event_type: str = "test") -> NewEvent:
    """Return an event for a workflow; ``name`` is its id."""
    event = WorkflowEvent(type=event_type, event_id=name, attributes={}, payload=b"{}", received_at=datetime.now(UTC))
    return NewEvent(order_number=number, kind=kind, event=event)


def worker_of(
    store: WorkflowStore,
    handlers: Mapping[str, Handler],
    *,
    owner: str = "worker",
    limits: WorkerLimits | None = None,
    metrics: OrchestratorMetrics | None = None,
    woken: list[str] | None = None,
    wakeup: WakeupListener | None = None,
) -> Worker:
    """Return a worker that wakes nobody; ``woken`` gets whom its commits would wake."""
    said = [] if woken is None else woken
    return Worker(
        store,
        handlers,
        owner=owner,
        wakeup=wakeup or WakeupListener(),
        metrics=metrics or OrchestratorMetrics(new_registry()),
        clock=SystemClock(),
        notify_workers=lambda: said.append("workers"),
        notify_relay=lambda: said.append("relay"),
        limits=limits or WorkerLimits(),
    )


def ingest_of(
    handler: Callable[[Connection], Handler], *, metrics: OrchestratorMetrics, woken: list[str] | None = None
) -> Ingest:
    """Return what takes events in and carries them out at once; ``woken`` gets whom its commits wake."""
    said = [] if woken is None else woken
    return Ingest(
        handler,
        metrics=metrics,
        clock=SystemClock(),
        notify_workers=lambda: said.append("workers"),
        notify_calls=lambda: said.append("calls"),
        notify_relay=lambda: said.append("relay"),
    )


async def append(database: Database, *events: NewEvent) -> None:
    """Append events in a transaction of their own."""
    async with database.transaction() as connection:
        await append_events(connection, events)


async def operate_on(database: Database, operation: str, workflow_id: int) -> None:
    """Do an operator's operation (stop, resume or retry) in a transaction of its own."""
    named: dict[str, Any] = {each.name: each for each in (STOP, RESUME, RETRY)}
    async with database.transaction() as connection:
        await operate(connection, workflow_id, named[operation])


_ORDER = """
INSERT INTO orders (number, source, external_id, status, aggregate_state, closed, shipped, paid, revision, zone, tariff, currency, document)
VALUES ($1, $2, $1, $3, $4, false, false, false, 1, 'z', 't', 'RUB', $5)
"""


async def write_orders(
    database: Any,
    *numbers: str,
    state: str,
    source: str = "sbermarket",
    status: str = "delivered",
    document: Any = None,
) -> None:
    """Write orders as they lie in the database, without their hooks and workflows. ``state`` is the aggregate state."""
    for number in numbers:
        await database.execute(_ORDER, number, source, status, state, document or {})


async def all_taken(database: Any, hooks: int) -> None:
    """Wait until so many hooks were taken in, and nothing is left to be carried on with: not even what is tried again in a moment."""
    # The clock and not ``now()``, which stands before the snapshot: an intake that began and committed between both would go unseen.

    async def quiet() -> bool:
        row = await database.fetchrow(
            "SELECT (SELECT count(*)::int FROM workflow_event WHERE attributes ? 'body_form' AND NOT attributes ? 'mend_of'),"
            " (SELECT count(*)::int FROM workflow_ready WHERE ready_at <= clock_timestamp() OR attempts > 0)"
        )
        assert tuple(row) == (hooks, 0)
        return True

    await eventually(quiet, what=f"{hooks} hooks carried out")
