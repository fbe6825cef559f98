"""Endangered orders, reports and what orders are recognised by: blanked when a customer is erased, deleted when they are old."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from common.ids import order_number
from common.postgres import Database
from common.service import Subject
from sandbox.testing import running_sandbox
from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer
from tests.support.clocks import ManualClock
from tests.support.servers import eventually
from webhook_gateway.rescue.erase import erasures
from webhook_gateway.rescue.retention import EndangeredRetention
from webhook_gateway.rescue.store import EndangeredStore

ORDERS = "/api/v1/orders/"
PATH = "/admin/v1/endangered-orders"
REPORT = {"reason": "разобрано", "cause": "мы не предусмотрели такие адреса", "remedy": "форма их снова принимает"}
LIMITS = ("orders_per_phone", "orders_per_address", "orders_per_ip")
TABLES = ("endangered_orders", "endangered_reports", "website_arrivals", "order_contents", "anonymous_refusals")


NOTHING = {"endangered_orders": 0, "website_arrivals": 0, "order_bans": 0}


@pytest.fixture
async def dsn(database_for: Callable[[str], Awaitable[str]]) -> str:
    """The address of the gateway's database."""
    return await database_for("webhook_gateway")


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """The gateway's database."""
    database = Database(dsn, application_name="test")
    await database.open()
    yield database
    await database.close()


def order(number: int, **changes: Any) -> dict[str, Any]:
    """An order of a customer of their own."""
    return {
        "externalId": f"W-{number}",
        "positions": [{"id": f"sku-{number}", "quantity": 1, "price": "10.00"}],
        "customer": {"name": f"Анна-{number}", "phone": f"+7999000{number:04}", "email": f"a{number}@example.org"},
        "address": f"Тверская {number}",
        **changes,
    }


async def erase(database: Database, **subject: str) -> dict[str, int]:
    """Erase a customer; return the places by kind."""
    store = EndangeredStore(database, public_url="")
    async with database.transaction() as connection:
        wanted = Subject(**subject)
        return {kind: await place(connection, wanted) for kind, place in erasures(store).items()}


async def endangered(gateway: Gateway, count: int, query: str = "") -> list[dict[str, Any]]:
    """Wait for so many endangered orders, the oldest first."""

    async def enough() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await gateway.get(f"{PATH}?{query}", role="operator"))["items"]
        return items[::-1] if len(items) == count else []

    return await eventually(enough, what=f"{count} endangered orders")


async def test_an_erased_customer_is_gone_and_the_others_in_the_same_letter_stay(
    start: Start, database: Database, dsn: str
) -> None:
    async with running_sandbox() as sandbox:
        mail = {"smtp_host": sandbox.smtp_host, "smtp_port": sandbox.smtp_port, "report_to": "arsen@shop.example"}
        async with start(postgres_dsn=SecretStr(dsn), **dict.fromkeys(LIMITS, 1), **mail) as gateway:
            for number in (1, 2):
                assert (await gateway.send(order(number), path=ORDERS, headers=bearer("viewer")))[0] == 403
            for name, status in (("W-3", 201), ("W-4", 429)):
                answer = await gateway.send(order(3, externalId=name), path=ORDERS, headers=bearer("website"))
                assert answer[0] == status
            first, second, third = await endangered(gateway, 3)
            ids = {"ids": [first["id"], second["id"]]}
            assert (await gateway.change(PATH + "/report", {**REPORT, **ids}))[0] == 200
            await endangered(gateway, 2, "state=reported")

            async def banned() -> bool:
                bans = (await gateway.get("/admin/v1/order-limits"))["items"]
                return {ban["kind"] for ban in bans} == {"phone", "address", "ip"}

            await eventually(banned, what="a ban of phone, address and network")
            assert await erase(database, phone="8 999 000 00 01") == {
                "endangered_orders": 2,
                "website_arrivals": 0,
                "order_bans": 0,
            }
            assert await erase(database, email="A1@example.org") == NOTHING
            assert await erase(database, phone="+79990000003") == {
                "endangered_orders": 1,
                "website_arrivals": 1,
                "order_bans": 3,
            }
            kept = {item["id"]: item for item in await endangered(gateway, 3)}
            for erased in (first, third):
                item = kept[erased["id"]]
                assert (item["customer"], item["address"], item["body"], item["external_id"]) == (
                    {}, None, "", erased["external_id"],
                )  # fmt: skip
            assert kept[second["id"]]["customer"]["name"] == "Анна-2"
            [report] = (await gateway.get(f"{PATH}/{second['id']}/report", role="operator"))["reports"]
            assert ("Анна-2" in report["text"], "Анна-1" in report["text"], report["state"]) == (True, False, "sent")
            # By the number that an unsaved order would have.
            assert (await erase(database, order_number=order_number("website", "W-2")))["endangered_orders"] == 2
            path = f"{PATH}/{second['id']}"
            assert (await gateway.change(path + "/resubmit", {"reason": "поздно"}))[1]["code"] == "unprocessable"
            assert (await gateway.change(path + "/mend", {"reason": "он позвонил", "body": order(2)}))[0] == 200
            assert (await gateway.change(path + "/resubmit", {"reason": "теперь"}))[0] == 200


async def test_what_is_decided_goes_when_it_is_old_and_what_is_open_stays(
    start: Start, database: Database, dsn: str
) -> None:
    async with running_sandbox() as sandbox:
        mail = {"smtp_host": sandbox.smtp_host, "smtp_port": sandbox.smtp_port, "report_to": "arsen@shop.example"}
        async with start(postgres_dsn=SecretStr(dsn), **mail) as gateway:
            for number in (1, 2, 3):
                assert (await gateway.send(order(number), path=ORDERS, headers=bearer("viewer")))[0] == 403
            assert (await gateway.send(order(4), path=ORDERS, headers={}))[0] == 401
            assert (await gateway.send(order(5), path=ORDERS, headers=bearer("website")))[0] == 201
            await gateway.deliveries(5)
            reported, closed, left, _ = await endangered(gateway, 4)
            assert (await gateway.change(f"{PATH}/{reported['id']}/report", REPORT))[0] == 202
            await endangered(gateway, 1, "state=reported")
            assert (await gateway.change(f"{PATH}/{closed['id']}/close", {"reason": "дубль"}))[0] == 200

            async def counts() -> dict[str, int]:
                async with database.acquire() as connection:
                    return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}  # noqa: S608 - constants

            before = await counts()
            await EndangeredRetention(database, keep=timedelta(days=30), clock=ManualClock(datetime.now(UTC)))()
            assert await counts() == before == dict(zip(TABLES, (4, 1, 1, 1, 1), strict=True))
            later = ManualClock(datetime.now(UTC) + timedelta(days=31))
            await EndangeredRetention(database, keep=timedelta(days=30), clock=later)()
            assert await counts() == dict(zip(TABLES, (1, 0, 0, 0, 0), strict=True))
            assert [item["id"] for item in await endangered(gateway, 1)] == [left["id"]]
