"""However long a server was away: who waits for it asks again within four seconds, for that is how soon the suite is to be back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from common.messaging import Broker, MessagingMetrics, OutboxRelay, broker, outbox, reader, topology
from common.messaging.reader import BatchReader
from common.postgres import Database
from suite_local.ports import free_port

TRIES = 40
LONGEST_S = 4.0


async def connect(port: int) -> Any:
    return Broker(f"amqp://127.0.0.1:{port}/", name="test")


async def read(port: int) -> Any:
    spec = topology.RECORDER

    async def process(_batch: object) -> None:
        """Nothing comes."""

    url = f"amqp://127.0.0.1:{port}/"
    return BatchReader(url, spec=spec, source=spec.name, process=process, batch_size=1, linger=0)


async def relay(port: int) -> Any:
    database = Database(f"postgresql://127.0.0.1:{port}/none", application_name="test")
    await database.open()
    publisher = Broker("amqp://127.0.0.1/", name="test").publisher
    return OutboxRelay(database, publisher, metrics=MessagingMetrics(CollectorRegistry(), queues=()))


@pytest.mark.parametrize(("module", "make"), [(broker, connect), (reader, read), (outbox, relay)])
async def test_the_longest_wait_between_two_tries_is_below_the_limit(
    module: Any, make: Callable[[int], Awaitable[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def pause(stopping: asyncio.Event, seconds: float) -> None:
        """Note the wait instead of waiting; enough is enough."""
        waits.append(seconds)
        if len(waits) == TRIES:
            stopping.set()

    monkeypatch.setattr(module, "pause", pause)
    # Jitter only shortens a wait: this is the longest that chance could have made it.
    monkeypatch.setattr(module, "full_jitter", lambda attempt, *, base, cap: min(cap, base * 2**attempt), raising=False)
    running = await make(free_port())
    await asyncio.wait_for(running.run(), 60)
    assert len(waits) == TRIES
    assert max(waits) <= LONGEST_S
