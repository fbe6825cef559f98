"""A running refunds service as its callers see it: called over HTTP, with the outside world and the database beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aio_pika
import aiohttp
import asyncpg

from common.contracts import Envelope
from common.service import running
from refunds.app import build
from refunds.settings import RefundsSettings
from sandbox.testing import RunningSandbox
from tests.support.refund_world import World
from tests.support.servers import eventually

InWorld = Callable[[Callable[[World], None]], Awaitable[None]]
"""Plays a story in a world of its own."""

TOKENS = {"internal": "token-internal", "viewer": "token-viewer", "operator": "token-operator", "admin": "token-admin"}


@dataclass(slots=True)
class RefundsClient:
    """One running service, seen from outside, and everything around it."""

    http: aiohttp.ClientSession
    sandbox: RunningSandbox
    dsn: str
    amqp_url: str

    async def call(
        self, method: str, path: str, *, role: str = "internal", **arguments: Any
    ) -> tuple[int, dict[str, Any]]:
        """Call the service with a role's token; return status and JSON."""
        headers = {"Authorization": f"Bearer {TOKENS[role]}", **arguments.pop("headers", {})}
        async with self.http.request(method, path, headers=headers, **arguments) as response:
            return response.status, await response.json()

    async def request(self, **changes: Any) -> tuple[int, dict[str, Any]]:
        """Ask for a refund."""
        body: dict[str, Any] = {
            "order_number": "7Q3M0V9XK2TDW8RC",
            "payment_id": "pay-1",
            "amount": 6_000,
            "currency": "RUB",
            "reason": "cancelled by the customer",
            "business_key": "7Q3M0V9XK2TDW8RC:cancel",
        }
        return await self.call("POST", "/refunds/v1/refunds", json=body | changes)

    async def refund(self, refund_id: str) -> dict[str, Any]:
        """Read one refund."""
        status, body = await self.call("GET", f"/refunds/v1/refunds/{refund_id}")
        assert status == 200
        return body

    async def reaches(self, refund_id: str, state: str) -> dict[str, Any]:
        """Wait until the refund is in the state, and return it."""

        async def there() -> dict[str, Any]:
            found = await self.refund(refund_id)
            assert found["state_name"] == state
            return found

        return await eventually(there, what=f"refund in {state}")

    async def path(self, refund_id: str) -> list[str]:
        """The states a refund went through."""
        _, body = await self.call("GET", f"/admin/v1/refunds/{refund_id}/history", role="viewer")
        return [entry["after_name"] for entry in body["items"]]

    async def ledger(self, payment_id: str = "pay-1") -> dict[str, Any]:
        """What Trust itself says of a payment: refunded, spent, refunds with their keys."""
        page = await self.sandbox.control("GET", "/sandbox/trust/ledger")
        found: dict[str, Any] = next(item for item in page["items"] if item["payment_id"] == payment_id)
        return found

    async def sums(self, payment_id: str) -> tuple[int, int]:
        """What our books say was captured of a payment, and what of it is refunded or may be."""
        (row,) = await self.fetch("SELECT captured, reserved FROM payments WHERE payment_id = $1", payment_id)
        return row["captured"], row["reserved"]

    async def raised(self, kind: str) -> list[dict[str, Any]]:
        """The problems of a kind that wait for the notifier now; they are taken."""
        connection = await aio_pika.connect(self.amqp_url)
        async with connection:
            queue = await (await connection.channel()).get_queue("notifier.alerts")
            found = []
            while message := await queue.get(no_ack=True, fail=False):
                envelope = Envelope.decode(message.body)
                if envelope.type == "alerts.problem.raised.v1" and (envelope.data or {}).get("kind") == kind:
                    found.append(envelope.data or {})
            return found

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Look into the service's database."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    async def event(self, queue: str, event_type: str, /, **wanted: Any) -> dict[str, Any]:
        """Read a consumer's queue until an event of this type with these data comes; return its data."""
        connection = await aio_pika.connect(self.amqp_url)
        async with connection:
            channel = await connection.channel()
            found = await channel.get_queue(queue)

            async def next_one() -> dict[str, Any]:
                while message := await found.get(no_ack=True, fail=False):
                    envelope = Envelope.decode(message.body)
                    data = envelope.data or {}
                    if envelope.type == event_type and all(data.get(key) == value for key, value in wanted.items()):
                        return data
                return {}

            return await eventually(next_one, what=f"{event_type} in {queue}")


Start = Callable[..., Awaitable[RefundsClient]]


@asynccontextmanager
async def serving(
    settings: RefundsSettings, sandbox: RunningSandbox, dsn: str, amqp_url: str
) -> AsyncIterator[RefundsClient]:
    """Run the service until the block ends. ``dsn`` is the database as its owner reaches it."""
    async with (
        running(build, settings) as application,
        aiohttp.ClientSession(application.url) as session,
    ):
        service = RefundsClient(session, sandbox, dsn, amqp_url)

        async def ready() -> bool:
            async with session.get("/readyz") as response:
                return response.status == 200

        await eventually(ready, what="readiness")
        yield service


async def act(
    service: RefundsClient, path: str, *, role: str = "operator", key: str | None = None, **body: Any
) -> tuple[int, dict[str, Any]]:
    """An operator does something, with a reason unless the body has one."""
    headers = {} if key is None else {"Idempotency-Key": key}
    json = {"reason": "settled with the bank"} | body
    return await service.call("POST", f"/admin/v1/{path}", role=role, json=json, headers=headers)


async def in_error_after_declines(service: RefundsClient, **changes: Any) -> dict[str, Any]:
    """A refund that Trust has declined for good."""
    if "business_key" not in changes:
        await service.sandbox.put_payment("pay-1", captured=10_000)
    await service.sandbox.fault("trust", mode="declined", match="start_refund")
    _, accepted = await service.request(**changes)
    return await service.reaches(accepted["id"], "ERROR")


async def in_error_although_paid(service: RefundsClient, payment_id: str = "pay-1") -> dict[str, Any]:
    """A refund that Trust has paid, whose answers never arrived."""
    await service.sandbox.put_payment(payment_id, captured=10_000, polls=0)
    await service.sandbox.fault("trust", mode="error", match="start_refund", effect=True)
    await service.sandbox.fault("trust", mode="error", match="get_refund", effect=True)
    _, accepted = await service.request(payment_id=payment_id, business_key=f"7Q3M0V9XK2TDW8RC:{payment_id}")
    return await service.reaches(accepted["id"], "ERROR")
