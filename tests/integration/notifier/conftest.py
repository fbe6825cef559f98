"""A notifier in process, on a database and a virtual host of the test's own, and the sandbox as Telegram, Slack and SMTP."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from common.messaging import Broker
from common.service import running
from notifier.app import build
from notifier.settings import NotifierSettings
from sandbox.testing import running_sandbox
from tests.integration.notifier.factories import TOKENS, Kit, MakeKit
from tests.support.servers import as_served


@pytest.fixture
async def make_kit(
    database_for: Callable[[str], Awaitable[str]], amqp_url: str, tmp_path: Path
) -> AsyncIterator[MakeKit]:
    """A function that starts a sandbox and ``replicas`` notifiers; keyword arguments with ``sandbox_`` go to the sandbox.

    A setting may be a function of the sandbox.
    """
    async with AsyncExitStack() as stack:

        async def make(*, replicas: int = 1, routes: dict[str, Any] | None = None, **options: Any) -> Kit:
            outside = {
                name.removeprefix("sandbox_"): options.pop(name)
                for name in list(options)
                if name.startswith("sandbox_")
            }
            # Takes seconds, once a process; no test waits for it.
            await asyncio.to_thread(importlib.import_module, "aiogram")
            sandbox = await stack.enter_async_context(running_sandbox(**outside))
            dsn = await database_for("notifier")
            tokens = tmp_path / "tokens.json"
            tokens.write_text(json.dumps(TOKENS))
            values: dict[str, Any] = {
                "port": 0,
                "postgres_dsn": SecretStr(as_served(dsn)),
                "amqp_url": SecretStr(amqp_url),
                "tokens_file": tokens,
                "environment": "production",
                "telegram_token": SecretStr("4242:test-token"),
                "telegram_api_url": sandbox.telegram_url,
                "slack_token": SecretStr("xoxb-test"),
                "slack_api_url": sandbox.slack_url,
                "smtp_host": sandbox.smtp_host,
                "smtp_port": sandbox.smtp_port,
                "call_deadline": 6.0,  # a call that a busy machine makes late is none whose answer was lost
                "drain_seconds": 5.0,
                "heartbeat_every": 0.0,
            }
            if routes is not None:
                file = tmp_path / "routes.json"
                file.write_text(json.dumps(routes))
                values["routes_file"] = file
            asked = {name: value(sandbox) if callable(value) else value for name, value in options.items()}
            settings = NotifierSettings(**{**values, **asked})
            broker = await stack.enter_async_context(_broker(amqp_url))
            kit = Kit(dsn=dsn, amqp_url=amqp_url, sandbox=sandbox, settings=settings, broker=broker)
            stack.push_async_callback(kit.close)
            for _ in range(replicas):
                kit.applications.append(await stack.enter_async_context(running(build, settings)))
            return kit

        yield make


@asynccontextmanager
async def _broker(url: str) -> AsyncIterator[Broker]:
    broker = Broker(url, name="notifier-test")
    task = asyncio.create_task(broker.run())
    try:
        await broker.wait_ready()
        yield broker
    finally:
        await broker.stop()
        await task
