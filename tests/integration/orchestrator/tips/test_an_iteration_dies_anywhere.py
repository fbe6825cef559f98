"""An iteration of ``update_transactions`` dies before and after each await, on either path, and another finishes: tips once, one hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from common.postgres import Database
from common.resilience import CircuitBreaker
from common.telemetry.metrics import new_registry
from common.telemetry.tips_figures import TipsFigures
from orchestrator.tips.decide import TipsCaller, Trigger
from orchestrator.tips.metrics import TipsMetrics
from orchestrator.tips.model import Arm, Explained, Feedback, Reason, TipsFailed
from orchestrator.tips.own_rules import OldTipsRules, RulesByPlace, need_hold, write_of
from orchestrator.tips.store import TipsStore
from tests.support.clocks import ManualClock

END = datetime(2026, 11, 21, 10, tzinfo=UTC)
NOW = END + timedelta(hours=1)
RULES = OldTipsRules(cashless_methods=frozenset({"card"}))
FEEDBACK = Feedback(5, "percent", Decimal(10), "custom", done=False, updated_at=END)
_ADD = """
INSERT INTO orders (number, source, external_id, status, closed, shipped, paid, revision, zone, tariff, currency, cost_total, document,
                    payment_method, finished_at)
VALUES ($1, 'sm', $1, 'delivered', true, true, true, 5, 'moscow', 'express', 'RUB', 10000, '{}', 'card', $2)
"""


class Died(Exception):
    """The process is gone."""


class Mortal:
    """Lets the process die at one await: before it (its effect did not happen) or after it (its answer is lost)."""

    def __init__(self, dies_at: int | None) -> None:
        self.dies_at = dies_at
        self.awaits = 0

    def wrap(self, thing: Any) -> Any:
        """Return the thing, all of whose calls may be the last."""
        mortal = self

        class Wrapped:
            def __getattr__(self, name: str) -> Any:
                async def call(*arguments: Any, **named: Any) -> Any:
                    mortal.step()
                    result = await getattr(thing, name)(*arguments, **named)
                    mortal.step()
                    return result

                return call

        return Wrapped()

    def step(self) -> None:
        """Pass one point, or die at it."""
        if self.awaits == self.dies_at:
            raise Died
        self.awaits += 1


class Outside:
    """Experiment, feedback and an honest tips service."""

    def __init__(self, store: TipsStore, *, failing: bool) -> None:
        self.store = store
        self.failing = failing

    async def arm(self, _number: str) -> Arm:
        """Everybody is in."""
        return Arm.SERVICE

    async def shadows(self, _number: str) -> bool:
        """Nobody is compared."""
        return False

    async def find(self, _number: str) -> Feedback:
        """The customer's word."""
        return FEEDBACK

    async def set_sum(self, number: str, *, key: str) -> None:
        """Write, and perhaps lose the answer: the worst that a time-out can hide."""
        assert key
        order = (await self.store.read([number]))[number]
        write = write_of(order, FEEDBACK, RULES)
        if write is not None:
            assert await self.store.write(order, write)
        if self.failing:
            raise TipsFailed(Reason.TIMEOUT)

    async def need_hold(self, number: str) -> bool:
        """Look."""
        return need_hold((await self.store.read([number]))[number], FEEDBACK, RULES, now=NOW)

    async def explain(self, _number: str) -> Explained:
        """Nobody asks."""
        raise TipsFailed(Reason.STATUS)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Database]:
    """A pool on a fresh database."""
    database = Database(dsn, application_name="test", max_size=2)
    await database.open()
    yield database
    await database.close()


def _metrics() -> TipsMetrics:
    registry, none = new_registry(), frozenset[str]()
    return TipsMetrics(registry, TipsFigures(registry, zones=none, tariffs=none, currencies=none))


@pytest.mark.parametrize(
    "failing", [False, True], ids=["the service decides", "the answer is lost, the own rules decide"]
)
async def test_an_iteration_that_dies_anywhere_is_finished_by_the_next_one(pool: Database, failing: bool) -> None:
    store = TipsStore(pool)
    outside = Outside(store, failing=failing)

    async def iterate(number: str, mortal: Mortal) -> Any:
        order = (await store.read([number]))[number]
        caller = TipsCaller(
            experiment=mortal.wrap(outside),
            service=mortal.wrap(outside),
            feedback=mortal.wrap(outside),
            store=mortal.wrap(store),
            breaker=CircuitBreaker(failures=100, pause=0),
            rules=RulesByPlace(RULES),
            clock=ManualClock(NOW),
            metrics=_metrics(),
        )
        return await caller(order, Trigger(key="1:1", feedback_changed=True))

    deaths, dies_at, ended = 0, 0, False
    while not ended:
        number = f"N{dies_at}"
        async with pool.acquire() as connection:
            await connection.execute(_ADD, number, END)
        try:
            await iterate(number, Mortal(dies_at))
            ended = True  # there was no such await any more
        except Died:
            deaths += 1
        decided = await iterate(number, Mortal(None))
        assert (decided.order.tips, decided.order.held_sum, decided.again) == (1000, 1000, False)
        async with pool.acquire() as connection:
            row = await connection.fetchrow(
                "SELECT (SELECT count(*) FROM timeline WHERE order_number = $1) AS told, tips_amount, tips_held_amount"
                " FROM orders WHERE number = $1",
                number,
            )
        assert row is not None
        assert tuple(row) == (1, 1000, 1000)
        dies_at += 1
    async with pool.acquire() as connection:
        wanted = await connection.fetchval("SELECT count(*) FROM outbox")
    assert (deaths >= 12, wanted) == (True, deaths + 1)
