"""P2: what an event costs the orchestrator's own code, step by step, in processor time: no server is asked, nothing is written.

The hooks are those of `bench_engine.py`, whole lives in waves. What is left of an event's costs is the broker's and the database's
protocol. Processor time of one process hardly depends on who else uses the machine, so that this shows what a change of a few per cent
does, or another interpreter: a checkout whose `.venv` has that, as `BENCH_BASE`.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import TypeVar

import orjson

from common.clock import SystemClock
from common.contracts.envelope import Envelope
from common.postgres import Database
from orchestrator.engine.model import Claim, NewEvent, Outcome
from orchestrator.orders.hooks import event_id_of, read_all, to_workflow_event
from orchestrator.orders.life import OrderBatch, OrderLife, Placement
from orchestrator.orders.store import OrderChange, OrderStore, StoredOrder, decode_state, encode_state
from tests.bench.engine_rig import LIFE, waves
from tests.bench.figures import figure

ROUNDS = int(os.environ.get("BENCH_ROUNDS") or 9)
ORDERS = 400
Made = TypeVar("Made")


class Round:
    """One pass of all orders through their lives. ``us``: the microseconds an event that each step took."""

    def __init__(self) -> None:
        self.us: dict[str, float] = {}
        unread = OrderStore(Database("postgresql://nobody.invalid/none", application_name="bench"))
        self._life = OrderLife(unread, SystemClock(), Placement(zones_by_store={}, tariffs_by_shipment={}))

    def run(self, bodies: Sequence[bytes]) -> None:
        """Take the messages in, wave by wave, each on what the one before has made of the orders."""
        envelopes = self._timed("decode the envelope", lambda: [Envelope.decode(body) for body in bodies])
        self._timed("key of the inbox", lambda: [event_id_of(envelope) for envelope in envelopes])
        events = self._timed("make the workflow's event", lambda: [to_workflow_event(each) for each in envelopes])
        stored: dict[str, StoredOrder] = {}
        for wave in range(len(LIFE)):
            stored = self._wave(events[wave * ORDERS : (wave + 1) * ORDERS], stored, wave)

    def _wave(self, events: Sequence[NewEvent], stored: dict[str, StoredOrder], done: int) -> dict[str, StoredOrder]:
        claims = [claim_of(number, event, done) for number, event in enumerate(events)]
        currency = {number: order.state.currency for number, order in stored.items()}
        facts = self._timed(
            "read the hook",
            lambda: {each.workflow_id: read_all(each.events, currency.get(each.order_number)) for each in claims},
        )
        batch = OrderBatch(stored=stored, facts=dict(facts.items()), past={})
        outcomes = self._timed("decide and encode messages", lambda: [self._life.run(each, batch) for each in claims])
        changes = [change_of(outcome) for outcome in outcomes]
        documents = self._timed(
            "encode the order", lambda: [orjson.dumps(encode_state(each.state)) for each in changes]
        )
        return self._timed(
            "decode the order",
            lambda: {
                change.state.number: StoredOrder(
                    state=decode_state(orjson.loads(document)), revision=change.revision, tips_revision=0
                )
                for change, document in zip(changes, documents, strict=True)
            },
        )

    def _timed(self, step: str, work: Callable[[], Made]) -> Made:
        began = time.process_time()
        made = work()
        self.us[step] = self.us.get(step, 0.0) + (time.process_time() - began) / (ORDERS * len(LIFE)) * 1e6
        return made


def claim_of(workflow_id: int, event: NewEvent, done: int) -> Claim:
    """Return a workflow lent with its next event."""
    return Claim(
        workflow_id=workflow_id,
        order_number=event.order_number,
        kind=event.kind,
        key=event.key,
        done_seq=done,
        fence=0,
        attempts=0,
        events=(replace(event.event, seq=done + 1),),
    )


def change_of(outcome: Outcome) -> OrderChange:
    """Return the order that an outcome writes. ``TypeError`` when it writes none: an order of this load always comes on."""
    if not isinstance(outcome.effect, OrderChange):
        raise TypeError(f"{outcome.claim.order_number} did not change")
    return outcome.effect


def main() -> None:
    """Print each step's median, and their sum."""
    bodies = [hook.encode() for hook in waves(ORDERS, prefix="intake")]
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # as the services run
    rounds: list[dict[str, float]] = []
    for _ in range(ROUNDS):
        each = Round()
        each.run(bodies)
        rounds.append(each.us)
    figure(
        "P2",
        "own code for an event: processor time, µs",
        round(median(sum(steps.values()) for steps in rounds), 1),
        **{step: round(median(steps[step] for steps in rounds), 1) for step in rounds[0]},
    )


if __name__ == "__main__":
    main()
