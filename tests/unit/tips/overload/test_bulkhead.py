"""The bulkhead around a dependency: bounded calls, and an answer at once while the other side is silent."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.tips.factories import counts
from tips.errors import Overloaded
from tips.metrics import TipsMetrics
from tips.overload.bulkhead import Bulkhead

FAILURES, PAUSE = 10, 0.5


def around_feedback(metrics: TipsMetrics, *, limit: int) -> Bulkhead:
    """The bulkhead around the feedback service."""
    return Bulkhead("feedback", label="feedback", limit=limit, metrics=metrics)


def call(bulkhead: Bulkhead, now: float, *, answered: bool = False, waited: float = 0.5) -> bool:
    """Call at ``now``; return whether the call was let through."""
    try:
        bulkhead.enter(now)
    except Overloaded:
        return False
    bulkhead.leave(now, waited=waited, answered=answered)
    return True


def test_so_many_calls_are_let_through_and_the_next_is_refused_at_once(
    metrics: TipsMetrics, registry: CollectorRegistry
) -> None:
    full = around_feedback(metrics, limit=2)
    full.enter(0.0)
    full.enter(0.0)
    with pytest.raises(Overloaded) as caught:
        full.enter(0.0)
    assert (caught.value.detail, caught.value.retry_after) == ("2 calls to feedback are under way", PAUSE)
    full.leave(0.1, waited=0.1, answered=True)
    full.enter(0.1)
    assert counts(registry, "tips_shed_total", "reason") == {"feedback_full": 1}


def test_a_silent_side_is_asked_once_a_pause_until_it_answers(
    metrics: TipsMetrics, registry: CollectorRegistry
) -> None:
    silent = around_feedback(metrics, limit=10)
    assert [call(silent, 1.0) for _ in range(FAILURES + 2)] == [True] * FAILURES + [False, False]
    assert [call(silent, 1.0 + PAUSE), call(silent, 1.0 + PAUSE)] == [True, False]  # the probe, and one beside it

    silent.enter(1.0 + 2 * PAUSE)
    assert not call(silent, 1.0 + 2 * PAUSE)
    silent.leave(1.1 + 2 * PAUSE, waited=0.1, answered=True)
    assert call(silent, 1.1 + 2 * PAUSE, answered=True)
    assert counts(registry, "tips_shed_total", "reason") == {"feedback_away": 4}


def test_while_the_side_is_silent_the_probe_needs_no_free_place(metrics: TipsMetrics) -> None:
    silent = around_feedback(metrics, limit=FAILURES)
    for _ in range(FAILURES):
        silent.enter(0.0)
    for _ in range(FAILURES - 1):
        silent.leave(1.0, waited=1.0, answered=False)
        silent.enter(1.0)
    silent.leave(1.0, waited=1.0, answered=False)
    silent.enter(1.0 + PAUSE)


def test_a_hurried_caller_is_no_failure_and_one_answer_forgives(metrics: TipsMetrics) -> None:
    bulkhead = around_feedback(metrics, limit=1)
    hurried = [call(bulkhead, 1.0, waited=0.05) for _ in range(2 * FAILURES)]
    nearly = [call(bulkhead, 1.0) for _ in range(FAILURES - 1)]
    answer = call(bulkhead, 1.0, answered=True)
    again = [call(bulkhead, 1.0) for _ in range(FAILURES - 1)]
    assert all([*hurried, *nearly, answer, *again])
    assert call(bulkhead, 1.0)
    assert not call(bulkhead, 1.0)
