"""Customer, address and delivery window of an order: in the API, in events and incidents, at a moment of the past, and to find it by."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.integration.orchestrator.conftest import START, Api, Gateway, Listener, Start
from tests.support.servers import eventually

ANNA = {"name": "Анна Смирнова", "phone": "8 (916) 123-45-67", "email": "Anna@Example.org"}
FLAT = {"city": "Москва", "street": "Тверская", "house": "1", "flat": "5"}
EVENING = {"from": "2026-11-21T18:00:00+03:00", "to": "2026-11-21T20:00:00+03:00"}
NIGHT = {"from": "2026-11-21T20:00:00+03:00", "to": "2026-11-21T22:00:00+03:00"}
GOODS = [{"id": "a", "originalQuantity": 2, "quantity": 2, "price": "85.00"}]
SECRETS = ("Смирнова", "9161234567", "Example.org", "Тверская", "Арбат", "4950000000")


def created(gateway: Gateway, external_id: str = "H1", **changes: Any) -> Any:
    """An order of Anna's."""
    said: dict[str, Any] = {"customer": ANNA, "address": FLAT, "deliveryWindow": EVENING, **changes}
    return gateway.hook(external_id, "order.created", minute=1, positions=GOODS, **said)


async def reached(api: Api, number: str, version: int, *, role: str = "operator") -> Any:
    """The order once it has that version."""

    async def probe() -> Any:
        order = await api.get(f"/orders/v1/orders/{number}", role=role)
        assert order["version"] == version
        return order

    return await eventually(probe)


async def found(api: Api, query: str) -> list[str]:
    """The external ids that a search finds, in its order."""
    return [item["external_id"] for item in (await api.get(f"/admin/v1/orders?{query}"))["items"]]


async def test_an_order_holds_customer_address_and_window(start: Start, gateway: Gateway) -> None:
    api = await start()
    await gateway.send(created(gateway))
    order = await reached(api, gateway.number("H1"), 1)
    assert order["customer"] == {"name": "Анна Смирнова", "phone": "+79161234567", "email": "Anna@Example.org"}
    assert order["address"]["text"] == "Москва, Тверская, д. 1, кв. 5"
    assert order["address"]["parts"] == FLAT
    assert (order["delivery_window"]["starts"], order["delivery_window"]["ends"]) == (
        "2026-11-21T18:00:00+03:00",
        "2026-11-21T20:00:00+03:00",
    )
    summary = (await api.get("/admin/v1/orders", role="operator"))["items"][0]
    assert [summary[name] for name in ("customer", "address", "delivery_window")] == [
        order[name] for name in ("customer", "address", "delivery_window")
    ]


async def test_a_viewer_sees_the_customer_masked_and_whole_reads_are_recorded(start: Start, gateway: Gateway) -> None:
    api = await start()
    await gateway.send(created(gateway, comment="Звоните 8 916 123 45 67"))
    number = gateway.number("H1")
    order = await reached(api, number, 1, role="viewer")
    assert (order["customer"]["name"], order["customer"]["phone"]) == ("А***", "***67")
    assert order["address"] == {"text": "Мо***, Тв***, д. ***, кв. ***", "parts": dict.fromkeys(FLAT, "***")}
    assert "123" not in order["comment"]
    assert order["delivery_window"]["ends"] == "2026-11-21T20:00:00+03:00"
    reads = "/admin/v1/audit?action=customer_data.read"
    assert (await api.get(reads, role="admin"))["items"] == []
    await api.get(f"/orders/v1/orders/{number}", role="operator")
    [record] = (await api.get(reads, role="admin"))["items"]
    assert (record["actor"], record["target"]) == ("operator", f"/orders/v1/orders/{number}")
    whole = await api.get(f"/orders/v1/orders/{number}", role="internal")  # a service is no person
    assert whole["customer"]["phone"] == "+79161234567"
    assert len((await api.get(reads, role="admin"))["items"]) == 1


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        (
            {"address": {"city": "Москва", "street": "Арбат", "house": "7"}},
            "address",
            ["Мо***, Тв***, д. ***, кв. ***", "Мо***, А***, д. ***"],
        ),
        ({"customer": {"phone": "+7 495 000-00-00"}}, "customer.phone", ["***67", "***00"]),
        ({"customer": {"name": "Пётр"}}, "customer.name", ["А***", "П***"]),
        (
            {"deliveryWindow": NIGHT},
            "delivery_window",
            ["2026-11-21T18:00+03:00 – 2026-11-21T20:00+03:00", "2026-11-21T20:00+03:00 – 2026-11-21T22:00+03:00"],
        ),
        ({"comment": "У двери"}, "comment", [None, "У двери"]),
        ({"storeId": "18"}, "store_id", ["17", "18"]),
    ],
    ids=["address", "phone", "name", "window", "comment", "store"],
)
@pytest.mark.parametrize("event", ["order.changed", "order.paid"])
async def test_a_change_of_content_is_stored_and_told(
    start: Start, gateway: Gateway, listener: Listener, event: str, change: dict[str, Any], field: str, told: list[Any]
) -> None:
    api = await start()
    await gateway.send(created(gateway), gateway.hook("H1", event, minute=2, positions=GOODS, **change))
    order = await reached(api, gateway.number("H1"), 2)
    _, sent = await listener.gather("notifier.orders", 2)
    assert sent.data is not None
    assert sent.data["notify"] is True
    assert sent.data["difference"]["fields"] == [[field, *told]]
    assert not any(secret in sent.encode().decode() for secret in SECRETS)
    if field == "address":
        assert order["address"]["text"] == "Москва, Арбат, д. 7"
        assert sent.data["order"]["address"] == told[1]
    if field == "delivery_window":
        assert sent.data["order"]["delivery_window"]["ends"] == "2026-11-21T22:00:00+03:00"
    timeline = await api.all(f"/admin/v1/orders/{order['number']}/timeline")
    acts = [item for item in timeline if item["kind"] in {"order.change", "order.pay"}]
    assert field in acts[0]["details"]
    assert not any(secret in str(timeline) for secret in SECRETS)


async def test_prices_alone_are_told_to_nobody_when_an_order_is_paid(
    start: Start, gateway: Gateway, listener: Listener
) -> None:
    api = await start()
    cheaper = [{**GOODS[0], "price": "80.00"}]
    await gateway.send(created(gateway), gateway.hook("H1", "order.paid", minute=2, positions=cheaper))
    await reached(api, gateway.number("H1"), 2)
    _, paid = await listener.gather("notifier.orders", 2)
    assert (paid.data or {})["notify"] is False


async def test_what_changes_after_closing_is_an_incident_that_says_what(
    start: Start, gateway: Gateway, listener: Listener
) -> None:
    api = await start()
    late: dict[str, Any] = {
        "address": {"city": "Москва", "street": "Арбат", "house": "7"},
        "deliveryWindow": NIGHT,
        "customer": {"phone": "+74950000000"},
    }
    await gateway.send(
        created(gateway),
        gateway.hook("H1", "order.received", minute=2),
        gateway.hook("H1", "order.changed", minute=3, positions=GOODS, **late),
    )  # fmt: skip
    order = await reached(api, gateway.number("H1"), 2)
    [raised] = await listener.gather("notifier.alerts", 1)
    assert raised.data is not None
    details = raised.data["details"]
    assert details["address"] == "Мо***, Тв***, д. ***, кв. *** → Мо***, А***, д. ***"
    assert details["customer.phone"] == "***67 → ***00"
    assert details["delivery_window"].endswith("2026-11-21T22:00+03:00")
    assert not any(secret in raised.encode().decode() for secret in SECRETS)
    assert order["address"]["text"] == "Москва, Тверская, д. 1, кв. 5"


async def test_an_order_is_shown_as_it_was_at_a_moment(start: Start, gateway: Gateway) -> None:
    api = await start()
    number = gateway.number("H1")
    await gateway.send(
        created(gateway),
        gateway.hook("H1", "order.changed", minute=2, positions=[{**GOODS[0], "quantity": 5}], deliveryWindow=NIGHT),
        gateway.hook("H1", "order.paid", minute=3, positions=GOODS),
    )
    await reached(api, number, 3)

    async def at(minutes: float) -> tuple[int, Any]:
        moment = (START + timedelta(minutes=minutes)).isoformat().replace("+", "%2B")
        return await api.call("GET", f"/orders/v1/orders/{number}?at={moment}", role="operator")

    assert (await at(0.5))[0] == 404
    status, first = await at(1.5)
    assert (status, first["status"], first["positions"][0]["quantity"]) == (200, "created", "2")
    assert first["delivery_window"]["ends"] == "2026-11-21T20:00:00+03:00"
    assert (first["version"], first["updated_at"]) == (None, "2026-11-21T10:01:00Z")
    assert (first["tips"]["amount"], first["payment"]["refunded"]) == (0, False)
    second = (await at(2))[1]
    assert (second["positions"][0]["quantity"], second["closed_for_changes"]) == ("5", False)
    assert second["delivery_window"]["ends"] == "2026-11-21T22:00:00+03:00"
    now = await api.get(f"/orders/v1/orders/{number}", role="operator")
    third = (await at(99))[1]
    assert {**third, **{name: now[name] for name in ("version", "payment", "updated_at")}} == now
    assert (third["version"], third["payment"]["refunded"]) == (None, None)
    assert (await at(60 * 24 * 365))[1] == now


async def test_a_person_finds_an_order_by_anything_a_customer_says(start: Start, gateway: Gateway) -> None:
    api = await start()
    ivan = {"name": "Семёнов-Тян Иван", "phone": "+79990001122", "email": "ivan@mail.example"}
    await gateway.send(created(gateway, "H1"), created(gateway, "H2", customer=ivan))
    await reached(api, gateway.number("H2"), 1)
    await reached(api, gateway.number("H1"), 1)
    for said in (
        "q=Смирнова", "q=смир", "q=анна смирн", "q=ирно", "q=Ан", "phone=%2B79161234567", "phone=89161234567", "phone=9161234567",
        "phone=8(916)123-45-67", "phone=4567", "q=8 916 123 45 67", "email=anna@example.org", "q=ANNA@", "q=H1", "external_id=H1",
        f"number={gateway.number('H1')}", f"q={gateway.number('H1').lower()}", "phone=4567&q=анна", "q=анна&status=created",
    ):  # fmt: skip
        assert await found(api, said) == ["H1"], said
    for said in ("q=семенов", "q=Тян", "q=иван семёнов", "phone=1122"):
        assert await found(api, said) == ["H2"], said
    for said in ("q=Кузнецов", "phone=0000", "phone=4567&q=Иван", "q=анна&status=paid", "q=Анна&store_id=18"):
        assert await found(api, said) == [], said
    assert (await api.call("GET", "/admin/v1/orders?phone=12"))[0] in {400, 422}


async def test_an_order_is_found_by_a_contact_that_it_had_once(start: Start, gateway: Gateway) -> None:
    api = await start()
    await gateway.send(
        created(gateway),
        gateway.hook("H1", "order.changed", minute=2, positions=GOODS, customer={"phone": "+74950000000"}),
    )
    await reached(api, gateway.number("H1"), 2)
    assert await found(api, "phone=89161234567") == await found(api, "phone=4950000000") == ["H1"]


async def test_a_name_that_many_have_is_paged_newest_first(
    start: Start, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.orders.search._FEW", 3)
    monkeypatch.setattr("orchestrator.orders.search._WINDOW", 4)
    api = await start()
    await gateway.send(*(created(gateway, f"H{index}", customer={"name": f"Анна {index % 2}"}) for index in range(12)))

    async def all_there() -> bool:
        return len(await api.all("/admin/v1/orders")) == 12

    await eventually(all_there)
    everything = [item["external_id"] for item in await api.all("/admin/v1/orders")]
    seen: list[str] = []
    cursor = ""
    while True:
        page = await api.get(f"/admin/v1/orders?q=анна&limit=5{cursor}")
        seen += [item["external_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == everything
