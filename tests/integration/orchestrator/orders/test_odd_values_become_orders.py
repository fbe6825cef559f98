"""Values that are odd and no fault of the order's: it is carried out, through its whole life, without them or with what was known."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.integration.orchestrator.conftest import Api, Gateway, Start
from tests.support.order_payloads import LONG
from tests.support.servers import eventually

GOODS: list[dict[str, Any]] = [{"id": "a", "quantity": 2, "price": "85.00"}]
ODD: dict[str, dict[str, Any]] = {
    "long-mail": {"customer": {"name": "Анна", "phone": "+79161234567", "email": f"{LONG}@x.ru"}},
    "long-name": {"customer": {"name": LONG, "phone": "+79161234567"}},
    "long-phone": {"customer": {"name": "Анна", "phone": "7" * 9000}},
    "long-store": {"storeID": LONG},
    "long-zone-and-tariff": {"zone": LONG, "tariff": LONG},
    "long-payment": {"payment": {"method": LONG, "id": LONG}},
    "said-in-parts": {
        "comment": ["Без лука", {"text": "Аллергия на орехи"}],
        "address": [{"address": "ул. Ленина, 1", "city": "Тула", "lat": 54.2, "lon": None}],
        "customer": {"name": {"first": "Анна", "last": "Ли"}, "phone": ["89161234567"]},
        "delivery": {"name": "Курьер", "date": "2026-11-21", "timeFrom": "22:00", "timeTo": "02:00"},
        "payment": "card",
        "total": [],
    },
    "heavy": {"positions": [{"id": "a", "quantity": 1}, {"id": "b", "quantity": 1, "weight": "much"}]},
    "no-address": {"address": [7, {}], "customer": 12},
    "many-lines-of-one-id": {"positions": [{"id": "a", "quantity": "99999999999", "price": "0"}] * 11},
}

UNREAD = ["address", "customer", "payment.id", "payment.method", "positions.weight", "storeID", "tariff", "zone"]


async def became(api: Api, number: str, status: str) -> Any:
    """The order once it has that status."""

    async def probe() -> Any:
        order = await api.get(f"/orders/v1/orders/{number}", role="operator")
        assert order["status"] == status
        return order

    return await eventually(probe)


async def test_an_order_with_odd_values_goes_through_its_whole_life(start: Start, gateway: Gateway) -> None:
    api = await start()
    for name, said in ODD.items():
        await gateway.send(gateway.hook(name, "order.created", minute=1, **{"positions": GOODS, **said}))
        await gateway.send(gateway.hook(name, "order.received", minute=2))
    found = {name: await became(api, gateway.number(name), "received") for name in ODD}
    assert found["long-mail"]["customer"] == {"name": "Анна", "phone": "+79161234567", "email": None}
    assert found["long-name"]["customer"]["phone"] == "+79161234567"
    assert found["long-store"]["store_id"] is None
    parts = found["said-in-parts"]
    assert (parts["comment"], parts["address"]["text"]) == ("Без лука, Аллергия на орехи", "Тула, ул. Ленина, 1")
    assert parts["customer"] == {"name": "Ли Анна", "phone": "+79161234567", "email": None}
    assert parts["delivery_window"] == {"starts": None, "ends": None, "text": "2026-11-21 22:00 – 02:00"}
    assert (parts["payment"]["method"], parts["totals"]["total_price"]) == ("card", 17_000)
    moved = (await api.get("/admin/v1/stock-movements?limit=200"))["items"]
    amounts = {item["number"]: item["quantity"] for item in moved}
    assert float(amounts[gateway.number("many-lines-of-one-id")]) == -1099999999989
    assert (await api.get("/admin/v1/workflow-events?state=failed"))["items"] == []

    async def told() -> bool:
        async with api.session.get(api.url + "/metrics") as answer:
            lines = [
                line for line in (await answer.text()).splitlines() if line.startswith("order_fields_unread_total")
            ]
        assert sorted(re.findall(r'field="(.+)",source="sbermarket"} 1.0', "\n".join(lines))) == UNREAD, lines
        return True

    await eventually(told)


async def test_a_quantity_that_a_later_hook_leaves_out_stays(start: Start, gateway: Gateway) -> None:
    api = await start()
    await gateway.send(gateway.hook("H1", "order.created", minute=1, positions=GOODS))
    await gateway.send(gateway.hook("H1", "order.paid", minute=2, positions=[{"id": "a", "price": "90.00"}]))
    order = await became(api, gateway.number("H1"), "paid")
    assert [(item["quantity"], item["price"]) for item in order["positions"]] == [("2", 9_000)]
    assert order["totals"]["total_price"] == 18_000


async def test_a_new_position_without_a_quantity_is_a_persons_case(start: Start, gateway: Gateway) -> None:
    api = await start()
    await gateway.send(gateway.hook("H1", "order.created", minute=1, positions=GOODS))
    new = [*GOODS, {"id": "b", "price": "10.00"}]
    await gateway.send(gateway.hook("H1", "order.paid", minute=2, positions=new))
    order = await became(api, gateway.number("H1"), "paid")
    assert [item["id"] for item in order["positions"]] == ["a"]
    assert [item["kind"] for item in order["incidents"]] == ["order_quantity_missing"]
    status, answer = await api.call(
        "POST",
        f"/admin/v1/orders/{order['number']}/correct",
        body={"reason": "забыли товар", "expected_version": order["version"], "positions": new},
        role="operator",
    )
    assert (status, answer["fields"][0]["field"]) == (422, "positions")


@pytest.mark.parametrize("event", ["order.received", "order.delivered", "order.cancelled"])
async def test_the_last_hooks_change_the_address_and_leave_the_goods(
    start: Start, gateway: Gateway, event: str
) -> None:
    api = await start()
    await gateway.send(gateway.hook("H1", "order.created", minute=1, positions=GOODS, address="Тверская, 1"))
    said: dict[str, Any] = {
        "positions": [],
        "currency": "KZT",
        "address": "Арбат, 7",
        "comment": "у двери",
        "customer": {"phone": "+79161234567"},
    }
    await gateway.send(gateway.hook("H1", event, minute=2, **said))
    order = await became(api, gateway.number("H1"), event.removeprefix("order."))
    assert order["comment"] == "у двери"
    assert (order["address"]["text"], order["customer"]["phone"]) == ("Арбат, 7", "+79161234567")
    assert ([item["id"] for item in order["positions"]], order["incidents"]) == (["a"], [])
