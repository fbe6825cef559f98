"""What waits in the spool of any replica has its outcome: the ledger says so, and its checker too, until the spool is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from common.postgres import Database
from tests.integration.webhook_gateway.conftest import Gateway, Start, hook_body
from tests.support.clocks import ManualClock
from tests.support.servers import as_served, eventually, proxied
from webhook_gateway.deliveries.ledger import Ledger, WatchLedger
from webhook_gateway.deliveries.metrics import DeliveryMetrics
from webhook_gateway.durable.metrics import DurabilityMetrics
from webhook_gateway.durable.spool import Spool
from webhook_gateway.durable.spool_states import SpoolStates

WAITING = {"received": 3, "confirmed": 0, "spooled": 3, "quarantined": 0, "refused": 0, "outcomes": 3, "difference": 0}
LOST = WAITING | {"spooled": 0, "outcomes": 0, "difference": 3}


async def says(gateway: Gateway, wanted: dict[str, int]) -> None:
    """Wait until a replica's ledger says this in all, of the replica and of the source."""

    async def told() -> bool:
        said: dict[str, Any] = await gateway.get("/admin/v1/ledger")
        parts = [said, *said["by_replica"], *said["by_source"]]
        return len(parts) == 3 and all({name: part[name] for name in wanted} == wanted for part in parts)

    await eventually(told, what=f"the ledger {wanted}")


async def test_a_hook_in_a_spool_is_no_loss_to_any_replica_until_its_spool_is_lost(
    start: Start, amqp_url: str, database_for: Callable[[str], Awaitable[str]], tmp_path: Path
) -> None:
    dsn = as_served(await database_for("webhook_gateway"))
    here = {"postgres_dsn": SecretStr(dsn)}
    registry, clock = CollectorRegistry(), ManualClock(datetime.now(UTC) - timedelta(minutes=1))
    durability = DurabilityMetrics(registry, spool_oldest_allowed=60.0)
    empty = Spool(tmp_path / "empty", limit=2**20, deadline=5.0, metrics=durability)
    database = Database(dsn, application_name="test")
    await database.open()
    await empty.open()
    spools = SpoolStates(database=database, spool=empty, replica="gw-3", clock=clock)
    watch = WatchLedger(Ledger(database, spools), clock=clock, metrics=DeliveryMetrics(registry))

    async def differs() -> tuple[float | None, int]:
        """What the checker of a third replica shows and keeps."""
        await watch.step()
        async with database.acquire() as connection:
            found = await connection.fetchval("SELECT found FROM check_verdicts WHERE name = 'ledger'")
        return registry.get_sample_value("gateway_ledger_difference"), found

    async with start("gw-2", **here) as other, proxied(amqp_url) as (proxy, url):
        async with start("gw-1", ready=False, **here, amqp_url=SecretStr(url)) as gateway:
            proxy.refuse()
            for number in range(3):
                assert (await gateway.send(hook_body(order=f"H{number}")))[0] == 200
            await says(gateway, WAITING)
            await says(other, WAITING)
        await says(other, WAITING)  # its volume still holds them
        clock.move_to(datetime.now(UTC) + timedelta(minutes=3))
        assert await differs() == (0.0, 0)
        async with start("gw-1", **here, spool_dir=tmp_path / "another"):
            await says(other, LOST)
            clock.move_to(clock.now() + timedelta(minutes=1))
            assert await differs() == (3.0, 3)
    await empty.close()
    await database.close()
