"""Three real gateways behind a real nginx; one is killed under load, and no hook fails."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import pytest

from common.contracts.envelope import Envelope
from common.ids import order_number
from common.messaging.topology import ORCHESTRATOR_INTAKE
from suite_local.ports import LOOPBACK
from tests.support.servers import eventually

TOKEN = "the-marketplace's-token"
CALLERS = 12
EACH_PHASE = 250
"""Hooks answered, at least, before the kill, while the replica is away, after it has come back, and after another has gone in order."""


@dataclass(slots=True)
class Gateway:
    """One replica as a process: its port and its spool stay through a kill."""

    name: str
    port: int
    environment: dict[str, str]
    directory: Path
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and return when it is ready."""
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "webhook_gateway", "serve"), env=self.environment, stdout=log, stderr=log
            )
        await eventually(self._ready, what=f"{self.name} is ready")

    async def end(self, number: signal.Signals) -> int:
        """Send the signal to this very process and return its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 60)

    async def kill(self) -> None:
        """End it however it is; harmless when it was never started."""
        if self.process is not None:
            await self.end(signal.SIGKILL)

    async def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, (self.directory / f"{self.name}.log").read_text()[-2000:]
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{LOOPBACK}:{self.port}/readyz") as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False


@dataclass(slots=True)
class Marketplace:
    """Sends `order.created` without pause until told to stop, every fifth one twice, and keeps each answer that is not as it must be."""

    url: str
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    sent: set[str] = field(default_factory=set)
    answered: int = 0
    wrong: list[Any] = field(default_factory=list)
    _ids: Any = field(default_factory=itertools.count)

    async def run(self) -> None:
        """Send until `stop` is set; every hook that was begun gets its answer first."""
        timeout = aiohttp.ClientTimeout(total=60)  # how long is measured where the machine is quiet
        async with (
            aiohttp.ClientSession(self.url, timeout=timeout, headers={"Client-token": TOKEN}) as session,
            asyncio.TaskGroup() as callers,
        ):
            for _ in range(CALLERS):
                callers.create_task(self._call(session))

    async def reaches(self, answered: int) -> None:
        """Wait until so many hooks have been answered."""

        async def enough() -> bool:
            return self.answered >= answered

        await eventually(enough, what=f"{answered} answers (have {self.answered}, wrong {self.wrong[:3]})")

    async def _call(self, session: aiohttp.ClientSession) -> None:
        while not self.stop.is_set():
            index = next(self._ids)
            external_id = f"pool-{index}"
            self.sent.add(external_id)
            for _ in range(2 if index % 5 == 0 else 1):
                await self._send(session, external_id)

    async def _send(self, session: aiohttp.ClientSession, external_id: str) -> None:
        expected = (200, {"status": "created", "number": order_number("sbermarket", external_id)})
        try:
            async with session.post("/sbermarket/orders/hook/", json=_created(external_id)) as answer:
                got: Any = (answer.status, await answer.json(content_type=None))
        except (aiohttp.ClientError, TimeoutError) as error:
            got = repr(error)
        if got != expected:
            self.wrong.append((external_id, got))
        self.answered += 1


def _created(external_id: str) -> dict[str, Any]:
    position = {"id": "sku-1", "originalQuantity": 1, "quantity": 1, "price": "85.00", "totalPrice": "85.00"}
    return {
        "event_type": "order.created",
        "timestamp": "2026-11-21T10:00:00+03:00",
        "payload": {
            "originalOrderId": external_id,
            "storeID": "17",
            "customer": {"name": "Имя", "phone": "+79001234567"},
            "positions": [position],
            "total": {"totalPrice": "85.00"},
        },
    }


@pytest.fixture
async def gateways(
    tmp_path: Path,
    amqp_url: str,
    database_for: Callable[[str], Awaitable[str]],
    free_port: Callable[[], int],
) -> AsyncIterator[list[Gateway]]:
    """Three ready replicas, each with a spool of its own, on one broker and one database."""
    dsn = await database_for("webhook_gateway")
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"tokens": [{"name": "viewer", "token": "viewer", "role": "viewer"}]}))
    sources = tmp_path / "sources.json"
    sources.write_text(json.dumps({"sbermarket": {"auth": {"kind": "client_token", "tokens": [TOKEN]}}}))
    async with AsyncExitStack() as stack:
        made = []
        for number in (1, 2, 3):
            name, port = f"webhook-gateway-{number}", free_port()
            values = {
                "HOST": LOOPBACK,
                "PORT": str(port),
                "POSTGRES_DSN": dsn,
                "AMQP_URL": amqp_url,
                "TOKENS_FILE": str(tokens),
                "SOURCES_FILE": str(sources),
                "SPOOL_DIR": str(tmp_path / f"spool-{number}"),
                "SPOOL_DEADLINE": "1.4",  # as in compose.yaml: within what nginx gives a replica
                "REPLICA": name,
                "ENVIRONMENT": "testing",
            }
            environment = {f"WEBHOOK_GATEWAY_{key}": value for key, value in values.items()}
            gateway = Gateway(name, port, {"PATH": os.environ["PATH"], **environment}, tmp_path)
            made.append(gateway)
            stack.push_async_callback(gateway.kill)
        await asyncio.gather(*(gateway.start() for gateway in made))
        yield made


async def _orders_at_the_queue(amqp_url: str, wanted: set[str]) -> set[str]:
    """Read the orchestrator's queue until every wanted number was seen; return all that were."""
    seen: set[str] = set()
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=500)
        queue = await channel.get_queue(ORCHESTRATOR_INTAKE.name)

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            seen.add(str(Envelope.decode(message.body).subject))
            await message.ack()

        await queue.consume(take)

        async def all_there() -> bool:
            return wanted <= seen

        await eventually(all_there, what="every order at the queue")
    return seen


@pytest.mark.timeout(600)
async def test_no_hook_fails_while_one_of_three_gateways_is_killed_and_another_stopped(
    gateways: list[Gateway], edge_for: Callable[[Any], Any], amqp_url: str
) -> None:
    killed = gateways[1]
    address = f"{LOOPBACK}:{killed.port}"
    async with edge_for([gateway.port for gateway in gateways]) as edge:
        marketplace = Marketplace(edge.url)
        load = asyncio.create_task(marketplace.run())

        async def ways(since: int) -> list[list[str]]:
            return [line["upstream"].split(", ") for line in (await edge.logged(since))[since:]]

        try:
            await marketplace.reaches(EACH_PHASE)
            assert await killed.end(signal.SIGKILL) == -signal.SIGKILL
            await marketplace.reaches(marketplace.answered + EACH_PHASE)
            await killed.start()
            back = marketplace.answered

            async def used_again() -> bool:
                return [address] in await ways(back)

            await eventually(used_again, what="nginx gives hooks to the replica that came back")
            await marketplace.reaches(back + EACH_PHASE)
            assert await gateways[0].end(signal.SIGTERM) == 0
            await marketplace.reaches(marketplace.answered + EACH_PHASE)
        finally:
            marketplace.stop.set()
            await load
        taken_over = [way for way in await ways(0) if len(way) > 1 and way[0] == address]

    assert marketplace.wrong == []
    assert taken_over, "the kill met no hook: nothing was shown"
    numbers = {order_number("sbermarket", external_id) for external_id in marketplace.sent}
    assert await _orders_at_the_queue(amqp_url, numbers) == numbers
