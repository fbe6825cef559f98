"""A database with the platform's tables, and a running broker link."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry

from common.messaging import Broker, MessagingMetrics
from common.messaging.topology import QUEUES
from common.postgres import Database
from tests.support.servers import TestRabbit


@pytest.fixture
async def amqp_url(rabbit: TestRabbit) -> AsyncIterator[str]:
    """The address of an empty virtual host: these tests see queues being made, and unmake them."""
    async with rabbit.virtual_host() as url:
        yield url


@pytest.fixture
async def database(database_for: Callable[[str], Awaitable[str]]) -> AsyncIterator[Database]:
    """An open pool on a fresh database of a service (any has the platform's tables)."""
    pool = Database(await database_for("orchestrator"), application_name="test", max_size=10)
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[Broker]:
    """A link that is ready to publish."""
    link = Broker(amqp_url, name="test")
    task = asyncio.create_task(link.run())
    await asyncio.wait_for(link.wait_ready(), 60)
    yield link
    await link.stop()
    await task


@pytest.fixture
def metrics() -> MessagingMetrics:
    """Counters of this test alone."""
    return MessagingMetrics(CollectorRegistry(), queues=QUEUES)
