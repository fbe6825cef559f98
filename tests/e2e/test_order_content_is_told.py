"""What an order holds beside its goods, from the hook to the chat: a change is stored and told, and no text is cut."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.servers import eventually
from tests.support.suite_client import Client, hook

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

START = datetime.now(UTC) - timedelta(minutes=5)
GOODS = [{"id": "a", "quantity": 2, "price": "85.00"}]
BEFORE: dict[str, Any] = {
    "customer": {"name": "Анна Смирнова", "phone": "8 (916) 123-45-67"},
    "address": {"city": "Москва", "street": "Тверская", "house": "1"},
    "deliveryWindow": {"from": "2026-11-29T18:00:00+03:00", "to": "2026-11-29T20:00:00+03:00"},
}
AFTER: dict[str, Any] = {
    "customer": {"phone": "+7 495 000-11-22"},
    "address": {"city": "Москва", "street": "Арбат", "house": "7", "flat": "3"},
    "deliveryWindow": {"from": "2026-11-29T20:00:00+03:00", "to": "2026-11-29T22:00:00+03:00"},
}


async def send(client: Client, event: str, external_id: str, minute: int, **payload: Any) -> str:
    """Send a hook, get a yes; return our number."""
    status, answer, _ = await client.hook(
        hook(event, external_id, at=START + timedelta(minutes=minute), positions=GOODS, **payload)
    )
    assert status == 200, answer
    return str(answer["number"])


async def told(client: Client, number: str, word: str) -> list[str]:
    """The messages about an order in the chats, once one of them holds the word."""

    async def probe() -> list[str]:
        sent = [str(entry["request"].get("text", "")) for entry in await client.chat_log("telegram") if entry["effect"]]
        about = [text for text in sent if number in text]
        assert any(word in text for text in about), about
        return about

    found: list[str] = await eventually(probe, what=f"order {number} is told with {word!r}")
    return found


async def test_a_change_of_address_phone_and_window_is_told_and_stored(client: Client) -> None:
    external_id = f"content-{secrets.token_hex(6)}"
    number = await send(client, "created", external_id, 1, **BEFORE)
    await send(client, "changed", external_id, 2, **AFTER)
    texts = "\n".join(await told(client, number, "Заказ изменён"))
    for expected in (
        "Время доставки: 29.11.2026 18:00–20:00 (UTC+03:00) → ",
        "29.11.2026 20:00–22:00 (UTC+03:00)",
        "Адрес: Мо***, Тв***, д. *** → ",
        "Мо***, А***, д. ***, кв. ***",
        "Телефон: ***67 → ",
    ):
        assert expected in texts
    assert not any(
        secret in texts for secret in ("Смирнова", "123-45-67", "9161234567", "4950001122", "Тверская", "Арбат")
    )
    order = await client.get("orchestrator", f"/orders/v1/orders/{number}", role="operator")
    assert order["customer"] == {"name": "Анна Смирнова", "phone": "+74950001122", "email": None}
    assert order["address"]["text"] == "Москва, Арбат, д. 7, кв. 3"
    assert order["delivery_window"]["ends"] == "2026-11-29T22:00:00+03:00"
    found = await client.get("orchestrator", "/admin/v1/orders", phone="8 495 000 11 22")
    assert number in [item["number"] for item in found["items"]]
    moment = (START + timedelta(minutes=1, seconds=30)).isoformat()
    was = await client.get("orchestrator", f"/orders/v1/orders/{number}", role="operator", at=moment)
    assert was["address"]["text"] == "Москва, Тверская, д. 1"


async def test_a_comment_of_1588_characters_is_told_to_its_last_word(client: Client) -> None:
    external_id = f"comment-{secrets.token_hex(6)}"
    warning = "АЛЛЕРГИЯ НА ОРЕХИ"
    comment = ("Оставьте у двери, звонок не работает. " * 50)[: 1588 - len(warning)] + warning
    number = await send(client, "created", external_id, 1, comment=comment)
    texts = await told(client, number, warning)
    assert all(external_id in text for text in texts)
