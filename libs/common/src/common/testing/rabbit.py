"""A virtual host of its own for each test, and a look into the broker through its management API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import aiohttp
from yarl import URL


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

    @asynccontextmanager
    async def virtual_host(self) -> AsyncIterator[str]:
        """Give the AMQP address of an empty virtual host; delete it, queues and all, afterwards."""
        name = f"test-{uuid4().hex[:12]}"
        user = self._amqp_url.user or "guest"
        await self._call("PUT", f"vhosts/{name}")
        await self._call(
            "PUT",
            f"permissions/{name}/{quote(user, safe='')}",
            {"configure": ".*", "write": ".*", "read": ".*"},
        )
        try:
            yield str(self._amqp_url.with_path(f"/{name}"))
        finally:
            await self._call("DELETE", f"vhosts/{name}")

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


def vhost_of(amqp_url: str) -> str:
    """Return the virtual host that an address names."""
    return URL(amqp_url).path.removeprefix("/") or "/"
