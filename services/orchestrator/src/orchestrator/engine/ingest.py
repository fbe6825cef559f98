"""Takes events in and carries them out in the same transaction, where nobody else has to do with their workflow.

Guarantees: those of a worker (engine.worker). Either an event is appended and has taken effect, or it is appended and a worker carries it
out, or the transaction is rolled back. Nobody judges here: an event that cannot be carried out is left to the workers, who try again,
narrow down and set aside. What raises, or kills its process, comes again and has to be only appended then (``Consumer(careful=…)``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from common.clock import Clock
from common.postgres import Connection
from common.telemetry import get_logger
from orchestrator.engine.append import append_events
from orchestrator.engine.ingest_store import Appended, append_locked, complete_locked, make_ready
from orchestrator.engine.model import NewEvent, Outcome
from orchestrator.engine.report import report_completed
from orchestrator.engine.store import write_all
from orchestrator.engine.worker import Handler
from orchestrator.metrics import OrchestratorMetrics

_log = get_logger()


class Ingest:
    """For events of one kind of workflow, whose handler asks no other service. Safe for concurrent use.

    ``handler`` returns the handler that reads on a given connection. ``notify_workers`` is called after a commit that leaves events to
    them, ``notify_calls`` after one that appends to other workflows, ``notify_relay`` after any other.
    """

    def __init__(
        self,
        handler: Callable[[Connection], Handler],
        *,
        metrics: OrchestratorMetrics,
        clock: Clock,
        notify_workers: Callable[[], None],
        notify_calls: Callable[[], None],
        notify_relay: Callable[[], None],
    ) -> None:
        self._handler = handler
        self._metrics = metrics
        self._clock = clock
        self._notify_workers = notify_workers
        self._notify_calls = notify_calls
        self._notify_relay = notify_relay

    async def __call__(self, connection: Connection, events: Sequence[NewEvent]) -> Callable[[], None]:
        """Append events, at least one, in the caller's transaction and carry them out; return what to call after its commit."""
        appended = await append_locked(connection, events)
        outcomes = await self._carry_out(connection, appended) if appended.free else []
        done = {outcome.claim.workflow_id for outcome in outcomes}
        left = {each: cursor for each, cursor in appended.cursors.items() if each not in done}
        await make_ready(connection, left)
        if outcomes:
            await write_all(connection, outcomes, self._handler(connection).write)
        return partial(self._committed, outcomes, left=bool(left))

    async def append(self, connection: Connection, events: Sequence[NewEvent]) -> Callable[[], None]:
        """Append events and leave them to the workers: one of them may be what killed the process that had them before."""
        await append_events(connection, events)
        return self._notify_workers

    async def _carry_out(self, connection: Connection, appended: Appended) -> list[Outcome]:
        """Return the outcomes that were accepted: they are to be written."""
        handler = self._handler(connection)
        batch = await handler.prepare(appended.free)
        outcomes: list[Outcome] = []
        for claim in appended.free:
            try:
                outcomes.append(handler.run(claim, batch))
            except Exception as error:  # noqa: BLE001 - a worker finds out which event it is, and keeps the error with it
                _log.info("ingest_left_to_worker", workflow_id=claim.workflow_id, reason=type(error).__name__)
        return await complete_locked(connection, outcomes)

    def _committed(self, outcomes: Sequence[Outcome], *, left: bool) -> None:
        if left:
            self._notify_workers()
        elif any(outcome.appends for outcome in outcomes):
            self._notify_calls()
        else:
            self._notify_relay()
        self._metrics.claimed.inc(len(outcomes))
        report_completed(self._metrics, outcomes, now=self._clock.now())
