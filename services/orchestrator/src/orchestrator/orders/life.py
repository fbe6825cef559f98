"""The workflow that carries an order through its life: fold the new events, write what follows.

```
hooks → facts → added to what is known, or everything folded (anew) → decisions → messages, timeline, goods, other workflows
```

One transaction a batch: order row, goods, timeline, outbox, the workflow's cursor. Running it twice is safe: the same follows from the same
events, and only the holder of the fence, or of the workflow's lock, can write it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from common.clock import Clock
from common.errors import Conflict
from common.postgres import Connection
from common.telemetry import follow
from orchestrator.engine.model import (
    Claim,
    Encoded,
    Outcome,
    StepLog,
    TimelineEntry,
    WorkflowEvent,
    WorkflowState,
    effects_of,
)
from orchestrator.engine.worker import EventFails
from orchestrator.orders import messages
from orchestrator.orders.contacts import ContactKeys, contacts_of, write_contacts
from orchestrator.orders.decisions import Decisions, decide
from orchestrator.orders.fold import Step, fold, is_next, step
from orchestrator.orders.followers import follower_events
from orchestrator.orders.hooks import UnreadableHook, read_all, read_facts, to_fact
from orchestrator.orders.model import HookType, OrderFact, OrderState, Status, evolve
from orchestrator.orders.store import OrderChange, OrderStore, Parked, StoredOrder, park, unpark, write_orders

OTHER = "other"
_ENDED = frozenset({Status.DELIVERED, Status.CANCELLED})


class HistoryPruned(Conflict):
    """A late event asks for events that retention has deleted: the order cannot be worked out again by a machine."""

    code = "history_pruned"


class HistoryUnreadable(Conflict):
    """A late event asks for an event that took effect once and cannot be read any more: the order stays as it was worked out then."""

    code = "history_unreadable"


class Placement:
    """Zone and tariff of an order: as ``created`` said, else by store and shipment method, else ``other``."""

    def __init__(self, *, zones_by_store: Mapping[str, str], tariffs_by_shipment: Mapping[str, str]) -> None:
        self._zones = zones_by_store
        self._tariffs = tariffs_by_shipment

    def of(self, state: OrderState) -> tuple[str, str]:
        """Return (zone, tariff)."""
        zone = state.zone or self._zones.get(state.store_id or "", OTHER)
        tariff = state.tariff or self._tariffs.get(state.shipment_method or "", OTHER)
        return zone, tariff


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBatch:
    """What ``prepare`` read: orders by number; by workflow its new facts in order (or why they cannot be read), and, where they
    cannot simply be added, all events that took effect before.
    """

    stored: Mapping[str, StoredOrder]
    facts: Mapping[int, list[OrderFact] | Exception]
    past: Mapping[int, list[WorkflowEvent]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """Events folded in: the state that follows, one step for each event that is new to the world, and what is to be done.

    ``after`` None: the order is parked. ``late``: an older event changed the story. ``events`` are those that the steps came from.
    """

    after: OrderState | None
    new: Sequence[Step]
    decisions: Decisions
    events: Sequence[WorkflowEvent]
    late: bool = False


@dataclass(frozen=True, slots=True)
class OrderLife:
    """The handler of the workflow kind ``order_life``."""

    store: OrderStore
    clock: Clock
    placement: Placement

    async def prepare(self, claims: Sequence[Claim]) -> OrderBatch:
        """Read everything that the claims need, set by set, never one by one."""
        stored = await self.store.orders([claim.order_number for claim in claims])
        facts: dict[int, list[OrderFact] | Exception] = {}
        past: dict[int, list[WorkflowEvent]] = {}
        late: dict[int, int] = {}
        for claim in claims:
            try:
                known = stored.get(claim.order_number)
                new = read_all(claim.events, None if known is None else known.state.currency)
            except Exception as error:  # noqa: BLE001 - one unreadable order fails alone, in `run`
                facts[claim.workflow_id] = error
                continue
            facts[claim.workflow_id] = new
            if not new or (_in_order(known, claim, new[0]) and _reprocessed(claim) is None):
                continue
            if claim.done_seq == 0:
                past[claim.workflow_id] = []
            else:
                late[claim.workflow_id] = claim.done_seq
        if late:
            # An order that was given up before it was created may come to life without what came for it before.
            given_up = {claim.workflow_id for claim in claims if claim.order_number not in stored}
            for workflow_id, events in (await self.store.events(late, partly=given_up)).items():
                if events is not None:
                    past[workflow_id] = events
                    continue
                known = next(stored.get(claim.order_number) for claim in claims if claim.workflow_id == workflow_id)
                facts[workflow_id] = _without_history(facts[workflow_id], known)
        return OrderBatch(stored=stored, facts=facts, past=past)

    def fold(self, claim: Claim, batch: OrderBatch) -> Folded | None:
        """Fold one claim's events in; None: there are none. Raises ``UnreadableHook``, ``HistoryPruned``, ``HistoryUnreadable``."""
        new = batch.facts[claim.workflow_id]
        if isinstance(new, Exception):
            raise new
        stored, past = batch.stored.get(claim.order_number), batch.past.get(claim.workflow_id)
        if not new:
            return None
        if past is None:
            return _add(claim, stored, new)
        return _fold_first(claim, past) if stored is None else _refold(claim, stored, past)

    def run(self, claim: Claim, batch: OrderBatch) -> Outcome:
        """Return what follows from one claim's events. Raises what ``fold`` does."""
        stored, folded = batch.stored.get(claim.order_number), self.fold(claim, batch)
        if folded is None:
            return Outcome(claim=claim, upto=claim.upto, state=_state_of(None if stored is None else stored.state))
        outcome, places = self._outcome(claim, stored, folded), _places(claim, _takes_place)
        of_the_time = _places(claim, _has_the_time)
        return replace(outcome, superseded=places, superseded_if_unreadable=of_the_time) if claim.failed else outcome

    async def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> list[Encoded]:
        """Write orders and goods; note who is parked and who is no longer."""
        effects = {claim.workflow_id: effect for claim, effect in effects_of(outcomes, OrderChange, Parked)}
        changes = {key: effect for key, effect in effects.items() if isinstance(effect, OrderChange)}
        parked = {key: effect for key, effect in effects.items() if isinstance(effect, Parked)}
        await write_orders(connection, list(changes.values()))
        await park(connection, parked)
        contacts = [*(each.contacts for each in changes.values()), *(each.contacts for each in parked.values())]
        await write_contacts(connection, [keys for found in contacts for keys in found])
        return await unpark(
            connection,
            {workflow_id: change.unparked for workflow_id, change in changes.items() if change.unparked is not None},
        )

    def _outcome(self, claim: Claim, stored: StoredOrder | None, folded: Folded) -> Outcome:
        now, after = self.clock.now(), folded.after
        traces, logs, timeline = _trace(claim, folded, now)
        if after is None:
            first = folded.new[0].fact if folded.new else to_fact(folded.events[0])
            contacts = contacts_of(claim.order_number, folded.new)
            parked = Parked(order_number=claim.order_number, source=first.source, hook=first.hook, contacts=contacts)
            return Outcome(claim=claim, upto=claim.upto, effect=parked, timeline=timeline, steps=logs)
        decisions = folded.decisions
        latest = list(traces.values())[-1] if traces else None
        timeline += [
            messages.correction_entry(item, now=now, traceparent=traces.get(item.fact.event_id, latest))
            for item in decisions.announcements
            if item.correction
        ]
        if decisions.refund:
            timeline.append(messages.refund_entry(after, now=now, traceparent=latest))
        before = None if stored is None else stored.state
        change = self._change(claim, stored, after, decisions, contacts_of(claim.order_number, folded.new), now)
        return Outcome(
            claim=claim,
            upto=claim.upto,
            state=_state_of(after),
            effect=change,
            timeline=timeline,
            messages=_messages(claim, stored, change, decisions, traces, now),
            appends=follower_events(
                before, after, refund=decisions.refund, seq=claim.upto, now=now, traceparent=latest
            ),
            steps=logs,
        )

    def _change(
        self,
        claim: Claim,
        stored: StoredOrder | None,
        after: OrderState,
        decisions: Decisions,
        contacts: Sequence[ContactKeys],
        now: datetime,
    ) -> OrderChange:
        """Return the order's new row. Its revision grows with each announcement, or by one when it changed and nothing is announced."""
        zone, tariff = self.placement.of(after)
        revision = 0 if stored is None else stored.revision
        if decisions.announcements:
            revision += len(decisions.announcements)
        elif stored is None or _differ(stored.state, after):
            revision += 1
        was_parked = stored is None and claim.done_seq > 0
        return OrderChange(
            state=after,
            revision=revision,
            zone=zone,
            tariff=tariff,
            stock=decisions.stock,
            corrects_stock=stored is not None and bool(stored.state.written_off),
            unparked=messages.created_after_all(claim.order_number, now=now) if was_parked else None,
            contacts=contacts,
        )


def _add(claim: Claim, stored: StoredOrder | None, new: Sequence[OrderFact]) -> Folded:
    """The new events are newer than all that is known: add them one after another."""
    before = state = None if stored is None else stored.state
    steps: list[Step] = []
    for fact in new:
        steps.append(step(claim.order_number, state, fact))
        state = steps[-1].after
    return Folded(after=state, new=steps, decisions=decide(before, steps), events=claim.events)


def _fold_first(claim: Claim, past: Sequence[WorkflowEvent]) -> Folded:
    """The order is not known yet, and the events did not come in order: fold all of them. Everything is new to the world."""
    before, new = _read_with(claim, past, took_effect=False)
    steps = fold(claim.order_number, [*before, *new])
    return Folded(after=steps[-1].after, new=steps, decisions=decide(None, steps), events=[*past, *claim.events])


def _refold(claim: Claim, stored: StoredOrder, past: Sequence[WorkflowEvent]) -> Folded:
    """An older event came late, or a person has a past one carried out again: fold everything anew, and correct what was announced."""
    before, new = _read_with(claim, past, took_effect=True)
    steps = fold(claim.order_number, [*before, *new])
    fresh = frozenset(fact.event_id for fact in new) - {fact.event_id for fact in before}
    copy = _reprocessed(claim)
    # A copy counts under an id of its own: what it corrects is announced even if the original's correction was.
    again = (
        None
        if copy is None
        else replace(to_fact(copy, stored.state.currency), event_id=f"{copy.event_id}:again:{copy.seq}")
    )
    return Folded(
        after=steps[-1].after,
        new=[taken for taken in steps if taken.fact.event_id in fresh],
        decisions=decide(stored.state, steps, fresh=fresh, again=again),
        events=[*past, *claim.events],
        late=True,
    )


def _read_with(
    claim: Claim, past: Sequence[WorkflowEvent], *, took_effect: bool
) -> tuple[list[OrderFact], list[OrderFact]]:
    """Read the earlier events and those of the claim.

    An earlier one that cannot be read (any more) fails itself while it was only parked (``EventFails``). If it took effect, what needs it
    fails (``HistoryUnreadable``): the order stays as it was worked out then.
    """
    facts: list[OrderFact] = []
    for event, fact in zip([*past, *claim.events], read_facts([*past, *claim.events]), strict=True):
        if not isinstance(fact, UnreadableHook):
            facts.append(fact)
        elif event in claim.events:
            raise fact
        elif took_effect:
            detail = (
                f"event {claim.workflow_id}-{event.seq} took effect once and cannot be read any more: {fact.detail}"
            )
            raise HistoryUnreadable(detail)
        else:
            raise EventFails(event, fact)
    return facts[: len(past)], facts[len(past) :]


def _places(claim: Claim, takes: Callable[[WorkflowEvent, WorkflowEvent], bool]) -> dict[int, int]:
    """Return the failed events whose place an event of this claim takes, with that one."""
    return {failed.seq: good.seq for failed in claim.failed for good in claim.events if takes(good, failed)}


def _takes_place(good: WorkflowEvent, failed: WorkflowEvent) -> bool:
    """Whether an event is the same hook again: ``created`` comes once an order; others are sent again, or say the same at the same time."""
    said, before = good.attributes, failed.attributes
    if good.type != failed.type:
        return False
    replayed = said.get("replay_of") is not None and said["replay_of"] == before.get("delivery_id")
    same = said.get("digest") is not None and said["digest"] == before.get("digest")
    return good.type == HookType.CREATED or replayed or (same and _has_the_time(good, failed))


def _has_the_time(good: WorkflowEvent, failed: WorkflowEvent) -> bool:
    """Whether both are of one moment. Two hooks of one second may say different things: what could be read keeps its place."""
    said = good.attributes.get("sent_at")
    return good.type == failed.type and said is not None and said == failed.attributes.get("sent_at")


def _without_history(new: Sequence[OrderFact] | Exception, stored: StoredOrder | None) -> list[OrderFact] | Exception:
    """What can still be done of late events whose order's earlier ones are gone: nothing, where each is the known creation again."""
    if isinstance(new, Exception):
        return new
    created = None if stored is None else stored.state.created_digest
    if created is not None and all(fact.hook is HookType.CREATED and fact.digest == created for fact in new):
        return []
    return HistoryPruned("the order's earlier events are no longer kept: skip it, or mend it as of now")


def _state_of(order: OrderState | None) -> WorkflowState:
    return WorkflowState.FINISHED if order is not None and order.status in _ENDED else WorkflowState.RUNNING


def _in_order(stored: StoredOrder | None, claim: Claim, first: OrderFact) -> bool:
    """Whether the new events, of which this is the first, can be added one after another to what is known."""
    if stored is None and claim.done_seq > 0:
        return False  # something is parked
    return is_next(None if stored is None else stored.state, first)


def _reprocessed(claim: Claim) -> WorkflowEvent | None:
    """Return the event, if there is one, by which a person has a past event carried out again: everything is folded anew then."""
    return next((event for event in reversed(claim.events) if "reprocess_of" in event.attributes), None)


def _trace(claim: Claim, folded: Folded, now: datetime) -> tuple[dict[str, str], list[StepLog], list[TimelineEntry]]:
    """Open a span for each new event in the trace that its hook began. Return traceparent by event id, log lines, timeline lines."""
    parents = {event.event_id: event.traceparent for event in folded.events}
    traces, logs, timeline = dict[str, str](), list[StepLog](), list[TimelineEntry]()
    for taken in folded.new:
        fact = taken.fact
        attributes = {"order.hook": fact.hook, "order.act": taken.act}
        traceparent, trace = follow("orders.event", parents.get(fact.event_id), attributes)
        traces[fact.event_id] = traceparent
        status = None if taken.after is None else taken.after.status
        logs.append(
            StepLog(
                trace_id=trace, hook=fact.hook, act=taken.act, status=status, source=fact.source, unread=fact.unread
            )
        )
        timeline += [messages.act_entry(taken, claim.order_number, late=folded.late, now=now, traceparent=traceparent)]
    return traces, logs, timeline


def _messages(
    claim: Claim,
    stored: StoredOrder | None,
    change: OrderChange,
    decisions: Decisions,
    traces: Mapping[str, str],
    now: datetime,
) -> list[Encoded]:
    """Encode what the decisions send, each in the trace of the event that caused it."""
    latest = list(traces.values())[-1] if traces else None
    version = 0 if stored is None else stored.revision + stored.tips_revision
    sent: list[Encoded] = []
    for item in decisions.announcements:
        version += 1
        trace = traces.get(item.fact.event_id, latest)
        sent.append(
            messages.announcement(
                item, version=version, zone=change.zone, tariff=change.tariff, now=now, traceparent=trace
            )
        )
    for incident in decisions.raised:
        trace = traces.get(incident.event_id, latest)
        sent.append(
            messages.problem_raised(
                incident, change.state, seq=claim.upto, zone=change.zone, now=now, traceparent=trace
            )
        )
    sent += [
        messages.problem_resolved(incident, change.state, seq=claim.upto, now=now, traceparent=latest)
        for incident in decisions.resolved
    ]
    if decisions.contact_found:
        sent.append(messages.contact_found(change.state, seq=claim.upto, now=now, traceparent=latest))
    if decisions.refund:
        sent.append(messages.refund_requested(change.state, now=now, traceparent=latest))
    return sent


def _differ(before: OrderState, after: OrderState) -> bool:
    """Whether the order itself changed, not only what is noted about its events."""
    return evolve(before, last=after.last, repeats=after.repeats, incidents=after.incidents) != after
