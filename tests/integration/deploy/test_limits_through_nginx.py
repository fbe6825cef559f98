"""Website limits through nginx as it is shipped: behind a TLS terminator, and for a shop whose own server posts for its customers.

Each customer is an address of this machine's own loopback network; the edge trusts the terminator's alone.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from suite_local.ports import LOOPBACK
from tests.support.edge import nginx_in
from tests.support.processes import Program, created, stand
from tests.support.servers import eventually

TERMINATOR = "127.0.0.80"
SHOP_SERVER = "127.0.2.1"
BANS = "/admin/v1/order-limits"
LIMITS = {"ORDERS_PER_PHONE": "0", "ORDERS_PER_ADDRESS": "0", "ORDERS_PER_IP": "2", "ORDERS_LIMIT_DEADLINE": "2"}
CONFIGURATION = """
pid terminator.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    server {{
        listen {address} ssl;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        location / {{
            proxy_pass {edge};
            proxy_bind {terminator};
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
"""
_numbers = count(1)


@dataclass(slots=True)
class Shop:
    """The address that the world calls, and the gateway behind it."""

    url: str
    gateway: Program
    trust: ssl.SSLContext

    async def order(self, customer: str, **headers: str) -> int:
        """Place an order from an address of this machine."""
        connector = aiohttp.TCPConnector(local_addr=(customer, 0), ssl=self.trust)
        body = {**created("-")["payload"], "externalId": f"E{next(_numbers)}", "customer": {"phone": "+79990000001"}}
        said = {"Authorization": "Bearer website-token", **headers}
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(f"{self.url}/api/v1/orders/", json=body, headers=said) as answer,
        ):
            return answer.status

    async def orders(self, number: int, customer: str, **headers: str) -> list[int]:
        """Place so many orders, one after the other."""
        return [await self.order(customer, **headers) for _ in range(number)]

    async def banned(self, wanted: int) -> list[dict[str, Any]]:
        """Who is banned, once there are so many."""

        async def known() -> list[dict[str, Any]]:
            items: list[dict[str, Any]] = (await self._admin("GET"))["items"]
            assert len(items) == wanted, items
            return items or [{}]

        return (await eventually(known, what=f"{wanted} bans"))[:wanted]

    async def lift(self, **whose: str) -> Any:
        """Lift a ban."""
        return await self._admin("DELETE", json={"reason": "a real customer", **whose})

    async def _admin(self, method: str, **options: Any) -> Any:
        operator = {"Authorization": "Bearer operator-token"}
        async with aiohttp.request(method, self.gateway.url + BANS, headers=operator, **options) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


@pytest.fixture
async def shop(
    tmp_path: Path,
    amqp_url: str,
    database_for: Callable[[str], Awaitable[str]],
    edge_for: Callable[..., Any],
    free_port: Callable[[], int],
) -> AsyncIterator[Shop]:
    """Terminator, nginx and gateway; the shop's own server may name its customers."""
    websites = tmp_path / "websites.json"
    websites.write_text(json.dumps({"website": {"forwarders": [SHOP_SERVER]}}))
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(stand(tmp_path))
        settings = {"TRUSTED_PROXIES": LOOPBACK, "WEBSITES_FILE": str(websites), **LIMITS}
        gateway = servers.gateway("gw-1", dsn=await database_for("webhook_gateway"), amqp_url=amqp_url, **settings)
        await gateway.start()
        port = int(gateway.url.rpartition(":")[2])
        edge = await stack.enter_async_context(edge_for([port] * 3, trusted=[TERMINATOR]))
        folder = tmp_path / "terminator"
        folder.mkdir()
        outside = free_port()
        address = f"{LOOPBACK}:{outside}"
        trust = await asyncio.to_thread(certificate, folder)
        (folder / "nginx.conf").write_text(
            CONFIGURATION.format(address=address, folder=folder, edge=edge.url, terminator=TERMINATOR)
        )
        await stack.enter_async_context(nginx_in(folder, port=outside))
        yield Shop(f"https://{address}", gateway, trust)


def certificate(folder: Path) -> ssl.SSLContext:
    """Make a certificate for this machine and return what trusts it alone."""
    program = shutil.which("openssl")
    assert program is not None, "openssl is not installed"
    asked = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=shop", "-days", "2"]
    names = ["-addext", f"subjectAltName=IP:{LOOPBACK}", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run([program, "req", "-x509", "-noenc", *asked, *names], cwd=folder, check=True, capture_output=True)
    return ssl.create_default_context(cafile=str(folder / "certificate.pem"))


async def test_one_customer_is_banned_behind_terminator_or_shop_server_and_no_other(shop: Shop) -> None:
    # Straight through the terminator: what a customer claims about himself changes nothing.
    flood, others = "127.0.1.1", [f"127.0.1.{n}" for n in range(2, 6)]
    claims = {"X-Forwarded-For": "203.0.113.200"}
    assert await shop.orders(3, flood) + await shop.orders(1, flood, **claims) == [201, 201, 429, 429]
    assert [await shop.order(customer) for customer in others] == [201] * 4
    [ban] = await shop.banned(1)
    assert (ban["kind"], ban["value"], ban["source"], ban["refused"]) == ("ip", flood, "website", 2)
    lifted = await shop.lift(ip=flood)
    assert (lifted["lifted"], lifted["was_banned"]) == (True, True)
    assert await shop.order(flood) == 201

    # By the shop's own server, which says for whom: its customers are counted, and it is not.
    by_server = [{"X-Forwarded-For": f"198.51.100.{n}"} for n in range(1, 6)]
    assert await shop.orders(4, SHOP_SERVER, **by_server[0]) == [201, 201, 429, 429]
    assert [await shop.order(SHOP_SERVER, **customer) for customer in by_server[1:]] == [201] * 4
    [ban] = await shop.banned(1)
    assert (ban["kind"], ban["value"]) == ("ip", "198.51.100.1")
    assert (await shop.lift(id=ban["id"]))["lifted"]
    assert await shop.banned(0) == []
    assert await shop.order(SHOP_SERVER, **by_server[0]) == 201

    # Whoever else says for whom he orders is counted himself.
    assert [await shop.order("127.0.3.1", **customer) for customer in by_server[1:4]] == [201, 201, 429]
