"""The workflow engine's worker: claims workflows, carries out their events in batches, completes them under their fence.

Guarantees: an event is carried out once, however many workers run, die or fall asleep; events of one workflow are carried out in
sequence. What fails is tried again with growing delays and, after ``max_attempts`` failures in a row or at once where trying again cannot
help, has failed for good. An event fails alone: which of several it is, is found by carrying out fewer of them; it is set aside until a
person acts, the events before and behind it take effect (docs/requirements.md#workflows-can-fail-or-be-stopped).
"""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from common.clock import Clock, full_jitter
from common.errors import SuiteError
from common.ids import derived_id
from common.postgres import Connection
from common.telemetry import get_logger, report_exception
from orchestrator.engine.harmless import harmless
from orchestrator.engine.model import ORDER_LIFE, TIMER, Claim, Encoded, Failure, Outcome, WorkflowEvent
from orchestrator.engine.report import report_completed
from orchestrator.engine.set_aside import supersede
from orchestrator.engine.store import WorkflowStore, is_away
from orchestrator.engine.wakeup import WakeupListener
from orchestrator.metrics import OrchestratorMetrics

_log = get_logger()
LEASE_LOST = "lease_lost"
"""The code of an event of which workers die."""
UNEXPECTED = "unexpected_error"
"""The code of an event on which a handler failed by a bug, its own or of what it uses."""
_DEATHS_AT_LEAST = 3  # the first blames a whole batch
_UNKNOWN_KIND_DELAY = 5.0  # another replica, of a newer release, may know it


class RetryLater(Exception):
    """Raised by a handler: not now, again in ``seconds``. No failure is counted, however often; ``detail`` is shown to operators."""

    def __init__(self, detail: str, *, seconds: float) -> None:
        super().__init__(detail)
        self.detail = detail
        self.seconds = seconds


class EventFails(Exception):
    """Raised by a handler: it is not the claim that fails but this earlier event, which has had no effect yet. It is set aside."""

    def __init__(self, event: WorkflowEvent, error: SuiteError) -> None:
        super().__init__(error.detail)
        self.event = event
        self.error = error


class Handler(Protocol):
    """Carries out the events of one kind of workflow. Every method may be called again for the same events.

    A claim without events is a timer that has run out, or a person who resumed a workflow.
    """

    async def prepare(self, claims: Sequence[Claim]) -> Any:
        """Read what the claims need, set by set; kinds of the pool of calls also ask other services here, many at a time.

        What goes wrong with one claim is kept for its ``run``; only the store's absence is raised.
        """
        ...

    def run(self, claim: Claim, batch: Any) -> Outcome:
        """Return what follows. Raising fails this claim alone: it is tried with fewer events, then its only event fails.

        A ``SuiteError`` that is not retryable fails for good at once.
        """
        ...

    async def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> Sequence[Encoded]:
        """Write the effects of outcomes that were accepted, in the transaction that accepted them; return more for the outbox."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """``lease_seconds`` must be far longer than a batch takes. Delays are in seconds, jittered, growing from ``retry_base``.

    Who had nothing to do waits ``linger_seconds`` more when there is something: a transaction for ten costs little more than one for one.
    """

    batch_size: int = 50
    lease_seconds: float = 30.0
    poll_seconds: float = 0.5
    linger_seconds: float = 0.0
    max_attempts: int = 5
    retry_base: float = 1.0
    retry_cap: float = 60.0


class Worker:
    """One worker; a process runs a few, and any number of processes share the work.

    ``owner`` is unique among all workers. After a commit that makes other workflows runnable ``notify_workers`` is called, after another
    that put something into the outbox ``notify_relay``, to publish it.
    """

    def __init__(
        self,
        store: WorkflowStore,
        handlers: Mapping[str, Handler],
        *,
        owner: str,
        wakeup: WakeupListener,
        metrics: OrchestratorMetrics,
        clock: Clock,
        notify_workers: Callable[[], None],
        notify_relay: Callable[[], None],
        limits: WorkerLimits,
    ) -> None:
        self._store = store
        self._handlers = handlers
        self._owner = owner
        self._wakeup = wakeup
        self._metrics = metrics
        self._clock = clock
        self._notify_workers = notify_workers
        self._notify_relay = notify_relay
        self._limits = limits
        self._stopping = False
        self._added = False

    async def run(self) -> None:
        """Work until ``stop``. To be supervised; survives the absence of the store."""
        poll = self._limits.poll_seconds
        interrupted = False
        while not self._stopping:
            try:
                if interrupted:
                    # A claim whose answer was lost is held by nobody who knows of it.
                    await self._store.release(owner=self._owner)
                    interrupted = False
                found = await self.work_once()
            except Exception as error:
                if not is_away(error):
                    raise
                _log.warning("engine_interrupted", reason=type(error).__name__)
                interrupted, found = True, 0
            if not found and not self._stopping:
                wait = poll * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, guards nothing
                await self._wakeup.wait(wait, linger=self._limits.linger_seconds)

    def stop(self) -> None:
        """Let ``run`` end, at once if it waits, else after the batch in hand."""
        self._stopping = True
        self._wakeup.notify()

    async def work_once(self) -> int:
        """Claim one batch and carry it out; return how many workflows were claimed."""
        limits = self._limits
        claims = await self._store.claim(owner=self._owner, limit=limits.batch_size, lease_seconds=limits.lease_seconds)
        if not claims:
            return 0
        until = time.monotonic() + limits.lease_seconds
        self._metrics.claimed.inc(len(claims))
        outcomes: list[Outcome] = []
        failures: list[Failure] = []
        trusted: list[Claim] = []
        for claim in claims:
            # What has failed before goes event by event: a worker that dies of one cannot say of which.
            suspect = claim.first(1) if claim.attempts else claim
            if claim.attempts < max(limits.max_attempts, _DEATHS_AT_LEAST):
                trusted.append(suspect)
            else:  # it is not even read again: that may be what kills
                place = "its lease ended without a result, every time"
                failures.append(self._give_up(suspect, self._first(suspect), LEASE_LOST, place, ""))
        for kind in sorted({claim.kind for claim in trusted}):
            await self._carry_out(kind, [claim for claim in trusted if claim.kind == kind], outcomes, failures)
        await self._complete(outcomes, failures, until=until)
        return len(claims)

    async def _carry_out(
        self, kind: str, claims: Sequence[Claim], outcomes: list[Outcome], failures: list[Failure]
    ) -> None:
        handler = self._handlers.get(kind)
        if handler is None:
            _log.error("workflow_kind_unknown", kind=kind, workflows=len(claims))
            failures += [self._later(claim, "unknown kind", _UNKNOWN_KIND_DELAY) for claim in claims]
            return
        try:
            batch = await handler.prepare(claims)
        except Exception as error:
            if is_away(error):
                raise
            if len(claims) == 1:
                await self._narrow(claims[0], error, outcomes, failures)
                return
            for claim in claims:
                await self._carry_out(kind, [claim], outcomes, failures)
            return
        failed: list[tuple[Claim, Exception]] = []
        for claim in claims:
            try:
                outcomes.append(over_timers(handler.run(claim, batch)))
            except RetryLater as later:
                failures.append(self._later(claim, later.detail, later.seconds))
            except Exception as error:  # noqa: BLE001 - it fails this workflow alone and is kept with it
                if is_away(error):
                    failures.append(self._later(claim, _place_of(error), self._limits.retry_base))
                else:
                    failed.append((claim, error))
        for claim, reason in failed:
            await self._narrow(claim, reason, outcomes, failures)

    async def _narrow(self, claim: Claim, error: Exception, outcomes: list[Outcome], failures: list[Failure]) -> None:
        """Carry out the first half of a claim that failed, until the event that fails is alone. The rest is claimed again."""
        if isinstance(error, EventFails):
            failures.append(self._give_up(claim, error.event, error.error.code, _place_of(error.error), ""))
        elif len(claim.events) > 1:
            half = claim.first(len(claim.events) // 2)
            await self._carry_out(claim.kind, [half], outcomes, failures)
        else:
            failures.append(self._failure(claim, error))

    async def _complete(self, outcomes: list[Outcome], failures: list[Failure], *, until: float) -> None:
        """Write a batch. Repeated while the store is away and the lease lasts: what was committed after all is refused then."""
        attempt = 0
        while True:
            self._added = attempt > 0  # what was written by an attempt whose answer was lost is published, too
            try:
                accepted = await self._store.complete(
                    owner=self._owner, outcomes=outcomes, failures=failures, write=self._write
                )
            except Exception as error:
                if is_away(error):
                    if time.monotonic() >= until:
                        _log.warning("engine_results_dropped", workflows=len(outcomes) + len(failures))
                        return
                    await asyncio.sleep(full_jitter(attempt, base=0.1, cap=2.0))
                    attempt += 1
                    continue
                if len(outcomes) + len(failures) == 1:
                    # What cannot be written fails, once; a failure that cannot be written is a mistake of ours.
                    if not outcomes:
                        raise
                    claim, outcomes, failures = outcomes[0].claim, [], []
                    await self._narrow(claim, error, outcomes, failures)
                    continue
                # One result that cannot be written harms none of its neighbours.
                for outcome in outcomes:
                    await self._complete([outcome], [], until=until)
                for failure in failures:
                    await self._complete([], [failure], until=until)
                return
            self._report(outcomes, failures, accepted)
            return

    async def _write(self, connection: Connection, outcomes: Sequence[Outcome]) -> list[Encoded]:
        """Have each kind's handler write the effects of its outcomes; return what they add to the outbox."""
        messages = await supersede(connection, outcomes, now=self._clock.now())
        for kind, handler in self._handlers.items():
            if own := [outcome for outcome in outcomes if outcome.claim.kind == kind]:
                messages += await handler.write(connection, own)
        self._added = self._added or bool(messages)
        return messages

    def _report(self, outcomes: Sequence[Outcome], failures: Sequence[Failure], accepted: set[int]) -> None:
        if any(outcome.appends for outcome in outcomes):
            self._notify_workers()
        elif self._added or any(item.messages for item in outcomes) or any(item.at for item in failures):
            self._notify_relay()
        taken = [outcome for outcome in outcomes if outcome.claim.workflow_id in accepted]
        report_completed(self._metrics, taken, now=self._clock.now())
        for failure in failures:
            if failure.counted and failure.claim.workflow_id in accepted:
                outcome_of = "crashed" if failure.retry_in is None else "retried"
                self._metrics.failures.labels(failure.claim.kind, outcome_of).inc()
        late = len(outcomes) + len(failures) - len(accepted)
        if late:
            self._metrics.refused.inc(late)
            _log.warning("engine_results_late", workflows=late)

    def _failure(self, claim: Claim, error: Exception) -> Failure:
        place = _place_of(error, claim)
        stack = "".join(traceback.format_tb(error.__traceback__)[-20:])
        permanent = isinstance(error, SuiteError) and not error.retryable
        _log.error(
            "workflow_failed",
            order_number=claim.order_number,
            workflow_id=claim.workflow_id,
            kind=claim.kind,
            attempt=claim.attempts + 1,
            error=place,
        )
        if permanent or claim.attempts + 1 >= self._limits.max_attempts:
            report_exception(error, workflow_id=claim.workflow_id, order_number=claim.order_number)
            code = error.code if isinstance(error, SuiteError) else UNEXPECTED
            return self._give_up(claim, self._first(claim), code, place, stack)
        delay = full_jitter(claim.attempts, base=self._limits.retry_base, cap=self._limits.retry_cap)
        return Failure(claim=claim, error=place, stack=stack, retry_in=0.1 * self._limits.retry_base + delay)

    def _later(self, claim: Claim, error: str, seconds: float) -> Failure:
        """Try again in so many seconds; it is nobody's failure and is not counted."""
        return Failure(claim=claim, error=error, stack="", retry_in=seconds, counted=False)

    def _give_up(self, claim: Claim, event: WorkflowEvent | None, code: str, error: str, stack: str) -> Failure:
        """Set the event aside; without one the workflow itself has crashed."""
        at = self._clock.now()
        return Failure(claim=claim, error=error, stack=stack, retry_in=None, code=code, event=event, at=at)

    def _first(self, claim: Claim) -> WorkflowEvent | None:
        """The event that a claim fails with. One without is a timer's, but for the life of an order, which has none."""
        if claim.events or claim.kind == ORDER_LIFE:
            return claim.events[0] if claim.events else None
        known = next((event for event in claim.failed if event.type == TIMER), None)
        return known or WorkflowEvent(
            type=TIMER,
            event_id=derived_id(TIMER, str(claim.workflow_id), str(claim.fence)),
            attributes={},
            payload=b"",
            received_at=self._clock.now(),
            seq=claim.done_seq + 1,
        )


def over_timers(outcome: Outcome) -> Outcome:
    """Whatever runs a workflow works out anew what its timer was for: a timer that failed before is over."""
    timers = {event.seq: outcome.cursor for event in outcome.claim.failed if event.type == TIMER}
    return replace(outcome, superseded={**outcome.superseded, **timers}) if timers else outcome


def _place_of(error: BaseException, claim: Claim | None = None) -> str:
    """Say what failed, where, and in which words: those of an error of ours, or what another's says of nobody in the claim's events."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "unknown place"
    said = (
        error.detail if isinstance(error, SuiteError) else harmless(str(error), () if claim is None else claim.events)
    )
    return f"{type(error).__name__} at {place} ({said})" if said else f"{type(error).__name__} at {place}"


async def free_leases(store: WorkflowStore, metrics: OrchestratorMetrics, notify: Callable[[], None]) -> None:
    """Give workflows whose worker died to another one. A job of every replica."""
    freed = await store.release_expired()
    if freed:
        metrics.expired.inc(freed)
        _log.warning("leases_expired", workflows=freed)
        notify()
