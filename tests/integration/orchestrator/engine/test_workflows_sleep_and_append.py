"""Timers and appended workflows: what sleeps wakes at its time or with an event; children come with their parent's step or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.postgres import Database
from orchestrator.engine.model import Claim, NewEvent, Outcome, WorkerPool, WorkflowState
from orchestrator.engine.store import WorkflowStore
from tests.integration.orchestrator.factories import append, event_for, no_effects, operate_on
from tests.support.servers import eventually

PARENT, CHILD = "order_life", "update_transactions"
LONG = timedelta(hours=1)


class Engine:
    """A store for each pool, and helpers around them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.stores = {pool: WorkflowStore(database, pool) for pool in WorkerPool}

    async def feed(self, *events: NewEvent) -> None:
        """Append events."""
        await append(self.database, *events)

    async def claim(self, pool: WorkerPool, owner: str = "me", limit: int = 50) -> list[Claim]:
        """Claim workflows of a pool."""
        return await self.stores[pool].claim(owner=owner, limit=limit, lease_seconds=30)

    async def complete(self, *outcomes: Outcome, owner: str = "me") -> set[int]:
        """Complete claims."""
        return await self.stores[WorkerPool.LIFE].complete(
            owner=owner, outcomes=outcomes, failures=[], write=no_effects
        )

    async def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read."""
        async with self.database.acquire() as connection:
            return [tuple(row) for row in await connection.fetch(query, *values)]

    async def operate(self, operation: str, workflow_id: int) -> None:
        """Do an operator's operation."""
        await operate_on(self.database, operation, workflow_id)

    async def asleep(self, number: str = "A") -> Claim:
        """Make a workflow that sleeps for an hour; return the claim that sent it to sleep."""
        await self.feed(event_for(number, CHILD, "begin"))
        (claim,) = await self.claim(WorkerPool.CALLS)
        await self.complete(Outcome(claim=claim, upto=claim.upto, wake_at=datetime.now(UTC) + LONG))
        assert await self.claim(WorkerPool.CALLS) == []
        return claim


@pytest.fixture
async def engine(dsn: str) -> AsyncIterator[Engine]:
    """An engine on a fresh database."""
    database = Database(dsn, application_name="test", max_size=10)
    await database.open()
    yield Engine(database)
    await database.close()


def ids(claims: Sequence[Claim]) -> list[list[str]]:
    return [[item.event_id for item in claim.events] for claim in claims]


async def test_each_pool_is_claimed_by_its_own_workers(engine: Engine) -> None:
    await engine.feed(event_for("A", PARENT, "1", event_type="order.created"), event_for("A", CHILD, "2"))
    assert ids(await engine.claim(WorkerPool.LIFE)) == [["1"]]
    assert ids(await engine.claim(WorkerPool.CALLS)) == [["2"]]
    async with engine.database.acquire() as connection:
        # The previous release's claim sees the life of orders only.
        await connection.execute("UPDATE workflow_ready SET owner = NULL, lease_until = NULL")
        found = await connection.fetch("SELECT kind FROM workflow_claim('old', 50, interval '30 s', 200)")
    assert [row["kind"] for row in found] == [PARENT]


@pytest.mark.parametrize("event_type", ["order.corrected", "anything else"])
async def test_the_previous_release_is_not_given_what_it_cannot_read(engine: Engine, event_type: str) -> None:
    await engine.feed(
        event_for("A", PARENT, "1", event_type="order.created"),
        event_for("A", PARENT, "2", event_type=event_type),
        event_for("B", PARENT, "3", event_type="order.created"),
    )
    claimed = await engine.rows("SELECT order_number, event_id FROM workflow_claim('old', 50, interval '30 s', 200)")
    assert claimed == [("B", "3")]
    assert ids(await engine.claim(WorkerPool.LIFE)) == [["1", "2"]]


async def test_a_timer_runs_its_workflow_again_with_no_event_and_once(engine: Engine) -> None:
    await engine.feed(event_for("A", CHILD, "begin"))
    (claim,) = await engine.claim(WorkerPool.CALLS)
    await engine.complete(Outcome(claim=claim, upto=1, wake_at=datetime.now(UTC) + timedelta(seconds=0.05)))

    async def woken() -> list[Claim]:
        return await engine.claim(WorkerPool.CALLS)

    (again,) = await eventually(woken)
    assert (again.events, again.done_seq, again.upto) == ((), 1, 1)
    await engine.complete(Outcome(claim=again, upto=1, state=WorkflowState.FINISHED))
    assert await engine.rows("SELECT state, done_seq FROM workflow") == [(3, 1)]
    assert await engine.rows("SELECT * FROM workflow_ready") == []


async def test_a_new_event_wakes_a_sleeper_and_a_timer_that_is_being_set_hides_none(engine: Engine) -> None:
    await engine.asleep("A")
    await engine.feed(event_for("A", CHILD, "spoken"))
    (claim,) = await engine.claim(WorkerPool.CALLS)
    # The next event comes while the timer is being set, from either side of its commit.
    later = datetime.now(UTC) + LONG
    await asyncio.gather(
        engine.feed(event_for("A", CHILD, "meanwhile")), engine.complete(Outcome(claim=claim, upto=2, wake_at=later))
    )
    assert ids(await engine.claim(WorkerPool.CALLS)) == [["meanwhile"]]


async def test_a_failure_s_delay_is_not_cut_short_by_an_event(engine: Engine) -> None:
    await engine.asleep("A")
    await engine.rows("UPDATE workflow_ready SET attempts = 1")
    await engine.feed(event_for("A", CHILD, "spoken"))
    assert await engine.claim(WorkerPool.CALLS) == []


async def test_a_stopped_sleeper_does_not_wake_and_a_resumed_one_looks_around_at_once(engine: Engine) -> None:
    claim = await engine.asleep("A")
    await engine.operate("stop", claim.workflow_id)
    assert await engine.rows("SELECT * FROM workflow_ready") == []
    await engine.operate("resume", claim.workflow_id)
    (resumed,) = await engine.claim(WorkerPool.CALLS)
    assert (resumed.workflow_id, resumed.events) == (claim.workflow_id, ())


async def test_children_come_with_the_step_that_begets_them_or_not_at_all(engine: Engine) -> None:
    await engine.feed(event_for("A", PARENT, "1"))
    (claim,) = await engine.claim(WorkerPool.LIFE)
    begets = Outcome(claim=claim, upto=1, appends=[event_for("A", CHILD, "child"), event_for("A", CHILD, "child too")])
    await engine.operate("stop", claim.workflow_id)
    assert await engine.complete(begets) == set()  # the lease is gone: no trace
    assert await engine.rows("SELECT kind FROM workflow") == [(PARENT,)]
    await engine.operate("resume", claim.workflow_id)
    (claim,) = await engine.claim(WorkerPool.LIFE)
    await engine.complete(Outcome(claim=claim, upto=1, appends=begets.appends))
    assert await engine.complete(Outcome(claim=claim, upto=1, appends=begets.appends)) == set()
    (child,) = await engine.claim(WorkerPool.CALLS)
    assert ids([child]) == [["child", "child too"]]
    # A child's end is told to the parent, which has been at rest and runs again.
    announced = [event_for("A", PARENT, "the child ended")]
    await engine.complete(Outcome(claim=child, upto=2, state=WorkflowState.FINISHED, appends=announced))
    assert ids(await engine.claim(WorkerPool.LIFE)) == [["the child ended"]]


async def test_parents_and_children_that_notify_each_other_never_lock_each_other_out(engine: Engine) -> None:
    numbers = [f"N{index:02}" for index in range(30)]
    both = [event_for(number, kind, "begin") for number in numbers for kind in (CHILD, PARENT)]
    await engine.feed(*both)

    async def work(pool: WorkerPool, other: str) -> None:
        for round_ in range(4):
            claims = await engine.claim(pool, owner=str(pool))
            outcomes = [
                Outcome(claim=c, upto=c.upto, appends=[event_for(c.order_number, other, f"{round_}")]) for c in claims
            ]
            assert await engine.complete(*reversed(outcomes), owner=str(pool)) == {c.workflow_id for c in claims}

    await asyncio.gather(work(WorkerPool.LIFE, CHILD), work(WorkerPool.CALLS, PARENT))
    gaps = await engine.rows(
        "SELECT w.id FROM workflow AS w WHERE last_seq <> (SELECT count(*) FROM workflow_event WHERE workflow_id = w.id)"
    )
    assert gaps == []
