"""The gateway is killed at every await while hooks travel together; all of them are repeated, and each is one order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import aio_pika
import pytest

from common.messaging import topology
from tests.chaos.gateway_path import (
    BATCH_OF_ONE,
    BATCH_RETURNED,
    BATCHES,
    LARGE_BESIDE_BATCHES,
    broker_ready,
    crashing,
    places,
)
from tests.support.processes import Program, created

SETTINGS = {"BATCH_HOOKS": "true", "CONFIRM_DEADLINE": "0.9"}


async def nowhere_to_go(gateway: Program, amqp_url: str) -> None:
    """Unbind the queues: the broker returns what comes next, and the gateway binds them again."""
    await broker_ready(gateway)
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        for spec in (topology.RECORDER, topology.ORCHESTRATOR_INTAKE):
            queue = await channel.get_queue(spec.name)
            for pattern in spec.patterns:
                await queue.unbind(spec.exchange, pattern)


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_it_dies_at_every_await_while_hooks_travel_together(
    tmp_path: Path, database_for: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    async with crashing(tmp_path, database_for, amqp_url, gateway_amqp=amqp_url, **SETTINGS) as crashes:
        orders: list[str] = []
        for name, when in places(BATCHES, BATCH_OF_ONE):
            orders += await crashes.among_many(name, when, before=lambda: broker_ready(crashes.gateway))
        for name, when in places(LARGE_BESIDE_BATCHES):
            await broker_ready(crashes.gateway)
            orders.append(await crashes.at(name, when, body=lambda order: created(order, comment="z" * 40_000)))
        # Each hook of a returned batch is returned, too: that await ends with an error, and there is no "after".
        for name, _ in places(BATCH_RETURNED)[:1]:
            orders += await crashes.among_many(name, "before", before=lambda: nowhere_to_go(crashes.gateway, amqp_url))
        await crashes.settled(orders)
