"""A notifier in process, on a database and a virtual host of the test's own, and the sandbox as Telegram, Slack and SMTP."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg
import pytest
from pydantic import SecretStr

from common.contracts import Envelope
from common.contracts.envelope import Message
from common.contracts.orders import OrderCreatedV1, OrderSnapshot, Position
from common.ids import derived_id, order_number
from common.messaging import Broker
from common.messaging.topology import ORCHESTRATOR_JOURNAL
from common.service import Application, running
from notifier.app import build
from notifier.settings import NotifierSettings
from sandbox.testing import RunningSandbox, running_sandbox

NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TOKENS = {
    "tokens": [
        {"name": "vera", "token": "viewer-token", "role": "viewer"},
        {"name": "oleg", "token": "operator-token", "role": "operator"},
        {"name": "machine", "token": "internal-token", "role": "internal"},
    ]
}
PICKERS, STORE = -1001000000001, -1001000000002


def an_order(external_id: str = "H123", *, version: int = 1, **changes: Any) -> OrderSnapshot:
    """An order of an unknown store (so the default chats are told), with everything a picker may read."""
    values: dict[str, Any] = {
        "number": order_number("sbermarket", external_id),
        "source": "sbermarket",
        "external_id": external_id,
        "version": version,
        "status": "created",
        "closed_for_changes": False,
        "shipped": False,
        "store_id": "5",
        "comment": "Звоните на +7 916 123-45-67 <срочно>",
        "shipment_method": "by_courier",
        "replacement_policy": "callOrReplace",
        "positions": (
            Position(id="sku-1", name="Молоко 3,2 %", quantity="2", price=8500, discount_price=8000),
            Position(id="sku-2", quantity="0.50", price=20000),
        ),
        "total_price": 27000,
        "total_discount_price": 26000,
        "updated_at": NOW,
    }
    return OrderSnapshot(**{**values, **changes})


def created(external_id: str = "H123", *, notify: bool = True, **changes: Any) -> OrderCreatedV1:
    """The event of a new order."""
    return OrderCreatedV1(order=an_order(external_id, **changes), notify=notify, occurred_at=NOW)


def enveloped(message: Message, *, event_id: str | None = None, traceparent: str | None = TRACE) -> Envelope:
    """Wrap a message as the orchestrator does; the id follows from what it says unless given."""
    order = getattr(message, "order", None)
    return Envelope.of(
        message,
        event_id=event_id or derived_id("test", message.TYPE, message.model_dump_json()),
        source="/orchestrator",
        subject=getattr(order, "number", None) or getattr(message, "order_number", None),
        time=NOW,
        traceparent=traceparent,
    )


@dataclass(slots=True)
class Kit:
    """What a test of the notifier works with."""

    dsn: str
    amqp_url: str
    sandbox: RunningSandbox
    settings: NotifierSettings
    broker: Broker
    applications: list[Application] = field(default_factory=list)
    journaled: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address of the first replica."""
        return self.applications[0].url

    async def publish(self, *messages: Message | Envelope) -> None:
        """Publish events, confirmed, in order."""
        for message in messages:
            envelope = message if isinstance(message, Envelope) else enveloped(message)
            await self.broker.publisher.publish(envelope, deadline=15.0)

    async def fetch(self, statement: str, *arguments: object) -> list[dict[str, Any]]:
        """Read the notifier's database."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return [dict(row) for row in await connection.fetch(statement, *arguments)]
        finally:
            await connection.close()

    async def telegram(self) -> list[dict[str, Any]]:
        """Every message that Telegram took, in order."""
        return [entry for entry in await self.sandbox.log("telegram") if entry["effect"]]

    async def texts(self, chat: int) -> list[str]:
        """The texts that one chat got, in order."""
        return [
            entry["request"]["text"]
            for entry in await self.telegram()
            if int(entry["request"].get("chat_id", 0)) == chat
        ]

    async def call(self, method: str, path: str, *, role: str = "operator", body: Any = None) -> tuple[int, Any]:
        """Call the first replica; returns (status, JSON)."""
        headers = {"Authorization": f"Bearer {role}-token"}
        async with self.sandbox.session.request(method, self.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def journal(self) -> list[dict[str, Any]]:
        """Take every journal entry out of the orchestrator's queue and remember it."""
        connection = await aio_pika.connect(self.amqp_url)
        async with connection:
            queue = await (await connection.channel()).get_queue(ORCHESTRATOR_JOURNAL.name)
            while (message := await queue.get(fail=False, no_ack=True)) is not None:
                self.journaled.append(Envelope.decode(message.body).data or {})
        return self.journaled


MakeKit = Callable[..., Awaitable[Kit]]


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
                "postgres_dsn": SecretStr(dsn),
                "amqp_url": SecretStr(amqp_url),
                "tokens_file": tokens,
                "environment": "production",
                "telegram_token": SecretStr("4242:test-token"),
                "telegram_api_url": sandbox.telegram_url,
                "slack_token": SecretStr("xoxb-test"),
                "slack_api_url": sandbox.slack_url,
                "smtp_host": sandbox.smtp_host,
                "smtp_port": sandbox.smtp_port,
                "call_deadline": 2.0,
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
