"""The gateway, built as production builds it, on real servers."""

from __future__ import annotations

import io
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import pytest
from pydantic import SecretStr

from common.contracts.batch import unpack
from common.contracts.envelope import Envelope
from common.contracts.intake import IntakeMessage
from common.messaging import topology
from common.service import running
from tests.support.servers import as_served, eventually
from webhook_gateway.app import build
from webhook_gateway.settings import Settings

ROLES = ("viewer", "operator", "admin", "website", "website_manager")
OF_SITES = (
    {"name": "kz", "token": "kz-token", "role": "website", "source": "website:kz"},
    {"name": "kz_manager", "token": "kz_manager-token", "role": "website_manager", "source": "website:kz"},
    {"name": "shop_server", "token": "shop_server-token", "role": "website"},
)
SOURCES = {
    "sbermarket": {"auth": {"kind": "client_token", "tokens": ["new-token", "old-token"]}},
    "strict": {"auth": {"kind": "client_token", "tokens": ["strict-token"]}, "on_invalid": "reject"},
    "kuper": {"auth": {"kind": "standard_webhooks", "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}},
    "shop": {"auth": {"kind": "basic", "credentials": [{"username": "shop", "password": "secret"}]}},
}
TOKEN = {"Client-token": "new-token"}
_DEADLINES = ("confirm_deadline", "spool_deadline", "orders_limit_deadline")


def hook_body(event: str = "order.created", order: str = "H1", **payload: Any) -> dict[str, Any]:
    """A hook as the marketplace sends it."""
    return {
        "event_type": event,
        "timestamp": "2026-11-21T10:00:00+03:00",
        "payload": {
            "originalOrderId": order,
            "positions": [{"id": "sku-1", "quantity": 2, "price": "85.00"}],
            **payload,
        },
    }


def bearer(role: str) -> dict[str, str]:
    """The header of a role's token."""
    return {"Authorization": f"Bearer {role}-token"}


_ids: Iterator[int] = count()


def edge_line(**changes: Any) -> str:
    """A line as nginx writes it: a website order that no gateway answered."""
    number = next(_ids)
    fields = {
        "at": time.time(),
        "id": f"line-{number}",
        "request_id": f"request-{number}",
        "method": "POST",
        "path": "/api/v1/orders/",
        "status": 503,
        "upstream_status": "502",
        "client": f"198.51.{number % 250}.7",
        "size": 400,
        "idempotency_key": f"edge-{number}",
    }
    return json.dumps({**fields, **changes}, separators=(",", ":")) + "\n"


@dataclass
class Gateway:
    """A running gateway and a session to call it with."""

    url: str
    session: aiohttp.ClientSession
    seen: list[IntakeMessage] = field(default_factory=list)

    async def send(
        self, body: object, *, path: str = "/hooks/v1/sbermarket", headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Post a body (bytes as they are, anything else as JSON); return status, parsed answer and headers."""
        data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        async with self.session.post(
            self.url + path, data=data, headers=TOKEN if headers is None else headers
        ) as answer:
            return answer.status, await answer.json(content_type=None), dict(answer.headers)

    async def get(self, path: str, *, role: str = "viewer") -> Any:
        """Read an admin address."""
        async with self.session.get(self.url + path, headers=bearer(role)) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def change(
        self, path: str, body: object, *, role: str = "operator", method: str = "POST", **headers: str
    ) -> tuple[int, Any]:
        """Post to an admin address, or send what else changes something."""
        async with self.session.request(
            method, self.url + path, json=body, headers={**bearer(role), **headers}
        ) as answer:
            return answer.status, await answer.json(content_type=None)

    async def metric(self, name: str) -> float:
        """Read one series of /metrics, labels and all."""
        async with self.session.get(self.url + "/metrics") as answer:
            for line in (await answer.text()).splitlines():
                if line.startswith(name + " "):
                    return float(line.rpartition(" ")[2])
        raise AssertionError(f"there is no series {name}")

    async def deliveries(self, count: int, query: str = "") -> list[dict[str, Any]]:
        """Wait until the recorder has kept so many deliveries; return them, the oldest first."""

        async def enough() -> list[dict[str, Any]]:
            items: list[dict[str, Any]] = (await self.get(f"/admin/v1/deliveries?limit=200{query}"))["items"]
            return items if len(items) >= count else []

        found = await eventually(enough, what=f"{count} deliveries")
        assert len(found) == count
        return found[::-1]


Start = Callable[..., AbstractAsyncContextManager[Gateway]]


@pytest.fixture
async def start(tmp_path: Path, amqp_url: str, database_for: Callable[[str], Awaitable[str]]) -> Start:
    """A function that runs a gateway; those of one test share database and broker, each has its own spool."""
    dsn = await database_for("webhook_gateway")
    tokens = tmp_path / "tokens.json"
    by_role = [{"name": r, "token": f"{r}-token", "role": r} for r in ROLES]
    tokens.write_text(json.dumps({"tokens": [*by_role, *OF_SITES]}))
    sources = tmp_path / "sources.json"
    sources.write_text(json.dumps(SOURCES))

    @asynccontextmanager
    async def make(replica: str = "gw-1", *, ready: bool = True, **changes: Any) -> AsyncIterator[Gateway]:
        values: dict[str, Any] = {
            "port": 0,
            "postgres_dsn": SecretStr(as_served(dsn)),
            "amqp_url": SecretStr(amqp_url),
            "tokens_file": tokens,
            "sources_file": sources,
            "spool_dir": tmp_path / "spool" / replica,
            "replica": replica,
            "breaker_pause": 0.1,
            "watch_every": 0.1,
            **changes,
        }
        # More patient than anybody may be in earnest: a machine that stops for a moment spools nothing that a test wants confirmed,
        # and lets no order pass that is to be limited.
        patient = {name: 30.0 for name in _DEADLINES if name not in changes}
        settings = Settings(**values).model_copy(update=patient)
        async with running(build, settings) as application, aiohttp.ClientSession() as session:
            gateway = Gateway(application.url, session)
            if ready:
                await eventually(_connected(gateway), what="the broker lane")
            yield gateway

    return make


def _connected(gateway: Gateway) -> Callable[[], Awaitable[bool]]:
    async def probe() -> bool:
        return await gateway.metric("gateway_broker_ready") == 1.0

    return probe


@asynccontextmanager
async def watched(amqp_url: str, spec: topology.QueueSpec) -> AsyncIterator[Callable[[int], Awaitable[list[Envelope]]]]:
    """Reads a queue as its service would: a function that waits for so many events and returns them in order."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        await topology.declare(channel)
        queue = await channel.get_queue(spec.name)
        seen: list[Envelope] = []
        known: set[str] = set()

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            for event in map(Envelope.decode, unpack(message.body)):
                name = event.extension("deliveryid") or event.id
                if (
                    name not in known
                ):  # a delivery may come twice: by both storage paths, or published again after a lost confirmation
                    known.add(name)
                    seen.append(event)
            await message.ack()

        await queue.consume(take)

        async def wait_for(count: int) -> list[Envelope]:
            async def enough() -> bool:
                return len(seen) >= count

            await eventually(enough, what=f"{count} events in {spec.name}")
            return list(seen)

        yield wait_for


@pytest.fixture
async def arrived(amqp_url: str) -> AsyncIterator[Callable[[int], Awaitable[list[IntakeMessage]]]]:
    """What the orchestrator gets: a function that waits for so many hooks and returns them in order."""
    async with watched(amqp_url, topology.ORCHESTRATOR_INTAKE) as wait_for:

        async def take_hooks(count: int) -> list[IntakeMessage]:
            hooks = [IntakeMessage.from_envelope(event) for event in await wait_for(count)]
            assert len(hooks) == count
            return hooks

        yield take_hooks
