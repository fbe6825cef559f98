"""What pickers, store and people on call are told by an order's life: named before it is carried out, by the code that carries it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from common.clock import Clock
from common.contracts.envelope import Envelope
from common.contracts.notices import notices_of
from common.contracts.orders import OrderDifference
from common.messaging import topology
from common.postgres import Connection, Lent, undone
from orchestrator.engine.append import append_events
from orchestrator.engine.foresee import foresee
from orchestrator.engine.model import ORDER_LIFE, Claim, WorkflowEvent
from orchestrator.engine.skip import EventEffect
from orchestrator.engine.store import is_away
from orchestrator.orders.fold import differ
from orchestrator.orders.hooks import to_workflow_event
from orchestrator.orders.life import OrderBatch, OrderLife, Placement
from orchestrator.orders.messages import ACTS, WORDS, in_words, names_of, public_difference
from orchestrator.orders.model import OrderFact, OrderState, compare
from orchestrator.orders.store import OrderStore, StoredOrder
from orchestrator.orders.transitions import CHANGING

_LIFE = "SELECT id FROM workflow WHERE order_number = $1 AND kind = $2 AND key = ''"


class ForetellLife:
    """Says what follows in the life of an order. ``clock`` is the worker's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def __call__(self, connection: Connection, workflow_id: int) -> Sequence[str]:
        """Return the notices that follow once what waits in an ``order_life`` is carried out, in the caller's transaction."""
        return await foresee(connection, workflow_id, self._life(connection), now=self._clock.now())

    async def of_letter(self, connection: Connection, queue: str, event: Envelope) -> Sequence[str]:
        """Return the notices that follow from an event that goes to one of this service's queues again: only hooks tell anybody."""
        if queue != topology.ORCHESTRATOR_INTAKE.name:
            return ()
        try:
            hook = to_workflow_event(event)
            async with undone(connection):
                await append_events(connection, [hook])
                return await self(connection, await connection.fetchval(_LIFE, hook.order_number, ORDER_LIFE))
        except Exception as error:
            if is_away(error):
                raise
            return ()  # it dies again

    async def effect(self, connection: Connection, claim: Claim) -> tuple[EventEffect, Mapping[str, str]] | None:
        """Return what the one event of a claim does to its order as that stands, and what of it may be kept.

        Of an event that comes late it is what the order comes out with, whatever was said since; of one that the order does not take any
        more, what it would have changed. None where it cannot be told.
        """
        life = self._life(connection)
        try:
            async with undone(connection):
                batch = await life.prepare([claim])
            folded = life.fold(claim, batch)
        except Exception as error:
            if is_away(error):
                raise
            return None
        (event,) = claim.events
        taken = next((each for each in folded.new if each.fact.event_id == event.event_id), None) if folded else None
        if folded is None or taken is None:
            return None
        stored, difference = batch.stored.get(claim.order_number), taken.difference
        after, currency = folded.after, taken.fact.currency or "RUB"
        if after is not None:
            currency = after.currency
            if stored is None:
                difference = compare((), after.lines)
            elif folded.late and taken.act in CHANGING:
                difference = differ(stored.state, after)
        shown = OrderDifference.model_validate(public_difference(difference, () if after is None else names_of(after)))
        effect = EventEffect(summary=ACTS[taken.act], currency=currency, difference=shown)
        said = in_words(difference, currency)
        said |= dict.fromkeys(WORDS & said.keys(), "changed")  # a record is never erased
        return effect, {"summary": effect.summary, **said}

    def of_event(
        self, connection: Connection, state: OrderState, event: WorkflowEvent, fact: OrderFact
    ) -> Sequence[str]:
        """Return the notices of one event, newer than all that the state knows."""
        claim = Claim(
            workflow_id=0,
            order_number=state.number,
            kind=ORDER_LIFE,
            key="",
            done_seq=1,
            fence=0,
            attempts=0,
            events=(replace(event, seq=2, traceparent=None),),
        )
        stored = StoredOrder(state=state, revision=1, tips_revision=0)
        batch = OrderBatch(stored={state.number: stored}, facts={0: [fact]}, past={})
        return notices_of(self._life(connection).run(claim, batch).messages)

    def _life(self, connection: Connection) -> OrderLife:
        # Zone and tariff decide what is told by nothing.
        return OrderLife(
            OrderStore(Lent(connection)), self._clock, Placement(zones_by_store={}, tariffs_by_shipment={})
        )
