"""Customers leave the orchestrator, by order, phone or mail, and by age: no byte of theirs is left, and the orders go on."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from common.clock import SystemClock
from common.postgres import Database
from orchestrator.erasures.forget import ForgetCustomers
from tests.integration.orchestrator.conftest import Api, Gateway, Start
from tests.support.servers import eventually

ANNA = {"name": "Анна Смирнова", "phone": "8 (916) 123-45-67", "email": "Anna@Example.org"}
FLAT = {"city": "Москва", "street": "Тверская", "house": "1", "flat": "5"}
GOODS = [{"id": "a", "name": "Молоко", "originalQuantity": 2, "quantity": 2, "price": "85.00"}]
WORDS = ("Смирнова", "смирнова", "9161234567", "123-45-67", "xample.org", "Тверская", "Арбат", "У двери", "у двери")
_TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'outbox'
"""


def _readable(body: bytes) -> str:
    """A body as it stands and with its escaped letters; hashes of the audit log, too, which may hold any byte."""
    text = body.decode("utf-8", "replace")
    return text + re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)


async def left(database: asyncpg.Connection) -> set[tuple[str, str]]:
    """Where any of the customer's words still stand: (table, word), in any column of any table, bodies decoded."""
    found: set[tuple[str, str]] = set()
    for (table,) in await database.fetch(_TABLES):
        for row in await database.fetch(f'SELECT * FROM "{table}"'):  # noqa: S608 - names of tables
            text = " ".join(_readable(value) if isinstance(value, bytes) else str(value) for value in row.values())
            found |= {(table, word) for word in WORDS if word in text}
    return found


async def anna(api: Api, gateway: Gateway, external_id: str = "H1") -> str:
    """An order of Anna's that was closed, with a document and a change that came too late; returns its number."""
    said: dict[str, Any] = {"customer": ANNA, "address": FLAT, "comment": "У двери"}
    late: dict[str, Any] = {"address": {**FLAT, "street": "Арбат"}}
    await gateway.send(
        gateway.hook(external_id, "order.created", minute=1, positions=GOODS, **said),
        gateway.hook(external_id, "order.paid", minute=2, positions=GOODS, customer=ANNA),
        gateway.hook(external_id, "order.changed", minute=3, positions=GOODS, **late),
    )
    number = gateway.number(external_id)

    async def told() -> bool:
        order = await api.get(f"/orders/v1/orders/{number}")
        document = await api.get(f"/admin/v1/orders/{number}/document")
        return bool(order["incidents"]) and document["version"] == 1

    await eventually(told)
    return number


async def erase(api: Api, **whom: Any) -> Any:
    """Erase, as an admin."""
    status, answer = await api.call("POST", "/admin/v1/erasures", {"reason": "the customer asked", **whom})
    assert status == 200, answer
    return answer


@pytest.mark.parametrize("whom", [{"phone": "+7 916 123 45 67"}, {"email": "anna@EXAMPLE.org"}, {"order_number": None}])
async def test_no_table_holds_an_erased_customer(
    start: Start, gateway: Gateway, database: asyncpg.Connection, whom: dict[str, Any]
) -> None:
    api = await start()
    number = await anna(api, gateway)
    before = await api.get(f"/orders/v1/orders/{number}", role="operator")
    asked = whom if "order_number" not in whom else {"order_number": number}
    assert {table for table, _ in await left(database)} >= {"orders", "order_document", "order_contact"}
    preview = await erase(api, **asked, dry_run=True)
    assert await left(database) != set()
    done = await erase(api, **asked)
    assert done["by_kind"] == preview["by_kind"]
    assert set(done["kept"]) >= {"outbox", "stored_answers", "orders", "audit"}
    assert {kind for kind, places in done["by_kind"].items() if places} >= {"events", "orders", "documents", "contacts"}
    assert await left(database) == set()
    assert (await erase(api, **asked))["places"] == 0
    order = await api.get(f"/orders/v1/orders/{number}", role="operator")
    gone = {"customer": None, "address": None, "comment": None}
    assert order == {**before, **gone, "updated_at": order["updated_at"]}
    document = await api.get(f"/admin/v1/orders/{number}/document", role="operator")
    assert "Молоко" in document["content"]
    assert (await api.get("/admin/v1/orders?phone=9161234567"))["items"] == []


async def test_an_order_goes_on_after_its_customer_was_erased(
    start: Start, gateway: Gateway, database: asyncpg.Connection
) -> None:
    api = await start()
    number = await anna(api, gateway)
    await erase(api, order_number=number)
    await gateway.send(
        gateway.hook("H1", "order.delivered", minute=9),
        gateway.hook(
            "H1", "order.changed", minute=1.5, positions=[{**GOODS[0], "quantity": 3}]
        ),  # late: all is folded again
    )

    async def delivered() -> bool:
        order = await api.get(f"/orders/v1/orders/{number}")
        return bool(order["status"] == "delivered" and order["aggregate_state"] == "finished")

    await eventually(delivered)
    assert await left(database) == set()
    documents = await api.get(f"/admin/v1/orders/{number}/document/versions")
    assert len(documents["items"]) >= 1


async def test_a_phone_erases_the_whole_number_s_customer_and_no_stranger(start: Start, gateway: Gateway) -> None:
    api = await start()
    number = await anna(api, gateway)
    for phone in ("+7 495 123-45-67", "+38 091 612 34567"):
        assert (await erase(api, phone=phone))["places"] == 0, phone
    ending = {"reason": "the customer asked", "phone": "123-45-67"}
    assert (await api.call("POST", "/admin/v1/erasures", ending))[0] == 422
    assert (await api.get(f"/orders/v1/orders/{number}", role="operator"))["customer"]["phone"] == "+79161234567"


async def test_an_unreadable_event_and_a_waiting_order_are_erased_by_phone(
    start: Start, gateway: Gateway, database: asyncpg.Connection
) -> None:
    api = await start()
    broken = [{**GOODS[0], "price": "a lot"}]
    await gateway.send(
        gateway.hook("BROKEN", "order.created", minute=1, positions=broken, customer=ANNA),
        gateway.hook("WAITS", "order.paid", minute=2, positions=GOODS, customer=ANNA),
    )

    async def there() -> bool:
        waits = await database.fetchval("SELECT count(*) FROM parked_order")
        return bool(waits and await database.fetchval("SELECT count(*) FROM set_aside_event"))

    await eventually(there)
    assert ("workflow_event", "9161234567") not in await left(database)  # as it was spelled
    assert ("workflow_event", "123-45-67") in await left(database)
    await erase(api, phone="+79161234567")
    assert await left(database) == set()


async def test_customers_are_forgotten_by_themselves(
    start: Start, gateway: Gateway, database: asyncpg.Connection, dsn: str
) -> None:
    api = await start()
    await anna(api, gateway)
    orders = Database(dsn, application_name="test")
    await orders.open()
    try:
        young = ForgetCustomers(database=orders, keep=timedelta(days=1), clock=SystemClock())
        assert await young() == 0
        assert await left(database) != set()
        old = ForgetCustomers(database=orders, keep=timedelta(days=0), clock=SystemClock())
        assert [await old(), await old()] == [1, 0]
        assert await left(database) == set()
    finally:
        await orders.close()
