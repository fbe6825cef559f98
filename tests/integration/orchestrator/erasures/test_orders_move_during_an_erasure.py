"""An order that comes or goes on while its customer is erased: nothing of it stays that nobody would find any more."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial

import asyncpg
import pytest

from common.postgres import Database
from common.service import Subject
from orchestrator.engine.append import append_events
from orchestrator.engine.model import ORDER_LIFE, REFUND_REQUEST, new_event
from orchestrator.erasures.places import erase_orders, erase_subject
from orchestrator.orders.followers import REFUND_PUBLISHED
from tests.integration.orchestrator.conftest import Gateway, Start
from tests.integration.orchestrator.erasures.anna import anna, erase, left
from tests.support.interrupted import InterruptedConnection
from tests.support.servers import eventually


@pytest.mark.parametrize("by", ["number", "phone"])
async def test_an_order_that_comes_during_an_erasure_is_found_by_the_next(
    start: Start, gateway: Gateway, database: asyncpg.Connection, pool: Database, by: str
) -> None:
    api = await start()
    at, statements = 0, 1
    while at < statements:
        order = f"H{at}"
        whom = Subject(order_number=gateway.number(order)) if by == "number" else Subject(phone="+79161234567")
        async with pool.transaction() as connection:
            asked = InterruptedConnection(connection, at=at, by=partial(anna, api, gateway, order))
            await erase_subject(asked.itself, whom)
        statements = asked.statements
        await erase(api, phone="+7 916 123-45-67")
        assert await left(database) == set(), f"came before statement {at} of {statements}"
        at += 1
    assert at > 8  # what was to be interrupted: each kind of place asks


async def test_another_workflow_that_the_order_begins_meanwhile_is_erased_too(
    start: Start, gateway: Gateway, database: asyncpg.Connection, pool: Database
) -> None:
    """Whoever holds the order is waited for; it may have begun a workflow which the first look for them did not show."""
    number = await anna(await start(), gateway)
    said = {"payment_id": None, "amount": None, "currency": "RUB", "reason": "Смирнова звонила", "requested_by": "test"}
    refund = new_event(
        number,
        REFUND_REQUEST,
        REFUND_PUBLISHED,
        "1",
        key=f"{number}:cancel",
        attributes=said,
        now=datetime.now(UTC),
        traceparent=None,
    )

    async def erased() -> None:
        async with pool.transaction() as connection:
            await erase_orders(connection, [number])

    async def waits() -> bool:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(await database.fetchval(waiting))

    async with pool.transaction() as connection:
        await connection.execute(
            "SELECT FROM workflow WHERE order_number = $1 AND kind = $2 FOR UPDATE", number, ORDER_LIFE
        )
        erasure = asyncio.create_task(erased())
        await eventually(waits)
        await append_events(connection, [refund])
    await erasure
    assert await left(database) == set()
