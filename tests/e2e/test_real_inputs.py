"""Real inputs from other shops' bug reports, through the running suite: the value that is right, or a refusal that a person hears of."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.servers import eventually
from tests.support.suite_client import Client, hook

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

START = datetime.now(UTC) - timedelta(minutes=5)
BASE: dict[str, Any] = {"positions": [{"id": "a", "quantity": 2, "price": "85.00"}]}


class Told:
    """One order of a source: its hooks go in, a minute apart, and its state is read at the orchestrator."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.external_id = f"real-{secrets.token_hex(6)}"
        self.number = ""
        self._minute = 0

    async def hear(self, event: str, *, at: Any = None, name: str | None = None, **payload: Any) -> None:
        """Send a hook and expect the yes that every identifiable hook gets."""
        self._minute += 1
        envelope = hook(event, self.external_id, at=START + timedelta(minutes=self._minute), **payload)
        envelope["event_type"] = name or envelope["event_type"]
        if at is not None:
            envelope["timestamp"] = at
        status, answer, _ = await self.client.hook(envelope)
        assert (status, answer["status"]) == (200, "created" if event == "created" else "ok"), answer
        self.number = answer["number"]

    async def becomes(self, **expected: Any) -> dict[str, Any]:
        """Wait until the order holds these values; return it."""

        async def there() -> dict[str, Any]:
            order: dict[str, Any] = await self.client.get("orchestrator", f"/orders/v1/orders/{self.number}")
            flat = {**order["totals"], **order, "lines": [_line(item) for item in order["positions"]]}
            assert {name: flat[name] for name in expected} == expected
            return order

        found: dict[str, Any] = await eventually(there, what=f"order {self.external_id}: {expected}")
        return found


def _line(position: dict[str, Any]) -> tuple[str, str, int | None]:
    return position["id"], position["quantity"], position["price"]


async def each_currency(client: Client, written: Any, code: str) -> None:
    order = Told(client)
    await order.hear("created", currency=written, **BASE)
    await order.becomes(currency=code, total_price=17_000)


async def equal_ids_keep_their_own_prices(client: Client) -> None:
    order = Told(client)
    milk, gift = ({"id": "milk", "quantity": 2, "price": "100.00"}, {"id": "milk", "quantity": 1, "price": "0.00"})
    await order.hear("created", positions=[milk, gift])
    await order.hear("changed", positions=[{"id": "milk", "quantity": 3}, {"id": "milk", "quantity": 1}])
    await order.becomes(lines=[("milk", "3", 10_000), ("milk", "1", 0)], total_price=30_000)


async def delivery_stays_in_the_total(client: Client) -> None:
    order = Told(client)
    goods = [{"id": "a", "quantity": 1, "price": "250.00", "totalPrice": "250.00"}]
    await order.hear("created", positions=goods, total={"totalPrice": "350.00"})
    await order.hear("changed", positions=goods, comment="у двери")
    await order.becomes(comment="у двери", total_price=35_000)
    await order.hear("paid", positions=[{"id": "a", "quantity": 2, "price": "250.00"}])
    await order.becomes(status="paid", total_price=60_000)


async def the_ordered_quantity_is_followed(client: Client) -> None:
    order = Told(client)
    await order.hear("created", positions=[{"id": "a", "originalQuantity": 2, "price": "85.00"}])
    await order.hear("changed", positions=[{"id": "a", "originalQuantity": 3, "price": "85.00"}])
    await order.becomes(lines=[("a", "3", 8_500)], total_price=25_500)


async def a_time_of_digits_is_a_number(client: Client) -> None:
    order = Told(client)
    await order.hear("created", **BASE)
    await order.hear("changed", positions=[{"id": "a", "quantity": 3, "price": "85.00"}])
    later = str(int((START + timedelta(minutes=9)).timestamp() * 1000))
    await order.hear("changed", at=later, positions=[{"id": "a", "quantity": 4, "price": "85.00"}])
    await order.becomes(lines=[("a", "4", 8_500)])


async def goods_stay_when_paid_names_none(client: Client) -> None:
    order = Told(client)
    await order.hear("created", **BASE)
    await order.hear("paid", positions=[])
    found = await order.becomes(status="paid", lines=[("a", "2", 8_500)], total_price=17_000)
    assert [item["kind"] for item in found["incidents"]] == ["order_emptied"]


async def an_unknown_field_that_differs_is_quiet(client: Client) -> None:
    order = Told(client)
    await order.hear("created", **BASE, seen=1)
    await order.hear("created", **BASE, seen=2)
    await order.hear("received")
    found = await order.becomes(status="received")
    assert found["incidents"] == []


async def an_event_is_known_in_any_case(client: Client) -> None:
    order = Told(client)
    await order.hear("created", name=" ORDER.CREATED ", **BASE)
    await order.becomes(status="created")


async def is_quarantined(client: Client, field: str, **payload: Any) -> None:
    """An identifiable hook that cannot be read: answered with a yes, kept, told, and mended by a person into the order."""
    order = Told(client)
    await order.hear("created", **{**BASE, **payload})

    async def kept() -> dict[str, Any]:
        page = await client.get("webhook-gateway", "/admin/v1/deliveries", order=order.number)
        found = [dict(item) for item in page["items"] if item["outcome"] == "quarantined" and field in item["reason"]]
        assert len(found) == 1, page["items"]
        return found[0]

    delivery = await eventually(kept, what=f"the quarantined hook of {order.external_id}")
    mended = hook("created", order.external_id, at=START, **BASE)
    url = client.suite.url("webhook-gateway") + f"/admin/v1/deliveries/{delivery['id']}/replay"
    status, answer = await client.post(url, {"reason": "исправлено", "body": mended}, role="operator")
    assert status == 200, answer
    await order.becomes(lines=[("a", "2", 8_500)])


async def test_real_inputs_end_with_the_right_value_or_with_a_person(client: Client) -> None:
    """All at once: each is an order of its own."""
    before = await client.get("orchestrator", "/admin/v1/workflows", state="crashed")  # other tests share the suite
    await asyncio.gather(
        *(each_currency(client, written, "RUB") for written in ("RUR", "810", 643, "руб.", "rub")),
        each_currency(client, "HKD", "HKD"),
        each_currency(client, "kzt", "KZT"),
        equal_ids_keep_their_own_prices(client),
        delivery_stays_in_the_total(client),
        the_ordered_quantity_is_followed(client),
        a_time_of_digits_is_a_number(client),
        goods_stay_when_paid_names_none(client),
        an_unknown_field_that_differs_is_quiet(client),
        an_event_is_known_in_any_case(client),
        is_quarantined(client, "currency", currency="галлеоны"),
        is_quarantined(client, "quantity", positions=[{"id": "tv", "quantity": -5, "price": "83.00"}]),
        is_quarantined(client, "price", positions=[{"id": "tv", "quantity": 1, "price": "-1"}]),
        is_quarantined(client, "price", positions=[{"id": "tv", "quantity": 1, "price": "1,299"}]),
        is_quarantined(client, "positions", positions=[]),
    )
    page = await client.get("orchestrator", "/admin/v1/workflows", state="crashed")
    assert {item["id"] for item in page["items"]} <= {item["id"] for item in before["items"]}


async def test_a_website_order_that_cannot_be_read_is_refused_at_once(client: Client) -> None:
    url = client.suite.url("webhook-gateway") + "/api/v1/orders/"
    goods = {"id": "a", "quantity": 1, "price": "85.00"}
    customer = {"customer": {"name": "Анна", "phone": "+79161112233"}}
    good = {**customer, "positions": [goods], "currency": "руб."}
    status, answer = await client.post(url, good, role="website")
    assert status == 201, answer
    for field, change in (
        ("currency", {"currency": "галлеоны"}),
        ("positions.0.quantity", {"positions": [{**goods, "quantity": -5}]}),
        ("positions.0.price", {"positions": [{**goods, "price": "1,299"}]}),
    ):
        status, answer = await client.post(url, {**good, **change}, role="website_manager")
        assert (status, [item["field"] for item in answer["fields"]]) == (422, [field])
