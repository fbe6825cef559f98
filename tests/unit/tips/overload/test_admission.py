"""The admission: so many requests at a time, a short bounded wait, and an answer at once for the rest."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.tips.factories import counts
from tips.errors import Overloaded, TooLate, UnknownOrder
from tips.metrics import TipsMetrics
from tips.overload.admission import Admission


class _Work:
    """Work that lasts until the gate is opened."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.untils: list[float] = []
        self.now = 0
        self.most = 0

    async def __call__(self, number: str, *, until: float) -> str:
        self.untils.append(until)
        self.now += 1
        self.most = max(self.most, self.now)
        await self.gate.wait()
        self.now -= 1
        return number


def shed(registry: CollectorRegistry) -> dict[str, float]:
    """The requests that were sent away, by reason."""
    return counts(registry, "tips_shed_total", "reason")


def outcomes(registry: CollectorRegistry) -> dict[str, float]:
    """The answers, by outcome."""
    return counts(registry, "tips_request_duration_seconds_count", "outcome")


async def test_work_and_waiting_are_bounded_and_the_rest_is_refused_at_once(
    metrics: TipsMetrics, registry: CollectorRegistry
) -> None:
    work = _Work()
    door = Admission(metrics, at_once=2, waiting=3, patience=60, longest=60)
    calls = [asyncio.create_task(door.run("set_tips_sum", work, str(number), headers={})) for number in range(8)]
    await asyncio.sleep(0)
    await asyncio.wait(calls[5:])
    assert [type(call.exception()) for call in calls[5:]] == [Overloaded] * 3
    assert registry.get_sample_value("tips_requests_in_progress") == 2
    work.gate.set()
    assert await asyncio.gather(*calls[:5]) == ["0", "1", "2", "3", "4"]
    assert (shed(registry), outcomes(registry)) == ({"queue_full": 3}, {"ok": 5, "shed": 3})
    assert (work.most, registry.get_sample_value("tips_requests_in_progress")) == (2, 0)


async def test_who_waits_longer_than_patience_is_refused_and_leaves_no_hole(
    metrics: TipsMetrics, registry: CollectorRegistry
) -> None:
    work = _Work()
    door = Admission(metrics, at_once=1, waiting=5, patience=0.01, longest=60)
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
    assert (shed(registry), registry.get_sample_value("tips_requests_in_progress")) == ({"queue_slow": 20}, 0)


async def test_the_caller_s_deadline_stands_unless_it_is_longer_than_ours(metrics: TipsMetrics) -> None:
    work = _Work()
    work.gate.set()
    door = Admission(metrics, at_once=1, waiting=0, patience=1, longest=10)
    before = monotonic()
    for headers in ({"X-Request-Timeout-Ms": "300"}, {"X-Request-Timeout-Ms": "99999"}, {}):
        await door.run("need_hold_tips", work, "1", headers=headers)
    after = monotonic()
    for until, seconds in zip(work.untils, (0.3, 10, 10), strict=True):
        assert before + seconds <= until <= after + seconds


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (UnknownOrder("none"), "refused"),
        (TooLate("late"), "unavailable"),
        (Overloaded("full"), "shed"),
        (ZeroDivisionError(), "failed"),
    ],
)
async def test_the_outcomes_of_requests_are_counted_apart(
    metrics: TipsMetrics, registry: CollectorRegistry, error: Exception, outcome: str
) -> None:
    async def work(number: str, *, until: float) -> None:
        raise error

    with pytest.raises(type(error)):
        await Admission(metrics, at_once=1, waiting=0, patience=1, longest=1).run("explain", work, "1", headers={})
    assert (outcomes(registry), registry.get_sample_value("tips_requests_in_progress")) == ({outcome: 1}, 0)
