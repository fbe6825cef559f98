"""The gateway is killed at every await while hooks travel together; all of them are repeated, and each is one order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.chaos.gateway_path import (
    BATCH_OF_ONE,
    BATCHES,
    LARGE_BESIDE_BATCHES,
    broker_ready,
    crashing,
    places,
)
from tests.support.processes import created

SETTINGS = {"BATCH_HOOKS": "true", "CONFIRM_DEADLINE": "0.9"}


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
        await crashes.settled(orders)
