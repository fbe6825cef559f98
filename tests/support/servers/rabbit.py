"""A virtual host of its own for each test, and a look into the broker through its management API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import aio_pika
import aiohttp
from aio_pika.exceptions import AMQPException
from yarl import URL

from common.messaging.accounts import RIGHTS, definitions
from common.messaging.topology import QUEUES
from tests.support.servers.waiting import eventually

_SUITES_QUEUES = [name for spec in QUEUES for name in (spec.name, spec.dead)]
"""Each before the queue of its dead letters."""
_LET_GO_WITHIN_S = 10.0


class TestRabbit:
    """One broker, seen by its management API (``api_url`` carries user and password)."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    def __init__(self, amqp_url: str, api_url: str) -> None:
        self._amqp_url = URL(amqp_url)
        address = URL(api_url)
        self._headers = {
            "Authorization": aiohttp.encode_basic_auth(address.user or "guest", address.password or "guest")
        }
        base = str(address.with_user(None)).rstrip("/")
        self._api = base if base.endswith("/api") else f"{base}/api"
        self._spare: list[str] = []

    @asynccontextmanager
    async def virtual_host(self) -> AsyncIterator[str]:
        """Give the AMQP address of an empty virtual host; delete it, queues and all, afterwards."""
        name = await self._make()
        try:
            yield self._address(name)
        finally:
            await self._delete(name)

    @asynccontextmanager
    async def virtual_host_of_the_suite(self) -> AsyncIterator[str]:
        """Give the AMQP address of a virtual host that holds no message and that nobody is connected to; nobody else gets it meanwhile.

        It is empty, or the suite's queues are in it already: making and deleting them costs the broker more than most tests do, so
        a host that holds just these is emptied afterwards and given again, until ``close``. Any other is deleted.
        """
        name = self._spare.pop() if self._spare else await self._make()
        try:
            yield self._address(name)
        finally:
            if await self._emptied(name):
                self._spare.append(name)
            else:
                await self._delete(name)

    async def close(self) -> None:
        """Delete the virtual hosts that were kept to be given again."""
        while self._spare:
            await self._delete(self._spare.pop())

    @asynccontextmanager
    async def accounts(self, url: str) -> AsyncIterator[dict[str, str]]:
        """Make each service's account in the virtual host of this address, with the topology; give their addresses by service.

        The accounts are the test's own, and deleted afterwards.
        """
        vhost = vhost_of(url)
        passwords = {service: uuid4().hex for service in RIGHTS}
        names = {service: f"{vhost}.{service}" for service in RIGHTS}
        try:
            await self._call("POST", "definitions", definitions(passwords, vhost=vhost, names=names))
            yield {
                service: str(URL(url).with_user(names[service]).with_password(passwords[service])) for service in RIGHTS
            }
        finally:
            for name in names.values():
                await self.delete_account(name)

    async def delete_account(self, name: str) -> None:
        """Delete an account of the broker, if there is one."""
        await self._call("DELETE", f"users/{quote(name, safe='')}", missing_ok=True)

    async def topology(self, url: str) -> dict[str, Any]:
        """Return what a virtual host holds, as the broker exports it, without the order of its lists."""
        found = await self._call("GET", f"definitions/{quote(vhost_of(url), safe='')}")
        return {
            kind: sorted(found[kind], key=lambda each: sorted(each.items(), key=str).__str__())
            for kind in ("exchanges", "queues", "bindings")
        }

    async def _make(self) -> str:
        name = f"test-{uuid4().hex[:12]}"
        user = self._amqp_url.user or "guest"
        await self._call("PUT", f"vhosts/{name}")
        await self._call(
            "PUT",
            f"permissions/{name}/{quote(user, safe='')}",
            {"configure": ".*", "write": ".*", "read": ".*"},
        )
        return name

    async def _delete(self, name: str) -> None:
        await self._call("DELETE", f"vhosts/{name}")

    def _address(self, name: str) -> str:
        return str(self._amqp_url.with_path(f"/{name}"))

    async def _emptied(self, name: str) -> bool:
        """Empty the suite's queues; False when something else is in the host, or when somebody does not let go of it."""
        found = await self._call("GET", f"queues/{name}?disable_stats=true")
        if {queue["name"] for queue in found} != set(_SUITES_QUEUES):
            return False

        async def nobody_connected() -> bool:
            return not await self.connections(name)

        try:
            await eventually(nobody_connected, within=_LET_GO_WITHIN_S)
            connection = await aio_pika.connect(self._address(name))
            async with connection:
                channel = await connection.channel()
                for queue in _SUITES_QUEUES:
                    await _empty(channel, queue)
        except (AssertionError, AMQPException, OSError):
            return False
        return True

    async def connections(self, vhost: str) -> list[dict[str, Any]]:
        """Return the open connections of a virtual host, as the broker describes them."""
        found = await self._call("GET", f"vhosts/{quote(vhost, safe='')}/connections")
        return list(found or [])

    async def close_connections(self, vhost: str) -> int:
        """Close every connection of a virtual host from the broker's side and return how many there were."""
        found = await self.connections(vhost)
        for connection in found:
            await self._call("DELETE", f"connections/{quote(connection['name'], safe='')}", missing_ok=True)
        return len(found)

    async def _call(self, method: str, path: str, body: object = None, *, missing_ok: bool = False) -> Any:
        # `encoded`: the default virtual host is "/", which must stay %2F in the path.
        url = URL(f"{self._api}/{path}", encoded=True)
        for attempt in range(3):
            async with (
                aiohttp.ClientSession(headers=self._headers, timeout=aiohttp.ClientTimeout(total=30)) as session,
                session.request(method, url, json=body) as answer,
            ):
                if answer.status == 404 and missing_ok:
                    return None
                if answer.status >= 500 and attempt < 2:
                    await asyncio.sleep(0.2)
                    continue
                answer.raise_for_status()
                return await answer.json(content_type=None) if method == "GET" else None
        return None


async def _empty(channel: aio_pika.abc.AbstractChannel, name: str) -> None:
    """Purge a queue once its last consumer is gone: what that one had not acknowledged is back in the queue then."""

    async def unread() -> list[aio_pika.abc.AbstractQueue]:
        queue = await channel.declare_queue(name, passive=True)
        return [] if queue.declaration_result.consumer_count else [queue]

    [queue] = await eventually(unread, within=_LET_GO_WITHIN_S)
    if queue.declaration_result.message_count:
        await queue.purge()


def vhost_of(amqp_url: str) -> str:
    """Return the virtual host that an address names."""
    return URL(amqp_url).path.removeprefix("/") or "/"
