"""What a person mends, replays or has carried out again is no hook that came twice: the ledger's check holds, and finds a true double."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from common.ids import order_number
from common.postgres import prepare_connection
from orchestrator.engine.append import append_events
from orchestrator.orders.hooks import to_workflow_event
from tests.integration.orchestrator.conftest import Api
from tests.integration.webhook_gateway.conftest import Start, hook_body
from tests.support.servers import eventually
from tests.support.unreadable_hook import publish_unreadable_change
from webhook_gateway.deliveries.check_ledger import check
from webhook_gateway.deliveries.evidence import gather
from webhook_gateway.hooks.accept import understand
from webhook_gateway.hooks.authentication import ClientToken
from webhook_gateway.hooks.model import Source

NUMBER = order_number("sbermarket", "H1")
WHY = {"reason": "carried out by hand"}
EVENTS = "/admin/v1/workflow-events"


@pytest.fixture
def addresses() -> dict[str, str]:
    """The databases of this test by their package."""
    return {}


@pytest.fixture
def database_for(
    database_for: Callable[[str], Awaitable[str]], addresses: dict[str, str]
) -> Callable[[str], Awaitable[str]]:
    """A function that gives a fresh database, and notes where it is."""

    async def make(package: str) -> str:
        addresses[package] = await database_for(package)
        return addresses[package]

    return make


async def says(addresses: dict[str, str], *kinds: str) -> None:
    """Wait until ``check-ledger`` finds these in both databases and nothing else: counts of what came in are written a second late."""

    async def found() -> bool:
        evidence = await gather(
            dsn=addresses["webhook_gateway"],
            orders_dsn=addresses["orchestrator"],
            spools=(),
            acknowledged=None,
            since=None,
            until=None,
        )
        assert [one.kind for one in check(evidence)] == [*kinds]
        return True

    await eventually(found, what=f"the findings {kinds}")


async def life(orders: Api, done: int) -> Any:
    """The order's life once it has looked at so many events."""

    async def there() -> Any:
        lives = await orders.all(f"/admin/v1/workflows?order_number={NUMBER}&kind=order_life")
        return lives[0] if lives and lives[0]["done_seq"] == lives[0]["last_seq"] == done else None

    return await eventually(there, what=f"{done} events are carried out")


async def test_copies_that_people_made_are_no_doubles_and_a_true_double_is_found(
    orders: Api, start_gateway: Start, amqp_url: str, addresses: dict[str, str]
) -> None:
    async with start_gateway() as gateway:
        assert (await gateway.send(hook_body()))[0] == 200
        workflow = (await life(orders, 1))["id"]
        await publish_unreadable_change(amqp_url, await orders.order(NUMBER))
        await life(orders, 2)
        payload = {"originalOrderId": "H1", "positions": [{"id": "sku-1", "quantity": 3, "price": "85.00"}]}
        status, said = await orders.call("POST", f"{EVENTS}/{workflow}-2/mend", {**WHY, "payload": payload})
        assert status == 200, said
        await life(orders, 3)
        await says(addresses)
        for event, done in ((1, 4), (3, 5), (4, 6)):  # a hook, a mended copy, and a copy that was carried out again
            status, said = await orders.call("POST", f"{EVENTS}/{workflow}-{event}/reprocess", WHY)
            assert status == 200, said
            await life(orders, done)
        [first, _] = await gateway.deliveries(2)
        assert (await gateway.change(f"/admin/v1/deliveries/{first['id']}/replay", WHY))[0] == 200
        await life(orders, 7)
        await says(addresses)

        # As if the inbox had not known the hook again: this is what the check is for.
        source = Source(name="sbermarket", authenticator=ClientToken(tokens=("t",)))
        body, now = json.dumps(hook_body()).encode(), datetime.now(UTC)
        again, _ = understand(source, body, headers="{}", received_at=now, replica="gw-1", traceparent=None)
        connection = await asyncpg.connect(addresses["orchestrator"])
        await prepare_connection(connection)
        await append_events(connection, [to_workflow_event(again.to_envelope())])
        await connection.close()
        await says(addresses, "not_in_the_ledger", "twice_at_the_orchestrator")
