"""What comparing the tips service with the own rules found is counted in the database: once an iteration, of all replicas together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from common.postgres import Database
from orchestrator.tips.model import Compared, Shadow
from orchestrator.tips.shadow import ShadowQuery, add_comparisons, agreement
from tests.support.clocks import ManualClock

AT = datetime(2026, 11, 30, 10, tzinfo=UTC)
MATCH, ERROR = Compared(result=Shadow.MATCH), Compared(result=Shadow.ERROR)


def a_quarrel(rule: str, *, decision: str = "tips", own: int = 1) -> Compared:
    """A comparison of two that differ."""
    return Compared(
        result=Shadow.MISMATCH,
        decision=decision,
        rule=rule,
        own_amount=own,
        service_amount=2,
        own_hold=False,
        service_hold=True,
    )


async def iteration(pool: Database, found: Mapping[str, Compared], *, at: datetime = AT) -> None:
    """Commit a batch of iterations."""
    async with pool.transaction() as connection:
        await add_comparisons(connection, [(number, at, each) for number, each in found.items()])


async def test_orders_are_counted_once_whatever_replicas_compare_them(pool: Database) -> None:
    one = {"A": MATCH, "B": a_quarrel("cap"), "C": ERROR}
    other = dict(reversed({**one, "B": MATCH}.items()))
    await asyncio.gather(*(iteration(pool, found) for found in [one, other] * 10))
    with pytest.raises(ZeroDivisionError):  # an iteration that is not committed was not compared
        async with pool.transaction() as connection:
            await add_comparisons(connection, [("A", AT, a_quarrel("sum"))])
            _ = 1 / 0
    said = await agreement(pool, ManualClock(AT), ShadowQuery())
    assert (said.compared, said.agreed, said.differed, said.failed, said.first_at) == (3, 1, 1, 1, AT)
    assert [(each.rule, each.orders) for each in said.rules] == [("cap", 1)]
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT number, compared, differed, failed FROM tips_shadow ORDER BY number")
    assert [tuple(row) for row in rows] == [("A", 20, 0, 0), ("B", 20, 10, 0), ("C", 20, 0, 20)]


async def test_the_last_difference_of_an_order_stays_after_it_agrees_again(pool: Database) -> None:
    minute = timedelta(minutes=1)
    await iteration(pool, {"A": a_quarrel("cap"), "B": MATCH})
    await iteration(pool, {"A": a_quarrel("window", decision="hold", own=5)}, at=AT + minute)
    await iteration(pool, {"A": MATCH, "B": ERROR}, at=AT + 2 * minute)
    said = await agreement(pool, ManualClock(AT), ShadowQuery(since=AT + minute))
    assert (said.compared, said.agreed, said.differed, said.failed) == (2, 1, 1, 0)
    [difference] = said.differences
    assert (difference.decision, difference.rule, difference.own_amount) == ("hold", "window", 5)
    assert difference.differed_at == AT + minute
    later = await agreement(pool, ManualClock(AT), ShadowQuery(since=AT + 2 * minute))
    assert (later.compared, later.agreed, later.differed) == (2, 2, 0), "what differed before is not of that time"
    assert (later.rules, later.differences) == ([], [])
    nothing = await agreement(pool, ManualClock(AT), ShadowQuery(since=AT + 3 * minute))
    assert (nothing.compared, nothing.rules, nothing.differences, nothing.first_at) == (0, [], [], AT)
