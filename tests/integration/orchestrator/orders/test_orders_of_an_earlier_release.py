"""An earlier release wrote orders without their customers: they are filled in from the hooks that are kept, and nobody is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.orchestrator.factories import all_taken
from tests.support.servers import eventually

ANNA = {"name": "Анна Смирнова", "phone": "+79161234567"}
REASON = {"reason": "customers of before"}
# What the release before wrote of these orders: no customer in them, nobody to find them by.
_AS_BEFORE = """
WITH contacts AS (DELETE FROM order_contact)
UPDATE orders SET document = document - ARRAY['customer', 'address', 'delivery_window']
"""


@pytest.fixture
async def before(start: Any, gateway: Any, database: Any) -> tuple[Any, list[str]]:
    """Two orders as the release before left them; the interface, and their numbers. No job looks at them."""
    api = await start(measure_every=300)
    for name in ("A", "B"):
        goods = [{"id": "a", "originalQuantity": 2, "price": "85.00"}]
        await gateway.send(
            gateway.hook(name, "order.created", minute=1, positions=goods, customer=ANNA, address="Тверская, 1"),
            gateway.hook(name, "order.changed", minute=2, positions=goods, deliveryWindow="вечером"),
            gateway.hook(name, "order.paid", minute=3),
        )
    await all_taken(database, 6)
    await database.execute(_AS_BEFORE)
    return api, [gateway.number(name) for name in ("A", "B")]


async def people(api: Any, number: str) -> tuple[Any, ...]:
    """Whom an order is for, where it goes and when; who finds it; its version."""
    order = await api.get(f"/orders/v1/orders/{number}", role="operator")
    found = await api.get("/admin/v1/orders?phone=1234567&limit=50", role="operator")
    said = (order[name] and order[name]["text" if name != "customer" else "phone"] for name in
            ("customer", "address", "delivery_window"))  # fmt: skip
    return *said, number in {item["number"] for item in found["items"]}, order["version"]


async def test_recalculating_fills_in_whom_an_order_is_for_and_tells_nobody(
    before: tuple[Any, list[str]], listener: Any
) -> None:
    api, (first, second) = before
    await listener.gather("notifier.orders", 6)
    version = (await people(api, first))[-1]
    lacking, filled = (None, None, None, False, version), (ANNA["phone"], "Тверская, 1", "вечером", True, version)
    assert await people(api, first) == lacking
    path = f"/admin/v1/orders/{first}/recalculate"
    assert (await api.call("POST", path, {**REASON, "dry_run": True}))[0] == 200
    assert await people(api, first) == lacking
    assert (await api.call("POST", path, REASON))[0] == 200
    assert await people(api, first) == filled
    assert await people(api, second) == lacking
    chosen = {**REASON, "filter": {"status": "paid"}}
    status, plan = await api.call("POST", "/admin/v1/orders/recalculate", {**chosen, "dry_run": True})
    assert (status, plan["matched"]) == (200, 2)
    status, done = await api.call("POST", "/admin/v1/orders/recalculate", {**chosen, "plan": plan["plan"]})
    assert (status, [item["outcome"] for item in done["items"]]) == (200, ["recalculated"] * 2)
    assert await people(api, second) == filled
    assert await listener.take("notifier.orders") == []


async def test_a_job_fills_them_in_and_later_hooks_build_on_it(
    before: tuple[Any, list[str]], start: Any, gateway: Any
) -> None:
    api, numbers = before
    await start()

    async def filled() -> bool:
        return all(
            [(await people(api, number))[:4] == (ANNA["phone"], "Тверская, 1", "вечером", True) for number in numbers]
        )

    await eventually(filled)
    more = [{"id": "a", "originalQuantity": 3, "price": "85.00"}]
    await gateway.send(gateway.hook("A", "order.paid", minute=4, positions=more))

    async def follows() -> bool:
        order = await api.order(numbers[0])
        return order["positions"][0]["quantity"] == "3" and order["customer"] is not None

    await eventually(follows, what="the quantity goes with the ordered one, as if this release had read the order")
