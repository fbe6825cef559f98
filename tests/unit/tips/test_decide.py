"""Who wins when calls of set-tips-sum overtake each other, and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from math import inf

import pytest

from tests.support.clocks import ManualClock
from tests.unit.tips.factories import END, an_order, feedback
from tips.decide import TipsDecisions
from tips.errors import Contended, OrderNotFinished
from tips.feedback import FeedbackClient
from tips.metrics import TipsMetrics
from tips.rules.constants import RuleBook, TipsRules
from tips.rules.order import Applied, ChosenTips, Feedback, Order, TipsType
from tips.rules.write import Outcome, Plan, Written
from tips.store import TipsStore

FEEDBACK = feedback()
ORDER = an_order()


class PlayedStore(TipsStore):
    """Plays back what was read and what came of the writes: the races of the real database are tried in the integration tests."""

    def __init__(self, reads: list[Order], outcomes: list[Outcome]) -> None:
        self._played = iter(reads)
        self._outcomes = iter(outcomes)
        self.writes: list[tuple[int, int, Applied]] = []

    async def find(self, number: str, *, until: float) -> Order:
        return next(self._played)

    async def set_tips(self, order: Order, plan: Plan, *, until: float, late: Callable[[Written], None]) -> Written:
        self.writes.append((order.version, plan.amount, plan.applied))
        return Written(next(self._outcomes))


class PlayedFeedback(FeedbackClient):
    """Plays back what the customer said."""

    def __init__(self, answers: list[Feedback | None]) -> None:
        self._answers = iter(answers)

    async def find(self, number: str, *, until: float) -> Feedback | None:
        return next(self._answers)


def deciding(store: PlayedStore, said: list[Feedback | None], metrics: TipsMetrics) -> TipsDecisions:
    """The decisions on what is played back."""
    return TipsDecisions(
        store=store,
        feedback=PlayedFeedback(said),
        metrics=metrics,
        clock=ManualClock(END),
        book=RuleBook(TipsRules()),
        attempts=3,
    )


async def test_a_lost_race_reads_order_and_feedback_again(metrics: TipsMetrics) -> None:
    newer = replace(FEEDBACK, tips=ChosenTips(TipsType.FLAT, Decimal(20)), updated_at=END + timedelta(seconds=1))
    store = PlayedStore([ORDER, replace(ORDER, version=7)], [Outcome.STALE_VERSION, Outcome.CHANGED])
    await deciding(store, [FEEDBACK, newer], metrics).set_sum(ORDER.number, until=inf)
    assert store.writes == [(6, 1_600, Applied.of(FEEDBACK)), (7, 2_000, Applied.of(newer))]


async def test_a_race_lost_every_time_is_given_up_as_retryable(metrics: TipsMetrics) -> None:
    store = PlayedStore([ORDER] * 3, [Outcome.STALE_VERSION] * 3)
    with pytest.raises(Contended) as caught:
        await deciding(store, [FEEDBACK] * 3, metrics).set_sum(ORDER.number, until=inf)
    assert (caught.value.code, caught.value.retryable) == ("contended", True)


async def test_an_unfinished_order_is_refused(metrics: TipsMetrics) -> None:
    unfinished = replace(ORDER, finished=False)
    for question in (TipsDecisions.set_sum, TipsDecisions.need_hold):
        with pytest.raises(OrderNotFinished):
            await question(deciding(PlayedStore([unfinished], []), [], metrics), ORDER.number, until=inf)
