"""The refunds service in process, on real PostgreSQL and RabbitMQ, with the sandbox's payment systems."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from common.messaging import Broker
from refunds.settings import RefundsSettings
from sandbox.testing import RunningSandbox, running_sandbox
from tests.integration.refunds.factories import TOKENS, InWorld, RefundsClient, Start, serving
from tests.support.refund_world import World
from tests.support.refund_world import in_world as play_in_world
from tests.support.servers import as_served


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    """The outside world."""
    async with running_sandbox() as world:
        yield world


@pytest.fixture
async def start(
    tmp_path: Path,
    sandbox: RunningSandbox,
    database_for: Callable[[str], Awaitable[str]],
    amqp_url: str,
) -> AsyncIterator[Start]:
    """A function that starts the service, impatient enough for tests; called twice it starts two replicas of one service."""
    tokens = tmp_path / "tokens.json"
    entries = [{"name": f"test-{role}", "token": token, "role": role} for role, token in TOKENS.items()]
    tokens.write_text(json.dumps({"tokens": entries}))
    dsn = await database_for("refunds")
    async with AsyncExitStack() as stack:

        async def make(**changes: Any) -> RefundsClient:
            values: dict[str, Any] = {
                "port": 0,
                "postgres_dsn": as_served(dsn),
                "amqp_url": amqp_url,
                "trust_url": sandbox.trust_url,
                "trust_service_token": "trust-token",
                "tokens_file": tokens,
                "poll": 0.05,
                "poll_base": 0.05,
                "poll_cap": 0.2,
                "retry_base": 0.05,
                "retry_cap": 0.2,
                "unknown_ladder": (0.05, 0.1),
                "gateway_deadline": 1.2,  # a quarter of the lease at most; patient with a busy machine
                "lease": 5.0,
            }
            settings = RefundsSettings(**(values | changes))
            return await stack.enter_async_context(serving(settings, sandbox, dsn, amqp_url))

        yield make


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[Broker]:
    """A link to publish through, as another service would."""
    link = Broker(amqp_url, name="test")
    task = asyncio.create_task(link.run())
    await link.wait_ready()
    yield link
    await link.stop()
    await task


@pytest.fixture
def in_world(database_for: Callable[[str], Awaitable[str]]) -> InWorld:
    """A function that plays a story in a world of its own."""

    async def play(story: Callable[[World], None]) -> None:
        await play_in_world(await database_for("refunds"), story)

    return play
