"""A broker that is short of disk takes nothing more, and is relieved by whoever reads: also by who only connects then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import pytest

from common.contracts import Envelope
from common.errors import Unavailable
from common.messaging import Consumer, MessagingMetrics, topology
from common.postgres import Connection, Database
from suite_local.credentials import Credentials
from suite_local.provisioning import broker_urls, provision_broker
from tests.integration.common.messaging.replicas import entry
from tests.support.servers import eventually
from tests.support.tls_servers import TlsRabbitmq, running

SPEC = topology.ORCHESTRATOR_JOURNAL


@pytest.fixture(scope="module")
def server() -> Iterator[TlsRabbitmq]:
    """A broker of these tests' own."""
    with running(TlsRabbitmq) as made:
        yield made


@asynccontextmanager
async def short_of_disk(server: TlsRabbitmq) -> AsyncIterator[None]:
    """Let the broker believe that its disk is nearly full; it looks every ten seconds at most."""
    await asyncio.to_thread(server.control, "set_disk_free_limit", "100000GB")
    try:
        await asyncio.sleep(12)
        yield
    finally:
        await asyncio.to_thread(server.control, "set_disk_free_limit", "200MB")


@pytest.mark.parametrize("account", [pytest.param("of everything", marks=pytest.mark.chaos), "of the service"])
async def test_who_connects_meanwhile_reads_what_waits(
    server: TlsRabbitmq, account: str, database: Database, metrics: MessagingMetrics, tmp_path: Path
) -> None:
    everything = server.server.url
    if account == "of the service":
        credentials = Credentials(tmp_path)
        await asyncio.to_thread(provision_broker, server.server.api_url, everything, credentials)
        url = broker_urls(everything, credentials)["orchestrator"]
    else:
        url = everything
    async with await aio_pika.connect(everything) as connection:
        channel = await connection.channel(publisher_confirms=True)
        await topology.declare(channel)
        target = await channel.get_exchange(SPEC.replays, ensure=False)
        await target.publish(aio_pika.Message(entry(account).encode()), SPEC.name)
    came: list[str] = []

    async def take(_: Connection, envelopes: Sequence[Envelope]) -> None:
        came.extend(envelope.id for envelope in envelopes)

    async with short_of_disk(server):
        consumer = Consumer(
            url,
            SPEC,
            database=database,
            name="journal",
            service="orchestrator",
            handler=take,
            metrics=metrics,
        )
        task = asyncio.create_task(consumer.run())
        try:

            async def read() -> bool:
                try:
                    await consumer.check()
                except Unavailable:
                    return False
                return came == [account]

            await eventually(read, within=20, what="the message read while the alarm lasts")
        finally:
            await consumer.stop()
            await task
