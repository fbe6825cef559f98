"""The orchestrator in process, on real servers, and a gateway that publishes hooks."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import asyncpg
import pytest

from common.contracts.envelope import Envelope
from common.contracts.intake import HOOK_RECEIVED, IntakeMessage
from common.ids import derived_id, new_id, order_number
from common.messaging import Broker
from common.postgres import Database, prepare_connection
from common.service import running
from orchestrator.app import build
from orchestrator.settings import OrchestratorSettings
from tests.support.servers import as_served, eventually

SOURCE = "sbermarket"
START = datetime(2026, 11, 21, 10, tzinfo=UTC)
TOKENS = {role: f"{role}-secret-token" for role in ("viewer", "operator", "admin", "internal")}


@dataclass
class Gateway:
    """Publishes hooks as the real gateway does."""

    broker: Broker
    source: str = SOURCE

    @staticmethod
    def position(identifier: str, quantity: object = 2, price: str = "85.00") -> dict[str, Any]:
        """One position, as a marketplace writes it."""
        return {"id": identifier, "originalQuantity": quantity, "quantity": quantity, "price": price}

    def number(self, external_id: str) -> str:
        """Our number of an order."""
        return order_number(self.source, external_id)

    def hook(
        self,
        external_id: str,
        event: str,
        *,
        minute: float = 0,
        positions: list[dict[str, Any]] | None = None,
        traceparent: str | None = None,
        without_time: bool = False,
        **payload: Any,
    ) -> IntakeMessage:
        """Return a hook that the marketplace sent ``minute`` minutes after the start."""
        body: dict[str, Any] = {"originalOrderId": external_id, "storeID": "17", **payload}
        if event != "order.created":
            body.pop("storeID")
        if positions is not None:
            body["positions"] = positions
        sent_at = None if without_time else (START + timedelta(minutes=minute)).isoformat()
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        delivery = new_id()
        if event == "order.created":
            event_id = derived_id(self.source, external_id, event)
        elif sent_at is None:
            event_id = delivery
        else:
            event_id = derived_id(self.source, external_id, event, digest, sent_at)
        return IntakeMessage(
            type=HOOK_RECEIVED,
            event_id=event_id,
            delivery_id=delivery,
            source=self.source,
            event=event,
            body_form="envelope",
            body=json.dumps({"event_type": event, "timestamp": sent_at, "payload": body}).encode(),
            received_at=datetime.now(UTC),
            replica="test",
            number=order_number(self.source, external_id),
            external_id=external_id,
            sent_at=sent_at,
            digest=digest,
            traceparent=traceparent,
        )

    async def send(self, *hooks: IntakeMessage) -> None:
        """Publish, one after another, each confirmed."""
        for hook in hooks:
            await self.broker.publisher.publish(hook.to_envelope())


@dataclass
class Api:
    """The orchestrator's HTTP interface."""

    session: aiohttp.ClientSession
    url: str

    async def call(
        self, method: str, path: str, body: Any = None, *, role: str = "admin", headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Return status and JSON."""
        sent = {"Authorization": f"Bearer {TOKENS[role]}", **(headers or {})}
        async with self.session.request(method, self.url + path, json=body, headers=sent) as answer:
            return answer.status, await answer.json(content_type=None)

    async def get(self, path: str, *, role: str = "viewer") -> Any:
        """Return the JSON of a 200."""
        status, body = await self.call("GET", path, role=role)
        assert status == 200, body
        return body

    async def order(self, number: str) -> Any:
        """Return an order; fails while it does not exist."""
        return await self.get(f"/orders/v1/orders/{number}")

    async def all(self, path: str) -> list[Any]:
        """Return the items of all pages of a list."""
        items: list[Any] = []
        cursor = None
        while True:
            mark = "&" if "?" in path else "?"
            page = await self.get(f"{path}{mark}limit=200" + (f"&cursor={cursor}" if cursor else ""))
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items


@pytest.fixture
async def dsn(database_for: Callable[[str], Awaitable[str]]) -> str:
    """The address of a fresh orders database."""
    return await database_for("orchestrator")


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Database]:
    """The service's own kind of pool on the test's database."""
    made = Database(dsn, application_name="test")
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to look into the database."""
    connection = await asyncpg.connect(dsn)
    await prepare_connection(connection)
    yield connection
    await connection.close()


@pytest.fixture
def settings(dsn: str, amqp_url: str, tmp_path: Path) -> OrchestratorSettings:
    """Settings for a quick orchestrator on a free port."""
    tokens = tmp_path / "tokens.json"
    entries = [{"name": role, "token": token, "role": role} for role, token in TOKENS.items()]
    tokens.write_text(json.dumps({"tokens": entries}))
    return OrchestratorSettings(
        port=0,
        postgres_dsn=as_served(dsn),
        amqp_url=amqp_url,
        tokens_file=tokens,
        poll=0.1,
        retry_base=0.02,
        retry_cap=0.1,
        measure_every=0.2,
        upkeep_every=0.1,
    )


Start = Callable[..., Awaitable[Api]]


@pytest.fixture
async def start(settings: OrchestratorSettings) -> AsyncIterator[Start]:
    """A function that starts one replica more, with other settings if any are given; all are drained after the test."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def make(**changes: Any) -> Api:
            application = await stack.enter_async_context(running(build, settings.model_copy(update=changes)))
            api = Api(session, application.url)

            async def ready() -> bool:
                async with session.get(api.url + "/readyz") as answer:
                    assert answer.status == 200, await answer.text()
                    return True

            await eventually(ready, what="the orchestrator is ready")
            return api

        yield make


@dataclass
class Listener:
    """What another service finds in its queue."""

    channel: aio_pika.abc.AbstractChannel

    async def take(self, queue: str) -> list[Envelope]:
        """Take everything that is in a queue now."""
        source = await self.channel.get_queue(queue)
        found = []
        while (message := await source.get(no_ack=True, fail=False)) is not None:
            found.append(Envelope.decode(message.body))
        return found

    async def gather(self, queue: str, count: int) -> list[Envelope]:
        """Take events from a queue until there are so many; exactly so many, unless more come at once."""
        found: list[Envelope] = []

        async def enough() -> bool:
            found.extend(await self.take(queue))
            return len(found) >= count

        await eventually(enough, what=f"{count} events in {queue}")
        return found


@pytest.fixture
async def listener(amqp_url: str, gateway: Gateway) -> AsyncIterator[Listener]:
    """A look into the queues of other services (the gateway has declared them)."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        yield Listener(await connection.channel())


@pytest.fixture
async def gateway(amqp_url: str) -> AsyncIterator[Gateway]:
    """A gateway with a broker connection of its own."""
    broker = Broker(amqp_url, name="test-gateway")
    task = asyncio.create_task(broker.run())
    await broker.wait_ready()
    yield Gateway(broker)
    await broker.stop()
    await task
