"""TLS with a real broker and real certificates: one that is not believed is away and told nothing until it is mended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from common.errors import NotTrusted, Unavailable
from common.messaging import Broker
from suite_local.ports import LOOPBACK, free_port
from tests.support.servers import eventually
from tests.support.tls_servers import TlsRabbitmq, running


@pytest.fixture(scope="module")
def server() -> Iterator[TlsRabbitmq]:
    """A broker of these tests' own."""
    with running(TlsRabbitmq) as made:
        yield made


@asynccontextmanager
async def linked(url: str) -> AsyncIterator[Broker]:
    """A link that goes on trying."""
    link = Broker(url, name="tls")
    task = asyncio.create_task(link.run())
    try:
        yield link
        assert not task.done()  # whatever it met, the process lives
    finally:
        await link.stop()
        await task


async def why(link: Broker) -> Unavailable | None:
    """Return why nothing can be published, once a connection was tried; None when it can."""

    async def tried() -> list[Unavailable | None]:
        try:
            await link.check()
        except Unavailable as error:
            return [] if "not connected yet" in error.detail else [error]
        return [None]

    [found] = await eventually(tried, what="an attempt")
    return found


async def refusal(url: str) -> str:
    """Return why the broker is not believed."""
    async with linked(url) as link:
        found = await why(link)
    assert isinstance(found, NotTrusted), found
    assert (found.code, found.retryable) == ("server_not_trusted", True)
    return found.detail


async def test_any_node_that_is_believed_is_published_to_over_tls(server: TlsRabbitmq) -> None:
    hosts = f"{LOOPBACK}:{free_port()},{LOOPBACK}:{server.port}"
    async with linked(server.url(hosts=hosts)) as link:
        await asyncio.wait_for(link.wait_ready(), 60)
        assert await why(link) is None


async def test_a_broker_that_is_not_believed_is_away_in_clear_words(server: TlsRabbitmq) -> None:
    elsewhere = server.url(hosts=f"localhost:{server.port}")
    assert "certificate is not believed: Hostname mismatch" in await refusal(elsewhere)
    strangers = server.url(ca=server.stranger.file)
    assert "certificate is not believed: unable to get local issuer" in await refusal(strangers)
    assert "file of certificates" in await refusal(server.url(ca=Path("/nowhere/ca.crt")))
    to_a_plain_port = server.url(hosts=f"{LOOPBACK}:{server.server.port}")
    assert "TLS failed" in await refusal(to_a_plain_port)


async def test_without_tls_a_port_that_speaks_it_is_away_and_nothing_else_is_tried(server: TlsRabbitmq) -> None:
    async with linked(server.url(scheme="amqp")) as link:
        found = await why(link)
    assert type(found) is Unavailable
    assert "connection reset" in found.detail


async def test_an_expired_certificate_is_refused_and_the_renewed_one_found_by_itself(server: TlsRabbitmq) -> None:
    await asyncio.to_thread(server.renew, expired=True)
    async with linked(server.url()) as link:
        found = await why(link)
        assert found is not None
        assert "certificate is not believed: certificate has expired" in found.detail
        await asyncio.to_thread(server.renew)
        await asyncio.wait_for(link.wait_ready(), 60)
