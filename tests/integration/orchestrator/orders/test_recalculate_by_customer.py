"""Orders are recalculated by whatever finds them in the list: a customer's phone, mail, name, a number."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.orchestrator.conftest import Api, Gateway, Start
from tests.support.servers import eventually

GOODS = [{"id": "a", "quantity": 2, "price": "85.00"}]
ANNA = {"name": "Анна Смирнова", "phone": "+79161234567", "email": "anna@example.org"}
IVAN = {"name": "Иван Петров", "phone": "+79000000000", "email": "ivan@example.org"}


@pytest.fixture
async def api(start: Start, gateway: Gateway) -> Api:
    """An order of Anna's and one of Ivan's."""
    made = await start()
    for name, customer in (("ANNA", ANNA), ("IVAN", IVAN)):
        await gateway.send(gateway.hook(name, "order.created", minute=1, positions=GOODS, customer=customer))

    async def there() -> bool:
        return len((await made.get("/admin/v1/orders"))["items"]) == 2

    await eventually(there)
    return made


async def test_the_filter_takes_whatever_finds_an_order_in_the_list(api: Api, gateway: Gateway) -> None:
    number = gateway.number("ANNA")
    found: dict[str, Any] = {}
    for name, said in (
        ("phone", {"phone": "8 916 123 45 67"}),
        ("email", {"email": "anna@"}),
        ("name", {"q": "смирнова"}),
        ("number in words", {"q": number.lower()}),
        ("external id in words", {"q": "ANNA"}),
        ("number", {"number": number}),
        ("both", {"q": "анна", "phone": "4567", "source": "sbermarket"}),
        ("of two", {"phone": "4567", "email": "ivan@"}),
    ):
        asked = {"reason": "проверка", "filter": said, "dry_run": True}
        status, answer = await api.call("POST", "/admin/v1/orders/recalculate", asked, role="operator")
        assert status == 200, (name, answer)
        found[name] = [item["number"] for item in answer["items"]]
    assert found.pop("of two") == []
    assert found == {name: [number] for name in found}


async def test_digits_that_everybody_has_choose_nothing(api: Api) -> None:
    asked = {"reason": "проверка", "filter": {"phone": "12"}, "dry_run": True}
    assert (await api.call("POST", "/admin/v1/orders/recalculate", asked, role="operator"))[0] == 422
