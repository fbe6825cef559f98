"""The engine's guarantees: one owner at a time, late results refused, crashes counted, stopped workflows left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from common.contracts import MESSAGES
from common.contracts.envelope import Envelope
from common.errors import Conflict, Unavailable
from common.postgres import Connection, Database
from common.telemetry.metrics import new_registry
from orchestrator.engine.model import Claim, Encoded, Failure, Outcome, TimelineEntry, WorkerPool, WorkflowState
from orchestrator.engine.store import WorkflowStore
from orchestrator.engine.views import shown_state
from orchestrator.engine.worker import RetryLater, Worker, WorkerLimits
from orchestrator.metrics import OrchestratorMetrics
from tests.integration.orchestrator.factories import append, event_for, no_effects, operate_on, worker_of
from tests.support.servers import eventually

KIND = "order_life"
LIMITS = WorkerLimits(
    batch_size=50, lease_seconds=30, poll_seconds=0.05, max_attempts=3, retry_base=0.01, retry_cap=0.02
)


class Recorder:
    """A handler that notes what it carries out, in the timeline, and fails where it is told to."""

    def __init__(self, failing: Callable[[Claim], Exception | None] = lambda _claim: None) -> None:
        self.failing = failing

    async def prepare(self, claims: Sequence[Claim]) -> None:
        """Nothing to read."""

    def run(self, claim: Claim, batch: None) -> Outcome:
        """Note each event."""
        error = self.failing(claim)
        if error is not None:
            raise error
        return done(claim)

    async def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> list[Encoded]:
        """Write nothing beside the timeline."""
        return []


def done(claim: Claim) -> Outcome:
    entries = [
        TimelineEntry(
            order_number=claim.order_number, occurred_at=datetime.now(UTC), service="test", kind=event.event_id, actor="t",
            summary="",
        )
        for event in claim.events
    ]  # fmt: skip
    return Outcome(claim=claim, upto=claim.upto, timeline=entries)


class Engine:
    """The store, and helpers around it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = WorkflowStore(database)
        self.metrics = OrchestratorMetrics(new_registry())

    async def feed(self, number: str, *ids: str, kind: str = KIND) -> None:
        """Append events to an order's workflow."""
        await append(self.database, *(event_for(number, kind, name, event_type="order.changed") for name in ids))

    async def claim(self, owner: str = "me", *, lease: float = 30.0, limit: int = 50) -> list[Claim]:
        """Claim workflows."""
        return await self.store.claim(owner=owner, limit=limit, lease_seconds=lease)

    async def complete(self, *outcomes: Outcome, owner: str = "me") -> set[int]:
        """Complete claims."""
        return await self.store.complete(owner=owner, outcomes=outcomes, failures=[], write=no_effects)

    async def operate(self, operation: str, workflow_id: int) -> None:
        """Do an operator's operation."""
        await operate_on(self.database, operation, workflow_id)

    async def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Read."""
        async with self.database.acquire() as connection:
            return [dict(row) for row in await connection.fetch(query, *values)]

    async def carried_out(self, number: str) -> list[str]:
        """What was noted, in order."""
        rows = await self.rows("SELECT kind FROM timeline WHERE order_number = $1 ORDER BY id", number)
        return [row["kind"] for row in rows]

    async def state(self, number: str) -> tuple[int, int, int]:
        """State as people see it, done and last sequence of an order's workflow."""
        row = (await self.rows("SELECT * FROM workflow WHERE order_number = $1", number))[0]
        return shown_state(row), row["done_seq"], row["last_seq"]

    async def aside(self) -> list[tuple[Any, ...]]:
        """Order, sequence, code and attempts of the events that were set aside."""
        query = "SELECT w.order_number, a.seq, a.code, a.attempts FROM set_aside_event AS a JOIN workflow AS w ON w.id = a.workflow_id"
        return [tuple(row.values()) for row in await self.rows(f"{query} WHERE a.state = 3 ORDER BY 1, 2")]

    def worker(self, handler: Recorder, owner: str = "worker", limits: WorkerLimits = LIMITS) -> Worker:
        """A worker on this store."""
        return worker_of(self.store, {KIND: handler}, owner=owner, limits=limits, metrics=self.metrics)


@pytest.fixture
async def engine(dsn: str) -> AsyncIterator[Engine]:
    """An engine on a fresh database."""
    database = Database(dsn, application_name="test", max_size=8)
    await database.open()
    yield Engine(database)
    await database.close()


async def test_a_claimed_workflow_is_nobody_else_s_and_its_events_come_in_sequence(engine: Engine) -> None:
    await engine.feed("A", "1", "2")
    await engine.feed("A", "3")
    (claim,) = await engine.claim()
    assert [(event.seq, event.event_id) for event in claim.events] == [(1, "1"), (2, "2"), (3, "3")]
    assert await engine.claim("other") == []
    assert await engine.complete(done(claim)) == {claim.workflow_id}
    assert await engine.claim("other") == []
    assert await engine.rows("SELECT * FROM workflow_ready") == []


async def test_events_that_come_during_a_claim_are_carried_out_after_it(engine: Engine) -> None:
    await engine.feed("A", "1")
    (first,) = await engine.claim()
    await engine.feed("A", "2")
    await engine.complete(done(first))
    (second,) = await engine.claim()
    assert [event.event_id for event in second.events] == ["2"]
    await engine.complete(done(second))
    assert await engine.carried_out("A") == ["1", "2"]


async def test_a_late_result_is_refused_whole_after_its_lease_was_lost(engine: Engine) -> None:
    await engine.feed("A", "1")
    (late,) = await engine.claim("slow", lease=-1)
    assert await engine.store.release_expired() == 1
    (claim,) = await engine.claim("quick")
    assert (claim.attempts, claim.fence > late.fence) == (1, True)
    assert await engine.complete(done(late), owner="slow") == set()
    assert await engine.carried_out("A") == []
    assert await engine.complete(done(claim), owner="quick") == {claim.workflow_id}
    assert await engine.complete(done(late), owner="slow") == set()
    assert await engine.carried_out("A") == ["1"]


async def test_the_same_owner_s_old_claim_is_refused_after_the_ready_row_was_made_anew(engine: Engine) -> None:
    await engine.feed("A", "1")
    (old,) = await engine.claim(lease=-1)
    await engine.store.release_expired()
    (other,) = await engine.claim("other")
    await engine.complete(done(other), owner="other")
    await engine.feed("A", "2")
    (new,) = await engine.claim()
    assert await engine.complete(done(old)) == set()
    assert await engine.complete(done(new)) == {new.workflow_id}
    assert await engine.carried_out("A") == ["1", "2"]


async def test_racing_workers_carry_every_event_out_once_in_sequence(engine: Engine) -> None:
    numbers = [f"N{index}" for index in range(40)]
    handler = Recorder()
    limits = WorkerLimits(batch_size=5, lease_seconds=30, poll_seconds=0.01)
    workers = [engine.worker(handler, f"w{index}", limits) for index in range(4)]
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    for round_ in range(5):
        await asyncio.gather(*(engine.feed(number, f"{round_}a", f"{round_}b") for number in numbers))

    async def idle() -> bool:
        return await engine.rows("SELECT 1 FROM workflow_ready") == []

    await eventually(idle)
    for worker in workers:
        worker.stop()
    await asyncio.gather(*tasks)
    expected = [f"{round_}{letter}" for round_ in range(5) for letter in "ab"]
    assert {number: await engine.carried_out(number) for number in numbers} == dict.fromkeys(numbers, expected)


async def test_a_workflow_that_fails_is_tried_again_and_then_has_crashed_alone(engine: Engine) -> None:
    handler = Recorder(
        lambda claim: RuntimeError("no 'Anna Smith' in 'customer'") if claim.order_number == "BAD" else None
    )
    await engine.feed("BAD", "1")
    await engine.feed("GOOD", "1")
    worker = engine.worker(handler)
    task = asyncio.create_task(worker.run())

    async def crashed() -> bool:
        return (await engine.state("BAD"))[0] == WorkflowState.CRASHED

    await eventually(crashed)
    worker.stop()
    await task
    assert await engine.carried_out("GOOD") == ["1"]
    announced = [Envelope.decode(row["body"]) for row in await engine.rows("SELECT body FROM outbox")]
    assert [event.type for event in announced] == ["orders.workflow.crashed.v1"]
    message = MESSAGES[announced[0].type].model_validate(announced[0].data)
    assert (message.model_dump()["attempts"], message.model_dump()["order_number"]) == (3, "BAD")
    row = (await engine.rows("SELECT error, error_stack FROM workflow WHERE order_number = 'BAD'"))[0]
    assert "Anna" not in row["error"] + row["error_stack"]
    assert row["error"].startswith("RuntimeError at ")
    assert row["error"].endswith(" (no [masked] in 'customer')")
    assert announced[0].data is not None
    assert announced[0].data["error"] == row["error"]


async def test_a_failure_that_cannot_be_mended_by_trying_fails_its_event_at_once(engine: Engine) -> None:
    await engine.feed("A", "1")
    assert await engine.worker(Recorder(lambda _claim: Conflict("no"))).work_once() == 1
    assert await engine.state("A") == (WorkflowState.CRASHED, 1, 1)
    assert await engine.aside() == [("A", 1, "conflict", 1)]
    assert await engine.rows("SELECT * FROM workflow_ready") == []


@pytest.mark.parametrize("bad", range(9))
async def test_wherever_the_bad_event_stands_all_the_others_take_effect(engine: Engine, bad: int) -> None:
    names = [f"{index}" for index in range(9)]
    await engine.feed("A", *names)
    handler = Recorder(lambda claim: Conflict("no") if f"{bad}" in {item.event_id for item in claim.events} else None)
    worker = engine.worker(handler)
    while await worker.work_once():
        pass
    assert await engine.carried_out("A") == [name for name in names if name != f"{bad}"]
    assert await engine.aside() == [("A", bad + 1, "conflict", 1)]
    assert await engine.state("A") == (WorkflowState.CRASHED, 9, 9)


async def test_neither_an_absent_store_nor_a_wait_ever_sets_an_event_aside(engine: Engine) -> None:
    await engine.feed("A", "1", "2")
    limits = replace(LIMITS, retry_base=0)
    reasons: list[Exception] = [RetryLater("not yet", seconds=0), Unavailable("away"), ConnectionResetError()]
    while reasons:
        worker = engine.worker(Recorder(lambda _claim: reasons[0]), limits=limits)
        for _ in range(LIMITS.max_attempts + 2):
            assert await worker.work_once() == 1
        reasons.pop()
    assert (await engine.aside(), await engine.state("A")) == ([], (WorkflowState.RUNNING, 0, 2))


async def test_what_is_put_off_is_suspected_no_longer(engine: Engine) -> None:
    await engine.feed("A", "1")
    await engine.feed("B", "1")
    assert len(await engine.claim("dies", lease=-1)) == 2
    await engine.store.release_expired()
    worker = engine.worker(Recorder(lambda _claim: RetryLater("not yet", seconds=0)))
    assert [await worker.work_once() for _ in range(2)] == [1, 1], "a suspect is carried out alone"
    assert len(await engine.claim()) == 2


async def test_the_event_of_which_workers_die_is_set_aside_and_kills_no_more(engine: Engine) -> None:
    await engine.feed("A", "1", "2")
    for _ in range(LIMITS.max_attempts):
        await engine.claim("dies", lease=-1)
        await engine.store.release_expired()

    def deadly(claim: Claim) -> Exception | None:
        assert [item.event_id for item in claim.events] == ["2"], "it was run again"
        return None

    worker = engine.worker(Recorder(deadly))
    assert [await worker.work_once() for _ in range(3)] == [1, 1, 0]
    assert await engine.state("A") == (WorkflowState.CRASHED, 2, 2)
    assert await engine.aside() == [("A", 1, "lease_lost", LIMITS.max_attempts + 1)]
    assert await engine.carried_out("A") == ["2"]
    assert (await engine.rows("SELECT error FROM workflow"))[0]["error"].startswith("its lease ended")


async def test_a_crashed_workflow_goes_on_and_its_failed_event_takes_effect_when_retried(engine: Engine) -> None:
    broken = True
    handler = Recorder(lambda claim: Conflict("broken") if broken and claim.events[0].seq == 1 else None)
    worker = engine.worker(handler)
    await engine.feed("A", "1")
    await worker.work_once()
    await engine.feed("A", "2")
    assert await worker.work_once() == 1
    assert (await engine.carried_out("A"), await engine.state("A")) == (["2"], (WorkflowState.CRASHED, 2, 2))
    broken = False
    workflow_id = (await engine.rows("SELECT id FROM workflow"))[0]["id"]
    await engine.operate("retry", workflow_id)
    await engine.feed("A", "3")
    assert await worker.work_once() == 1
    assert (await engine.carried_out("A"), await engine.state("A")) == (["2", "1", "3"], (WorkflowState.RUNNING, 3, 3))
    assert await engine.rows("SELECT * FROM set_aside_event") == []
    assert await worker.work_once() == 0


async def test_a_late_result_neither_sets_an_event_aside_nor_ends_a_retry(engine: Engine) -> None:
    await engine.feed("A", "1")
    (late,) = await engine.claim("slow", lease=-1)
    assert await engine.store.release_expired() == 1
    failure = Failure(
        claim=late, error="e", stack="", retry_in=None, code="c", event=late.events[0], at=datetime.now(UTC)
    )
    (claim,) = await engine.claim("quick")
    assert (
        await engine.store.complete(owner="slow", outcomes=[], failures=[failure], write=no_effects),
        await engine.aside(),
        await engine.rows("SELECT * FROM outbox"),
    ) == (set(), [], [])
    mine = replace(failure, claim=claim, event=claim.events[0], at=None)
    assert await engine.store.complete(owner="quick", outcomes=[], failures=[mine], write=no_effects)
    await engine.operate("retry", claim.workflow_id)
    (again,) = await engine.claim("slow", lease=-1)
    assert [(event.seq, event.payload) for event in again.events] == [(1, b"{}")]
    await engine.store.release_expired()
    assert await engine.complete(done(again), owner="slow") == set()
    assert [row["state"] for row in await engine.rows("SELECT state FROM set_aside_event")] == [1]


async def test_stopping_a_claimed_workflow_refuses_the_claim_s_result(engine: Engine) -> None:
    await engine.feed("A", "1")
    (claim,) = await engine.claim()
    await engine.operate("stop", claim.workflow_id)
    assert await engine.complete(done(claim)) == set()
    await engine.feed("A", "2")
    assert await engine.claim() == []
    assert (await engine.carried_out("A"), await engine.state("A")) == ([], (WorkflowState.STOPPED, 0, 2))
    await engine.operate("resume", claim.workflow_id)
    (again,) = await engine.claim()
    assert [event.event_id for event in again.events] == ["1", "2"]


async def test_a_result_that_cannot_be_written_harms_none_of_its_neighbours(engine: Engine) -> None:
    def nasty(claim: Claim) -> Exception | None:
        return None

    class Unwritable(Recorder):
        def run(self, claim: Claim, batch: None) -> Outcome:
            outcome = done(claim)
            if claim.order_number == "BAD":
                outcome = replace(outcome, timeline=[replace(outcome.timeline[0], service="a\x00b")])
            return outcome

    for number in ("A", "BAD", "C"):
        await engine.feed(number, "1")
    worker = engine.worker(Unwritable(nasty), limits=WorkerLimits(max_attempts=1))
    assert await worker.work_once() == 3
    assert [(await engine.state(number))[0] for number in ("A", "BAD", "C")] == [1, 4, 1]
    assert [row[:3] for row in await engine.aside()] == [("BAD", 1, "unexpected_error")]
    assert await engine.carried_out("A") == ["1"]


async def test_an_unknown_kind_is_left_for_a_newer_release(engine: Engine) -> None:
    await engine.feed("A", "1", kind="of_the_future")
    engine.store = WorkflowStore(engine.database, WorkerPool.CALLS)
    assert await engine.worker(Recorder()).work_once() == 1
    assert await engine.state("A") == (WorkflowState.RUNNING, 0, 1)
    (row,) = await engine.rows("SELECT owner, attempts, ready_at > now() AS later FROM workflow_ready")
    assert row == {"owner": None, "attempts": 0, "later": True}


async def test_events_are_append_only_across_concurrent_ingests_of_one_order(engine: Engine) -> None:
    await asyncio.gather(*(engine.feed("A", f"{index}") for index in range(20)))
    rows = await engine.rows("SELECT seq FROM workflow_event ORDER BY seq")
    assert [row["seq"] for row in rows] == list(range(1, 21))
    assert await engine.state("A") == (WorkflowState.RUNNING, 0, 20)


async def test_taking_in_and_completing_never_lock_each_other_out(engine: Engine) -> None:
    numbers = [f"N{index:03}" for index in range(60)]
    for number in reversed(numbers):  # so that ids run against numbers
        await engine.feed(number, "0")
    workers = [engine.worker(Recorder(), f"w{index}", WorkerLimits(poll_seconds=0.01)) for index in range(3)]
    tasks = [asyncio.create_task(worker.run()) for worker in workers]

    async def feed_all(round_: int) -> None:
        events = [event_for(number, KIND, f"{round_}", event_type="order.changed") for number in numbers]
        await append(engine.database, *events)

    for round_ in range(0, 90, 3):
        await asyncio.gather(*(feed_all(round_ + part) for part in range(3)))
    for worker in workers:
        worker.stop()
    await asyncio.gather(*tasks)
    (row,) = await engine.rows("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert row == {"deadlocks": 0}
