"""Jobs by the clock: what is away costs a round, a fault is counted and tried again, the end is as it was asked for."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import Conflict, Unavailable
from common.service import Lifecycle, PeriodicJob, ReadyGate, apart, every
from tests.support.servers import eventually


class Rounds:
    """Counts; fails as told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.done = 0
        self.hold = asyncio.Event()
        self.hold.set()

    async def __call__(self) -> None:
        await self.hold.wait()
        self.done += 1
        if self.failures:
            raise self.failures.pop(0)

    async def reached(self, count: int) -> None:
        async def there() -> bool:
            return self.done >= count

        await eventually(there, what=f"round {count}")


async def test_what_is_away_costs_a_round() -> None:
    lifecycle, rounds = Lifecycle(), Rounds(Unavailable("away"), ConnectionResetError(), TimeoutError())
    every(lifecycle, 0.001, rounds, name="job", jitter=0.2)
    await rounds.reached(5)
    assert await lifecycle.drain()
    assert lifecycle.failure is None


async def test_a_job_that_is_woken_while_it_is_cancelled_ends() -> None:
    lifecycle, rounds = Lifecycle(), Rounds()
    job = every(lifecycle, 60, rounds, name="job")
    await rounds.reached(1)
    job.wake()
    await asyncio.sleep(0)  # the wait is over, and the job has not gone on yet
    assert await lifecycle.drain()


async def test_a_fault_is_tried_again_after_a_pause_whoever_wakes_the_job_and_ends_nothing() -> None:
    lifecycle, rounds = Lifecycle(), Rounds(Conflict("a fault"))
    job = every(lifecycle, 0.001, rounds, name="job")
    await rounds.reached(1)
    for _ in range(20):
        job.wake()
        await asyncio.sleep(0)
    assert (rounds.done, lifecycle.failures.report()) == (1, "failing, tried again: job")
    report = await lifecycle.health.report()
    assert (report.ready, report.checks) == (True, {"tasks": "failing, tried again: job"})
    await rounds.reached(3)
    assert lifecycle.failures.report() is None
    assert await lifecycle.drain()
    assert lifecycle.failure is None


async def test_a_job_whose_pause_after_a_fault_lasts_ends_when_asked_to() -> None:
    lifecycle, rounds = Lifecycle(), Rounds(*[Conflict("a fault")] * 9)
    every(lifecycle, 0.001, rounds, name="job", finish=True)
    await rounds.reached(2)
    assert await lifecycle.drain()
    assert (rounds.done, lifecycle.failure) == (2, None)


async def test_an_item_of_a_job_of_every_hour_is_tried_again_at_its_own_time() -> None:
    lifecycle, rounds = Lifecycle(), Rounds(Conflict("a fault"))

    async def work() -> None:
        """Stumble over one item."""
        with apart("7"):
            await rounds()

    every(lifecycle, 3600, work, name="job")
    await rounds.reached(2)
    assert lifecycle.failures.apart("job") == []
    assert await lifecycle.drain()


async def test_only_another_process_helps_where_memory_is_short() -> None:
    lifecycle = Lifecycle()
    every(lifecycle, 0.001, Rounds(MemoryError()), name="job")
    await asyncio.wait_for(lifecycle.stopping.wait(), 60)
    assert isinstance(lifecycle.failure, MemoryError)


async def test_a_woken_job_does_not_wait_for_the_clock() -> None:
    lifecycle, rounds = Lifecycle(), Rounds()
    job = every(lifecycle, 3600, rounds, name="job")
    await rounds.reached(1)
    job.wake()
    await rounds.reached(2)
    await lifecycle.drain()


async def test_a_job_that_waits_for_something_begins_with_it() -> None:
    lifecycle, rounds, ready = Lifecycle(), Rounds(), asyncio.Event()
    every(lifecycle, 3600, rounds, name="job", after=ready)
    await asyncio.sleep(0.01)
    assert rounds.done == 0
    ready.set()
    await rounds.reached(1)
    await lifecycle.drain()


@pytest.mark.parametrize(("finish", "last_round", "done"), [(False, False, 0), (True, False, 1), (False, True, 2)])
async def test_at_the_end_the_round_in_hand_is_cancelled_finished_or_followed(
    finish: bool, last_round: bool, done: int
) -> None:
    lifecycle, rounds = Lifecycle(), Rounds()
    rounds.hold.clear()
    every(lifecycle, 3600, rounds, name="job", finish=finish, last_round=last_round)
    await asyncio.sleep(0.01)
    drained = asyncio.create_task(lifecycle.drain())
    await asyncio.sleep(0.01)
    rounds.hold.set()
    assert await drained
    assert rounds.done == done


async def test_a_stopped_job_ends_without_another_round() -> None:
    rounds = Rounds()
    job = PeriodicJob("job", 3600, rounds)
    task = asyncio.create_task(job.run())
    await rounds.reached(1)
    await job.stop()
    await asyncio.wait_for(task, 60)
    assert rounds.done == 1


async def test_a_gate_says_why_it_is_closed_until_it_opens() -> None:
    gate = ReadyGate("the schema is awaited")
    with pytest.raises(Unavailable, match="the schema is awaited"):
        await gate.check()
    gate.open()
    await gate.check()
