"""The view and the function that the tips service works through (ADR "tips' access to the orders database")."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
_ADD = """
INSERT INTO orders (number, source, external_id, status, closed, shipped, paid, revision, zone, tariff, currency, cost_total, document)
VALUES ($1, 'sm', $1, $2, true, true, true, 5, 'moscow', 'express', 'RUB', 100000, '{}')
"""
_SET = "SELECT outcome, version, previous_amount, amount, first_seen FROM tips_set_sum($1, $2, $3, $4, $5, $6, $7)"


async def set_sum(
    connection: Any, version: int, amount: int, *, minutes: int | None = 0, number: str = "A", done: bool = False
) -> Any:
    moment = None if minutes is None else NOW + timedelta(minutes=minutes)
    row = await connection.fetchrow(_SET, number, version, amount, "percent", "custom", moment, done)
    return tuple(row)


@pytest.fixture
async def finished(database: Any) -> Any:
    """A connection to a database with a finished order A and an open order B."""
    await database.execute(_ADD, "A", "delivered")
    await database.execute(_ADD, "B", "paid")
    return database


async def test_a_sum_is_set_once_and_a_repeat_changes_nothing(finished: Any) -> None:
    marks = ["order", "tipped", "choice:custom", "type:percent"]
    assert await set_sum(finished, 5, 500) == ("changed", 6, 0, 500, marks)
    assert await set_sum(finished, 6, 500) == ("unchanged", 6, 500, 500, [])
    assert await set_sum(finished, 5, 700) == ("stale_version", 6, 500, 500, [])
    row = await finished.fetchrow(
        "SELECT finished, version, tips_amount, cost_total FROM tips_order WHERE number = 'A'"
    )
    assert tuple(row) == (True, 6, 500, 100000)


async def test_newer_feedback_is_stored_even_when_the_sum_is_equal_and_older_is_refused(finished: Any) -> None:
    await set_sum(finished, 5, 500)
    assert await set_sum(finished, 6, 500, minutes=1) == ("stored", 7, 500, 500, [])
    assert await set_sum(finished, 7, 900, minutes=0) == ("stale_feedback", 7, 500, 500, [])
    assert await set_sum(finished, 7, 0, minutes=None) == ("stale_feedback", 7, 500, 500, [])
    assert await set_sum(finished, 7, 400, minutes=2) == ("changed", 8, 500, 400, ["decrease"])
    assert await set_sum(finished, 8, 300, minutes=3) == ("changed", 9, 400, 300, [])
    assert await set_sum(finished, 9, 0, minutes=4) == ("changed", 10, 300, 0, ["removed"])
    assert await set_sum(finished, 10, 600, minutes=5) == ("changed", 11, 0, 600, ["increase"])


async def test_unknown_unfinished_and_zeroed_orders_are_refused(finished: Any) -> None:
    assert await set_sum(finished, 5, 500, number="B") == ("not_finished", 5, 0, 0, [])
    assert await set_sum(finished, 5, 500, number="C") == ("not_found", None, None, None, [])
    await finished.execute("UPDATE orders SET tips_zeroed_at = now(), tips_zeroed_reason = 'refund' WHERE number = 'A'")
    assert await set_sum(finished, 5, 500) == ("zeroed", 5, 0, 0, [])


async def test_of_many_concurrent_calls_with_one_version_one_wins(finished: Any, dsn: str) -> None:
    pool = await asyncpg.create_pool(dsn, min_size=8, max_size=8)

    async def one(amount: int) -> str:
        async with pool.acquire() as connection:
            return str((await set_sum(connection, 5, amount, minutes=amount))[0])

    outcomes = await asyncio.gather(*(one(amount) for amount in range(1, 9)))
    await pool.close()
    assert sorted(outcomes) == ["changed", *["stale_version"] * 7]


async def test_the_role_tips_sees_the_view_and_calls_the_function_and_nothing_else(finished: Any) -> None:
    async with finished.transaction():
        await finished.execute("SET LOCAL ROLE tips")
        assert await finished.fetchval("SELECT count(*) FROM tips_order") == 2
        assert (await set_sum(finished, 5, 500))[0] == "changed"
    for statement in ("SELECT * FROM orders", "UPDATE orders SET tips_amount = 1", "DELETE FROM stock_movements"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with finished.transaction():
                await finished.execute("SET LOCAL ROLE tips")
                await finished.execute(statement)


async def test_a_late_hook_and_the_tips_service_do_not_lose_each_other_s_writes(
    start: Any, gateway: Any, database: Any
) -> None:
    from tests.support.servers import eventually

    api = await start()
    number = gateway.number("T1")
    await gateway.send(
        gateway.hook("T1", "order.created", minute=1, positions=[gateway.position("a", 1, "100.00")]),
        gateway.hook("T1", "order.delivered", minute=5),
    )

    async def delivered() -> Any:
        order = await api.order(number)
        assert order["status"] == "delivered"
        return order

    version = (await eventually(delivered))["version"]
    assert (await set_sum(database, version, 1000, number=number))[0] == "changed"
    await gateway.send(gateway.hook("T1", "order.paid", minute=6, positions=[gateway.position("a", 1, "90.00")]))

    async def corrected() -> Any:
        order = await api.order(number)
        assert (order["totals"]["cost"], order["tips"]["amount"], order["version"]) == (9000, 1000, version + 2)
        return True

    await eventually(corrected)
