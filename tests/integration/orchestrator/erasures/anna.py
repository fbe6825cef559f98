"""Anna, whose orders the tests of erasures make, erase, and look for in every table."""

from __future__ import annotations

import re
from typing import Any

import asyncpg

from tests.integration.orchestrator.conftest import Api, Gateway
from tests.support.servers import eventually

ANNA = {"name": "Анна Смирнова", "phone": "8 (916) 123-45-67", "email": "Anna@Example.org"}
FLAT = {"city": "Москва", "street": "Тверская", "house": "1", "flat": "5"}
GOODS = [{"id": "a", "name": "Молоко", "originalQuantity": 2, "quantity": 2, "price": "85.00"}]
WORDS = ("Смирнова", "смирнова", "9161234567", "123-45-67", "xample.org", "Тверская", "Арбат", "У двери", "у двери")
_TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'outbox'
"""


def readable(body: bytes) -> str:
    """A body as it stands and with its escaped letters; hashes of the audit log, too, which may hold any byte."""
    text = body.decode("utf-8", "replace")
    return text + re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)


async def left(database: asyncpg.Connection) -> set[tuple[str, str]]:
    """Where any of the customer's words still stand: (table, word), in any column of any table, bodies decoded."""
    found: set[tuple[str, str]] = set()
    for (table,) in await database.fetch(_TABLES):
        for row in await database.fetch(f'SELECT * FROM "{table}"'):  # noqa: S608 - names of tables
            text = " ".join(readable(value) if isinstance(value, bytes) else str(value) for value in row.values())
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
