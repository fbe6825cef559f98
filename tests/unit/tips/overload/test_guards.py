"""The door, the compartments and the shared reads: what is bounded, what is refused at once, and what comes back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Any

import pytest

from common.errors import Unavailable
from tips.batched_reads import OrderReads
from tips.errors import Overloaded, TooLate, UnknownOrder
from tips.overload.admission import Admission
from tips.overload.bulkhead import Compartment


class _Meter:
    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.most = 0
        self.now = 0

    def waited(self, seconds: float) -> None: ...

    def shed(self, reason: str) -> None:
        self.reasons[reason] += 1

    def in_progress(self, count: int) -> None:
        self.now = count
        self.most = max(self.most, count)

    def answered(self, operation: str, outcome: str, seconds: float) -> None:
        self.outcomes[outcome] += 1


class _Work:
    """Work that lasts until the gate is opened."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.untils: list[float] = []

    async def __call__(self, number: str, *, until: float) -> str:
        self.untils.append(until)
        await self.gate.wait()
        return number


async def test_so_many_are_worked_on_so_many_wait_and_the_rest_is_sent_away_at_once() -> None:
    meter, work = _Meter(), _Work()
    door = Admission(meter, at_once=2, waiting=3, patience=60, longest=60)
    calls = [asyncio.create_task(door.run("set_tips_sum", work, str(number), headers={})) for number in range(8)]
    await asyncio.sleep(0)
    await asyncio.wait(calls[5:])
    assert [type(call.exception()) for call in calls[5:]] == [Overloaded] * 3
    work.gate.set()
    assert await asyncio.gather(*calls[:5]) == ["0", "1", "2", "3", "4"]
    assert (meter.reasons, meter.outcomes) == (Counter(queue_full=3), Counter(ok=5, shed=3))
    assert (meter.most, meter.now) == (2, 0)


async def test_who_waits_longer_than_patience_is_sent_away_and_leaves_no_hole() -> None:
    meter, work = _Meter(), _Work()
    door = Admission(meter, at_once=1, waiting=5, patience=0.01, longest=60)
    first = asyncio.create_task(door.run("set_tips_sum", work, "first", headers={}))
    await asyncio.sleep(0)
    for _ in range(20):  # more than there is room to wait: those who gave up are no longer counted
        with pytest.raises(Overloaded):
            await door.run("set_tips_sum", work, "late", headers={})
    gone = asyncio.create_task(door.run("set_tips_sum", work, "gone", headers={}))
    await asyncio.sleep(0)
    gone.cancel()
    work.gate.set()
    assert await first == "first"
    assert await door.run("set_tips_sum", work, "next", headers={}) == "next"
    assert (meter.reasons, meter.now) == (Counter(queue_slow=20), 0)


async def test_the_caller_s_deadline_stands_unless_it_is_longer_than_ours() -> None:
    work = _Work()
    work.gate.set()
    door = Admission(_Meter(), at_once=1, waiting=0, patience=1, longest=10)
    before = monotonic()
    for headers in ({"X-Request-Timeout-Ms": "300"}, {"X-Request-Timeout-Ms": "99999"}, {}):
        await door.run("need_hold_tips", work, "1", headers=headers)
    after = monotonic()
    for until, seconds in zip(work.untils, (0.3, 10, 10), strict=True):
        assert before + seconds <= until <= after + seconds


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(UnknownOrder("none"), "refused"), (TooLate("late"), "unavailable"), (Overloaded("full"), "shed")],
)
async def test_what_came_of_a_request_is_told_apart(error: Exception, outcome: str) -> None:
    async def work(number: str, *, until: float) -> None:
        raise error

    meter = _Meter()
    with pytest.raises(type(error)):
        await Admission(meter, at_once=1, waiting=0, patience=1, longest=1).run("explain", work, "1", headers={})
    assert (meter.outcomes, meter.now) == (Counter({outcome: 1}), 0)


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def compartment(**changes: Any) -> tuple[Compartment, _Clock, list[str]]:
    clock = _Clock()
    reasons: list[str] = []
    values: dict[str, Any] = {"limit": 2, "failures": 3, "pause": 0.5} | changes
    return Compartment("feedback", refused=reasons.append, clock=clock, **values), clock, reasons


def test_a_compartment_holds_so_many_calls_and_refuses_the_next_at_once() -> None:
    full, _, reasons = compartment()
    full.enter()
    full.enter()
    with pytest.raises(Overloaded):
        full.enter()
    full.leave(answered=True, waited=0.01)
    full.enter()
    assert reasons == ["full"]


def test_who_stopped_answering_is_asked_once_a_pause_until_it_answers() -> None:
    silent, clock, reasons = compartment(limit=10)

    def fail() -> None:
        silent.enter()
        silent.leave(answered=False, waited=0.5)

    def refused() -> bool:
        try:
            silent.enter()
        except Overloaded:
            return True
        return False

    for _ in range(3):
        fail()
    assert (silent.away, refused(), refused()) == (True, True, True)
    clock.now += 0.5
    fail()  # the probe
    assert refused()
    clock.now += 0.5
    silent.enter()
    assert refused()  # one probe at a time
    silent.leave(answered=True, waited=0.01)
    assert (silent.away, refused(), reasons) == (False, False, ["away"] * 4)


def test_a_caller_in_a_hurry_says_nothing_about_who_was_asked_and_one_answer_forgives() -> None:
    hurried, _, _ = compartment()
    for _ in range(10):
        hurried.enter()
        hurried.leave(answered=False, waited=0.05)
    for answered in (False, False, True, False, False):
        hurried.enter()
        hurried.leave(answered=answered, waited=0.5)
    assert not hurried.away


class _Rows:
    """The orders database: answers when the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches: list[list[str]] = []
        self.error: Exception | None = None

    async def __call__(self, numbers: Sequence[str]) -> list[Any]:
        self.batches.append(sorted(numbers))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [{"number": number} for number in numbers if number != "none"]


async def test_reads_asked_for_together_are_one_statement_and_each_caller_gets_its_own_row() -> None:
    rows = _Rows()
    reads = OrderReads(rows)
    found = await asyncio.gather(*(reads.find(number, seconds=60) for number in ("a", "b", "a", "none")))
    assert (found, rows.batches) == ([{"number": "a"}, {"number": "b"}, {"number": "a"}, None], [["a", "b", "none"]])


async def test_a_read_never_joins_a_statement_that_is_under_way() -> None:
    rows = _Rows()
    rows.gate.clear()
    reads = OrderReads(rows)
    calls = []
    for number in ("a", "a", "b", "c"):
        calls.append(asyncio.create_task(reads.find(number, seconds=60)))
        await asyncio.sleep(0.001)
    assert rows.batches == [["a"], ["a"]]  # two statements at a time; the others wait for one of them
    rows.gate.set()
    await asyncio.gather(*calls)
    assert rows.batches == [["a"], ["a"], ["b", "c"]]


async def test_each_reader_gives_up_by_itself_and_a_failure_reaches_all_of_a_statement() -> None:
    rows = _Rows()
    rows.gate.clear()
    rows.error = Unavailable("away", retry_after=3.0)
    reads = OrderReads(rows)
    patient, hurried = (asyncio.create_task(reads.find(number, seconds=s)) for number, s in (("a", 60), ("b", 0.001)))
    with pytest.raises(TooLate):
        await hurried
    assert not patient.done()
    rows.gate.set()
    with pytest.raises(Unavailable) as caught:
        await patient
    assert (caught.value.detail, caught.value.retry_after) == ("away", 3.0)
    rows.error = None
    found: Any = await reads.find("a", seconds=60)
    assert found == {"number": "a"}
