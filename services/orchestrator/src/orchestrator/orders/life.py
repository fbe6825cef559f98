"""The workflow that carries an order through its life (M7): fold the new events, write what follows.

One transaction a batch: order row, stock movements, timeline, outbox, and the workflow's cursor. Running it twice is safe: what is
derived from the same events is the same, and only the holder of the fence can write it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from common.clock import Clock
from common.errors import Conflict
from common.telemetry import follow
from orchestrator.engine.model import (
    Claim,
    OrderReader,
    OrderRow,
    Outcome,
    Parked,
    StepLog,
    StoredOrder,
    WorkflowEvent,
    WorkflowState,
)
from orchestrator.orders import messages, stories
from orchestrator.orders import parked as park
from orchestrator.orders.children import tell_children
from orchestrator.orders.decisions import Decisions, decide
from orchestrator.orders.events import OrderFact
from orchestrator.orders.fold import Step, fold, is_next, step
from orchestrator.orders.hooks import to_fact
from orchestrator.orders.model import OrderState, Status, evolve

OTHER = "other"
_ENDED = frozenset({Status.DELIVERED, Status.CANCELLED})


class HistoryPruned(Conflict):
    """A late event asks for events that retention has deleted: the order cannot be worked out again by a machine."""

    code = "history_pruned"


class Placement:
    """Zone and tariff of an order: as ``created`` said, else by store and shipment method, else ``other`` (DECISIONS "Orders")."""

    def __init__(self, *, zones_by_store: Mapping[str, str], tariffs_by_shipment: Mapping[str, str]) -> None:
        self._zones = zones_by_store
        self._tariffs = tariffs_by_shipment

    def of(self, state: OrderState) -> tuple[str, str]:
        """Return (zone, tariff)."""
        zone = state.zone or self._zones.get(state.store_id or "", OTHER)
        tariff = state.tariff or self._tariffs.get(state.shipment_method or "", OTHER)
        return zone, tariff


class OrderLife:
    """The handler of the workflow kind ``order_life``."""

    def __init__(self, reader: OrderReader, clock: Clock, placement: Placement) -> None:
        self._reader = reader
        self._clock = clock
        self._placement = placement

    async def prepare(self, claims: Sequence[Claim]) -> OrderBatch:
        """Read everything that the claims need, set by set, never one by one."""
        stored = await self._reader.orders([claim.order_number for claim in claims])
        facts: dict[int, list[OrderFact] | Exception] = {}
        history: dict[int, list[WorkflowEvent]] = {}
        late: dict[int, int] = {}
        for claim in claims:
            try:
                new = sorted((to_fact(event) for event in claim.events), key=lambda fact: fact.key)
            except Exception as error:  # noqa: BLE001 - one unreadable order fails alone, in `run`
                facts[claim.workflow_id] = error
                continue
            facts[claim.workflow_id] = new
            if not new or (_in_order(stored.get(claim.order_number), claim, new[0]) and _again(claim) is None):
                continue
            if claim.done_seq == 0:
                history[claim.workflow_id] = list(claim.events)
            else:
                late[claim.workflow_id] = claim.upto
        if late:
            history.update(await self._reader.events(late))
            for workflow_id, upto in late.items():
                if len(history[workflow_id]) < upto:
                    facts[workflow_id] = HistoryPruned(
                        f"its events before {history[workflow_id][0].seq} are no longer kept"
                    )
        return OrderBatch(stored=stored, facts=facts, history=history)

    def run(self, claim: Claim, batch: OrderBatch) -> Outcome:
        """Return what follows from one claim's events. Raises ``UnreadableHook``; never waits."""
        new = batch.facts[claim.workflow_id]
        if isinstance(new, Exception):
            raise new
        stored = batch.stored.get(claim.order_number)
        before = None if stored is None else stored.state
        history = batch.history.get(claim.workflow_id)
        if history is None:
            steps = _append(claim.order_number, before, new)
            return self._outcome(claim, stored, steps, events=claim.events, fresh=None)
        steps = fold(claim.order_number, [to_fact(event) for event in history])
        if before is None:
            return self._outcome(claim, None, steps, events=history, fresh=None)
        known = frozenset(event.event_id for event in history if event.seq <= claim.done_seq)
        fresh = frozenset(fact.event_id for fact in new) - known
        return self._outcome(claim, stored, steps, events=history, fresh=fresh, again=_again(claim))

    def _outcome(
        self,
        claim: Claim,
        stored: StoredOrder | None,
        steps: Sequence[Step],
        *,
        events: Sequence[WorkflowEvent],
        fresh: frozenset[str] | None,
        again: WorkflowEvent | None = None,
    ) -> Outcome:
        outcome = Outcome(claim=claim, upto=claim.upto)
        if not steps:
            return outcome
        now = self._clock.now()
        new = [taken for taken in steps if fresh is None or taken.fact.event_id in fresh]
        traces = _trace(claim, new, events, late=fresh is not None, now=now, outcome=outcome)
        after = steps[-1].after
        if after is None:
            first = steps[0].fact
            outcome.parked = Parked(order_number=claim.order_number, source=first.source, hook=first.hook)
            return outcome
        before = None if stored is None else stored.state
        decisions = decide(before, steps, fresh=fresh, again=None if again is None else _as_new(again))
        self._carry_out(outcome, stored, after, decisions, traces, now)
        if before is None and claim.done_seq > 0:
            outcome.unparked = park.unparked(claim.order_number, now=now)
        outcome.state = WorkflowState.FINISHED if after.status in _ENDED else WorkflowState.RUNNING
        return outcome

    def _carry_out(
        self,
        outcome: Outcome,
        stored: StoredOrder | None,
        after: OrderState,
        decisions: Decisions,
        traces: Mapping[str, str],
        now: datetime,
    ) -> None:
        zone, tariff = self._placement.of(after)
        revision, tips_revision = (0, 0) if stored is None else (stored.revision, stored.tips_revision)
        seq = outcome.upto
        latest = list(traces.values())[-1] if traces else None
        for item in decisions.announcements:
            revision += 1
            trace = traces.get(item.fact.event_id, latest)
            outcome.events.append(
                messages.announcement(
                    item, version=revision + tips_revision, zone=zone, tariff=tariff, now=now, traceparent=trace
                )
            )
            if item.correction:
                outcome.timeline.append(stories.corrected(item, now=now, traceparent=trace))
        for incident in decisions.raised:
            trace = traces.get(incident.event_id, latest)
            outcome.events.append(
                messages.problem_raised(incident, after, seq=seq, zone=zone, now=now, traceparent=trace)
            )
        for incident in decisions.resolved:
            outcome.events.append(messages.problem_resolved(incident, after, seq=seq, now=now, traceparent=latest))
        if decisions.refund:
            outcome.events.append(messages.refund_wanted(after, now=now, traceparent=latest))
            outcome.timeline.append(stories.refund_wanted(after, now=now, traceparent=latest))
        outcome.appends += tell_children(
            None if stored is None else stored.state,
            after,
            refund=decisions.refund,
            seq=seq,
            now=now,
            traceparent=latest,
        )
        if not decisions.announcements and (stored is None or _differ(stored.state, after)):
            revision += 1
        outcome.order = OrderRow(state=after, revision=revision, zone=zone, tariff=tariff)
        outcome.stock = decisions.stock
        outcome.stock_corrects = stored is not None and bool(stored.state.written_off)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBatch:
    """What ``prepare`` read: orders by number; by workflow its new facts in order (or why they cannot be read), and, where they
    cannot simply be added, all events up to now.
    """

    stored: Mapping[str, StoredOrder]
    facts: Mapping[int, list[OrderFact] | Exception]
    history: Mapping[int, list[WorkflowEvent]]


def _in_order(stored: StoredOrder | None, claim: Claim, first: OrderFact) -> bool:
    """Whether the new events, of which this is the first, can be added one after another to what is known."""
    if stored is None and claim.done_seq > 0:
        return False  # something is parked
    return is_next(None if stored is None else stored.state, first)


def _again(claim: Claim) -> WorkflowEvent | None:
    """Return the event, if there is one, by which a person has a past event carried out again: everything is folded anew then."""
    return next((event for event in reversed(claim.events) if "reprocess_of" in event.attributes), None)


def _as_new(copy: WorkflowEvent) -> OrderFact:
    """Return the fact of a copy under an id of its own: what it corrects is told even if the original's correction was."""
    return replace(to_fact(copy), event_id=f"{copy.event_id}:again:{copy.seq}")


def _append(number: str, state: OrderState | None, new: Sequence[OrderFact]) -> list[Step]:
    steps: list[Step] = []
    for fact in new:
        taken = step(number, state, fact)
        state = taken.after
        steps.append(taken)
    return steps


def _trace(
    claim: Claim,
    new: Sequence[Step],
    events: Sequence[WorkflowEvent],
    *,
    late: bool,
    now: datetime,
    outcome: Outcome,
) -> dict[str, str]:
    """Open a span for each new event in the trace that its hook began; note it in the timeline. Return traceparent by event id."""
    parents = {event.event_id: event.traceparent for event in events}
    traces: dict[str, str] = {}
    for taken in new:
        fact, parent = taken.fact, parents.get(taken.fact.event_id)
        traceparent, trace = follow("orders.event", parent, {"order.hook": fact.hook, "order.act": taken.act})
        traces[fact.event_id] = traceparent
        status = None if taken.after is None else taken.after.status
        outcome.logs.append(StepLog(trace_id=trace, hook=fact.hook, act=taken.act, status=status))
        outcome.timeline.append(
            stories.transition(taken, claim.order_number, late=late, now=now, traceparent=traceparent)
        )
    return traces


def _differ(before: OrderState, after: OrderState) -> bool:
    """Whether the order itself changed, not only what is noted about its events."""
    return evolve(before, last=after.last, repeats=after.repeats, incidents=after.incidents) != after
