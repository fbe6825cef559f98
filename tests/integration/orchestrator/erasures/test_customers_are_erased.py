"""Customers leave the orchestrator, by order, phone or mail, and by age: no byte of theirs is left, and the orders go on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from common.clock import SystemClock
from common.digits import digits_of
from common.postgres import Database
from orchestrator.erasures.forget import ForgetCustomers
from tests.integration.orchestrator.conftest import Gateway, Start
from tests.integration.orchestrator.erasures.anna import ANNA, GOODS, anna, erase, left, readable
from tests.support.servers import eventually


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


async def test_a_customer_whose_phone_came_in_other_digits_is_found_and_erased(
    start: Start, gateway: Gateway, database: asyncpg.Connection
) -> None:
    api = await start()
    said: dict[str, Any] = {"customer": {"phone": "٨ (٩١٦) ١٢٣-٤٥-٦٧"}, "comment": "или ＋７ ９１６ ７６５-４３-２１"}
    await gateway.send(gateway.hook("H1", "order.created", minute=1, positions=GOODS, **said))
    number = gateway.number("H1")

    async def found() -> bool:
        lists = [await api.get(f"/admin/v1/orders?phone={end}") for end in ("4567", "4321")]
        return all([item["number"] for item in each["items"]] == [number] for each in lists)

    await eventually(found)
    order = await api.get(f"/orders/v1/orders/{number}", role="operator")
    assert order["customer"]["phone"] == "+79161234567"
    assert (await erase(api, phone="8 916 765-43-21"))["places"] > 0
    bodies = await database.fetch("SELECT payload FROM workflow_event")
    held = " ".join(readable(row[0]) for row in bodies) + str(await database.fetch("SELECT document::text FROM orders"))
    assert "order.created" in held
    assert not any(number in digits_of(held) for number in ("9161234567", "9167654321"))
    lists = [await api.get(f"/admin/v1/orders?phone={end}") for end in ("4567", "4321")]
    assert [each["items"] for each in lists] == [[], []]


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
