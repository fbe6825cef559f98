"""One order with TLS everywhere: real servers and certificates, services as processes, and the operator's tool beside them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import orjson
import pytest

from suite_local.infrastructure.rabbitmq import call_api
from tests.support.certificates import Authority
from tests.support.processes import Program, created, read, send, stand
from tests.support.servers import TestDatabases, as_served, eventually
from tests.support.tls_servers import TlsPostgres, TlsRabbitmq, running

_END_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
def postgres() -> Iterator[TlsPostgres]:
    """A server that takes nobody without TLS."""
    with running(TlsPostgres) as made:
        yield made


@pytest.fixture
def rabbitmq() -> Iterator[TlsRabbitmq]:
    """A broker with a listener for TLS."""
    with running(TlsRabbitmq) as made:
        yield made


async def test_an_order_goes_its_way_and_an_untrusted_database_is_away_until_renewed(
    postgres: TlsPostgres, rabbitmq: TlsRabbitmq, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    authority.issue(tmp_path / "tls")
    over_tls = {
        "TLS_CERT_FILE": str(tmp_path / "tls" / "tls.crt"),
        "TLS_KEY_FILE": str(tmp_path / "tls" / "tls.key"),
        "CA_FILE": str(authority.file),
    }
    databases, amqp_url = TestDatabases(postgres.dsn()), rabbitmq.url()
    connector = aiohttp.TCPConnector(ssl=authority.trusted())
    async with (
        databases.migrated("webhook_gateway") as hooks,
        databases.migrated("orchestrator") as orders,
        stand(tmp_path) as made,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        gateway = made.gateway("gw-1", dsn=as_served(hooks), amqp_url=amqp_url, **over_tls)
        orchestrator = made.orchestrator(dsn=as_served(orders), amqp_url=amqp_url, **over_tls)
        await gateway.start()
        await orchestrator.start()
        assert gateway.url.startswith("https://")

        assert (await send(session, gateway, created("first")))[0] == 200
        await arrived(session, orchestrator, "first")
        links = [each["ssl"] for each in await connections(rabbitmq)]
        assert links
        assert set(links) == {True}
        profile = tmp_path / "ordersctl"
        await told_by_ordersctl(profile, orchestrator, ca_file=authority.file, ends=0, says='"external_id": "first"')
        await told_by_ordersctl(profile, orchestrator, ca_file=None, ends=6, says="CERTIFICATE_VERIFY_FAILED")

        admin = await asyncpg.connect(orders)
        await postgres.renew(postgres.stranger)
        await admin.execute(_END_ALL)

        async def away() -> bool:
            status, said = await read(session, orchestrator, "/readyz")
            return status == 503 and "certificate is not believed" in said["checks"]["postgres"]

        await eventually(away, what="a database that is not believed is away")
        assert (await read(session, orchestrator, "/livez"))[0] == 200
        assert (await send(session, gateway, created("second")))[0] == 200
        await postgres.renew()
        await arrived(session, orchestrator, "second")
        await orchestrator.ready()
        await admin.close()


async def arrived(session: aiohttp.ClientSession, orchestrator: Program, order: str) -> None:
    """Return when the orchestrator shows the order."""

    async def there() -> bool:
        status, page = await read(session, orchestrator, "/admin/v1/orders", external_id=order)
        return status == 200 and [item["external_id"] for item in page["items"]] == [order]

    await eventually(there, what=f"order {order}")


async def connections(rabbitmq: TlsRabbitmq) -> list[dict[str, Any]]:
    """The services' connections as the broker shows them, once it does."""

    async def shown() -> list[dict[str, Any]]:
        said = await asyncio.to_thread(call_api, rabbitmq.server.api_url, "GET", "/api/connections")
        return [each for each in orjson.loads(said) if "ssl" in each]

    return await eventually(shown, what="connections in the broker's statistics")


async def told_by_ordersctl(config: Path, orchestrator: Program, *, ca_file: Path | None, ends: int, says: str) -> None:
    """Read the orders with the operator's tool, whose profile believes the file's authorities, or the machine's alone."""
    config.mkdir(exist_ok=True)
    believed = f'ca_file = "{ca_file}"\n' if ca_file is not None else ""
    (config / "config.toml").write_text(
        f'[profiles.own]\nservices = {{ orchestrator = "{orchestrator.url}" }}\ntoken = {{ env = "TOKEN" }}\n{believed}'
    )
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("ordersctl"), "order", "list", "-p", "own", "-o", "json"),
        env={**os.environ, "ORDERSCTL_CONFIG_DIR": str(config), "TOKEN": "viewer-token"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert says in output.decode(), output.decode()
    assert process.returncode == ends
