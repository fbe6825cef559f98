"""Whatever the order, the batches and the repeats in which an order's events arrive, state, stock and money end the same."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from common.contracts import MESSAGES
from common.contracts.envelope import Envelope
from orchestrator.engine.model import ORDER_LIFE, Claim, WorkflowEvent
from orchestrator.orders.fold import fold
from orchestrator.orders.hooks import to_fact
from orchestrator.orders.life import OrderLife, Placement
from orchestrator.orders.model import HookType, OrderState
from orchestrator.orders.store import OrderChange, OrderStore, StoredOrder, decode_state, encode_state
from tests.support.clocks import ManualClock

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
NUMBER = "7Q3M0V9XK2TDW8RC"
# `make test` tries this many; INTERLEAVINGS=10000 HYPOTHESIS_PROFILE=search looks further.
INTERLEAVINGS = int(os.environ.get("INTERLEAVINGS", "300"))

quantities = st.sampled_from(["1", "2", "0.5", "3"])
prices = st.sampled_from(["10.00", "20.00", "35.50"])
positions = st.lists(
    st.builds(
        lambda identifier, quantity, price: {"id": identifier, "quantity": quantity, "price": price},
        st.sampled_from(["a", "b", "c"]),
        quantities,
        prices,
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda item: item["id"],
)


@st.composite
def hooks(draw: st.DrawFn) -> list[WorkflowEvent]:
    """Different events of one order, each with a moment of its own, in any order, some of them twice."""
    kinds = draw(st.lists(st.sampled_from(list(HookType)[1:]), max_size=6))
    names = [HookType.CREATED, *kinds] if draw(st.integers(0, 9)) else kinds
    minutes = draw(st.permutations(range(len(names))))
    events = []
    for name, minute in zip(names, minutes, strict=True):
        payload: dict[str, Any] = {"storeID": "17", "payment": {"id": "p"}} if name is HookType.CREATED else {}
        if name in {HookType.CREATED, HookType.CHANGED, HookType.PAID}:
            payload["positions"] = draw(positions)
        events.append(hook_event(name, minute, payload))
    repeats = draw(st.lists(st.sampled_from(events), max_size=3)) if events else []
    return list(draw(st.permutations([*events, *repeats])))


def hook_event(name: HookType, minute: int, payload: dict[str, Any]) -> WorkflowEvent:
    return WorkflowEvent(
        seq=0,
        type=name.value,
        event_id=f"{name}@{minute}",
        attributes={
            "source": "sm",
            "external_id": "H1",
            "body_form": "payload",
            "sent_at": (START + timedelta(minutes=minute)).isoformat(),
            "digest": f"{name}{json.dumps(payload, sort_keys=True)}",
        },
        payload=json.dumps(payload).encode(),
        traceparent=None,
        received_at=START,
    )


def finished(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waited")


@dataclass
class World:
    """What is outside the handler: the order's row, its events, and everything it was told."""

    events: list[WorkflowEvent] = field(default_factory=list)
    stored: StoredOrder | None = None
    stock: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    announced: list[Envelope] = field(default_factory=list)

    async def orders(self, numbers: Sequence[str]) -> dict[str, StoredOrder]:
        return {} if self.stored is None else dict.fromkeys(numbers, self.stored)

    async def events_upto(self, upto: Mapping[int, int]) -> dict[int, list[WorkflowEvent]]:
        return {key: self.events[:last] for key, last in upto.items()}

    def carry_out(self, batch: Sequence[WorkflowEvent]) -> None:
        """Let a batch of events arrive and be carried out, as the engine would."""
        done = len(self.events)
        new = [replace(event, seq=done + place) for place, event in enumerate(batch, 1)]
        self.events += new
        claim = Claim(
            workflow_id=1,
            order_number=NUMBER,
            kind=ORDER_LIFE,
            key="",
            done_seq=done,
            fence=1,
            attempts=0,
            events=tuple(new),
        )
        life = OrderLife(Reader(self), ManualClock(START), Placement(zones_by_store={}, tariffs_by_shipment={}))
        outcome = life.run(claim, finished(life.prepare([claim])))
        change = outcome.effect
        if isinstance(change, OrderChange):
            # Through the document, as the database does.
            state = decode_state(json.loads(json.dumps(encode_state(change.state))))
            assert state == change.state
            self.stored = StoredOrder(state=state, revision=change.revision, tips_revision=0)
            for entry in change.stock:
                key = (entry.store_id, entry.position_id)
                self.stock[key] = self.stock.get(key, Decimal(0)) + entry.quantity
        for kind, body in outcome.messages:
            envelope = Envelope.decode(body)
            MESSAGES[kind].model_validate(envelope.data)
            assert envelope.id not in {item.id for item in self.announced}, "whoever is told would take it for a repeat"
            self.announced.append(envelope)

    @property
    def open_problems(self) -> set[str]:
        """Fingerprints that were raised and not resolved."""
        found: set[str] = set()
        for envelope in self.announced:
            fingerprint = (envelope.data or {}).get("fingerprint", "")
            if envelope.type == "alerts.problem.raised.v1":
                found.add(fingerprint)
            elif envelope.type == "alerts.problem.resolved.v1":
                found.discard(fingerprint)
        return found

    @property
    def refunds(self) -> int:
        """How often a refund was asked for."""
        return sum(1 for envelope in self.announced if envelope.type == "orders.refund.wanted.v1")


class Reader(OrderStore):
    """What the handler reads of the world, in memory."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def orders(self, numbers: Sequence[str]) -> dict[str, StoredOrder]:
        return await self.world.orders(numbers)

    async def events(
        self, upto: Mapping[int, int], *, partly: Collection[int] = ()
    ) -> dict[int, list[WorkflowEvent] | None]:
        return dict(await self.world.events_upto(upto))


def substance(state: OrderState | None) -> OrderState | None:
    """The state without the place of arrival, which is what differs between interleavings."""
    if state is None:
        return None
    return replace(state, last=replace(state.last, arrival=0), repeats=tuple(sorted(state.repeats)))


def reference(events: Sequence[WorkflowEvent]) -> OrderState | None:
    """The fold of everything at once."""
    steps = fold(NUMBER, [to_fact(event) for event in events])
    return steps[-1].after if steps else None


@settings(max_examples=INTERLEAVINGS, deadline=None)
@given(arrivals=hooks(), data=st.data())
def test_any_interleaving_any_batches_any_repeats_end_the_same(
    arrivals: list[WorkflowEvent], data: st.DataObject
) -> None:
    expected = substance(reference(arrivals))
    world = World()
    rest = list(arrivals)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        world.carry_out(rest[:size])
        rest = rest[size:]
    state = None if world.stored is None else world.stored.state
    assert substance(state) == expected
    written_off = {} if expected is None else {(e.store_id, e.position_id): -e.quantity for e in expected.written_off}
    assert {key: amount for key, amount in world.stock.items() if amount} == written_off
    assert world.refunds == (1 if expected is not None and expected.refund_due else 0)
    incidents = () if expected is None else expected.incidents
    assert world.open_problems == {f"order:{NUMBER}:{item.identity}" for item in incidents}


@settings(max_examples=100, deadline=None)
@given(arrivals=hooks())
def test_versions_grow_with_every_event_that_is_announced(arrivals: list[WorkflowEvent]) -> None:
    world = World()
    for event in arrivals:
        world.carry_out([event])
    orders = [envelope.data["order"] for envelope in world.announced if envelope.data and "order" in envelope.data]
    versions = [order["version"] for order in orders]
    assert versions == sorted(set(versions))
