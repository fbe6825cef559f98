"""Erasing a customer on a real PostgreSQL: all places or none, previewed, recorded without the customer's data, found once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from common.errors import Unavailable
from common.health import Health
from common.http import Changes, HttpServer, TokenBook, build_app
from common.postgres import Connection, Database
from common.service import Subject, erasure_routes, in_turn
from common.service.text_erasure import TextPlace, erase_texts
from common.telemetry.metrics import new_registry

_SCHEMA = """
CREATE TABLE letters (id int PRIMARY KEY, number text, phone text, email text);
INSERT INTO letters VALUES (1, 'A', '79161234567', 'ivan@example.ru'), (2, 'A', NULL, NULL), (3, 'B', '79161234567', NULL)
"""
_ERASE = """
UPDATE letters SET phone = NULL, email = NULL
WHERE (number = $1 OR phone = $2 OR email = $3) AND (phone IS NOT NULL OR email IS NOT NULL)
"""


class Archive:
    """A service with letters, and a second kind of place that can be away."""

    def __init__(self, database: Database, server: HttpServer) -> None:
        self.database = database
        self.server = server

    async def erase(self, *, who: str = "admin", key: str | None = None, **body: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer t-{who}", **({"Idempotency-Key": key} if key else {})}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.server.url + "/admin/v1/erasures", json=body, headers=headers) as answer,
        ):
            return answer.status, await answer.json()

    async def sql(self, statement: str) -> list[tuple[Any, ...]]:
        async with self.database.acquire() as connection:
            return [tuple(row) for row in await connection.fetch(statement)]

    async def phones(self) -> list[str | None]:
        return [row[0] for row in await self.sql("SELECT phone FROM letters ORDER BY id")]


@pytest.fixture
def away() -> list[bool]:
    """Hold something in it and the second place is away."""
    return []


@pytest.fixture
async def archive(database_for: Callable[[str], Awaitable[str]], away: list[bool]) -> AsyncIterator[Archive]:
    database = Database(await database_for("refunds"), application_name="test")
    await database.open()
    async with database.acquire() as connection:
        await connection.execute(_SCHEMA)

    async def letters(connection: Connection, subject: Subject) -> int:
        digits = None if subject.phone is None else "".join(filter(str.isdigit, subject.phone))
        status = await connection.execute(_ERASE, subject.order_number, digits, subject.email)
        return int(status.rpartition(" ")[2])

    async def documents(connection: Connection, subject: Subject) -> int:
        if away:
            raise Unavailable("the archive is away")
        return 0

    app = build_app(
        service="archive",
        routes=erasure_routes(
            Changes(database),
            in_turn({"letters": letters, "documents": documents}),
            kept={"payments": "the law wants five years"},
        ),
        health=Health(),
        registry=new_registry(),
        tokens=TokenBook([("anna", "t-admin", "admin"), ("olga", "t-operator", "operator")]),
    )
    async with HttpServer(app, "127.0.0.1", 0, drain_seconds=1) as server:
        yield Archive(database, server)
    await database.close()


async def test_a_customer_is_erased_by_order_phone_or_mail_and_places_are_counted(archive: Archive) -> None:
    status, answer = await archive.erase(phone="+7 (916) 123-45-67", reason="asked for it", dry_run=True)
    assert (status, answer["places"], answer["by_kind"]) == (200, 2, {"letters": 2, "documents": 0})
    assert await archive.phones() == ["79161234567", None, "79161234567"]
    status, answer = await archive.erase(order_number="A", reason="asked for it")
    own = {name: answer["kept"][name] for name in ("stored_answers", "outbox")}  # what every service says
    kept = {"payments": "the law wants five years", **own}
    whole = {"dry_run": False, "places": 1, "by_kind": {"letters": 1, "documents": 0}, "kept": kept, "notices": []}
    assert answer == whole
    assert await archive.phones() == [None, None, "79161234567"]
    assert (await archive.erase(order_number="A", reason="asked again"))[1]["places"] == 0
    assert (await archive.erase(email="nobody@example.ru", reason="asked for it"))[1]["places"] == 0


async def test_a_text_loses_a_phone_in_digits_of_another_script_too(archive: Archive) -> None:
    said = ("тел. ٨٩١٦١٢٣٤٥٦٧, вечером", "＋７ ９１６ １２３-４５-６７", "۸۹۱۶۱۲۳۴۵۶۸")
    async with archive.database.acquire() as connection:
        await connection.executemany("INSERT INTO letters VALUES ($1, 'C', $2)", list(enumerate(said, 4)))
        place = TextPlace(table="letters", columns=("phone",), of_order=None, among="t.number = 'C'")
        assert await erase_texts(connection, Subject(phone="+79161234567"), place=place) == 2
    assert (await archive.phones())[3:] == ["тел. [masked], вечером", "[masked]", said[2]]


async def test_whom_to_erase_is_said_in_any_digits(archive: Archive) -> None:
    status, answer = await archive.erase(phone="٧٩١٦١٢٣٤٥٦٧", reason="asked for it", dry_run=True)
    assert (status, answer["by_kind"]["letters"]) == (200, 2)


async def test_the_record_of_an_erasure_holds_no_customers_data(archive: Archive) -> None:
    await archive.erase(phone="+79161234567", reason="asked for it")
    await archive.erase(email="ivan@example.ru", reason="asked for it")
    assert await archive.sql("SELECT action, actor, target, after FROM audit_log ORDER BY id") == [
        ("customer_data.erase", "anna", "phone:***67", {"by_kind": {"letters": 2, "documents": 0}}),
        ("customer_data.erase", "anna", "email:***ru", {"by_kind": {"letters": 0, "documents": 0}}),
    ]


async def test_one_place_that_is_away_leaves_all_as_it_was(archive: Archive, away: list[bool]) -> None:
    away.append(True)
    assert (await archive.erase(order_number="A", reason="asked for it", key="k"))[0] == 503
    assert await archive.phones() == ["79161234567", None, "79161234567"]
    away.clear()
    answers = [await archive.erase(order_number="A", reason="asked for it", key="k") for _ in range(2)]
    assert [(status, answer["places"]) for status, answer in answers] == [(200, 1)] * 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"order_number": "A", "phone": "+79161234567"},
        {"order_number": ""},
        {"phone": "12"},
        {"phone": "+7 916"},
        {"email": "nobody"},
    ],
)
async def test_whom_to_erase_has_to_be_said_exactly(archive: Archive, body: dict[str, Any]) -> None:
    status, answer = await archive.erase(reason="asked for it", **body)
    assert (status, answer["code"]) == (422, "unprocessable")


async def test_only_an_admin_may_erase(archive: Archive) -> None:
    assert (await archive.erase(who="operator", order_number="A", reason="asked for it"))[0] == 403
