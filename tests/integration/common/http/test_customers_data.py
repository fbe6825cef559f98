"""Customers' data in answers: viewers get it masked, whoever reads it whole stands in the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from common.http import (
    CONTACT,
    CONTENT,
    NAME,
    VIEWER,
    AdminChange,
    Change,
    Changes,
    Page,
    PageQuery,
    Reply,
    Request,
    Route,
    masked,
)
from common.http import Answer as Answered
from common.postgres import Database

from .conftest import Demo, Serve


class Person(BaseModel):
    """A customer."""

    name: Annotated[str | None, NAME] = None
    phone: Annotated[str, CONTACT] | None = None
    mails: list[Annotated[str, CONTACT]] = []
    contacts: dict[str, Annotated[str, CONTACT]] = {}
    city: str = "Омск"


class Sale(BaseModel):
    """A sale with all that may be about a person in it."""

    id: int
    customer: Person | None = None
    others: tuple[Person, ...] = ()
    address: Annotated[Any, CONTENT] = None
    total: int = 5


IVAN = Person(
    name="Иван Петров",
    phone="+79161234567",
    mails=["ivan@example.ru"],
    contacts={"telegram": "@ivanpetrov"},
)
WHOLE = Sale(
    id=1, customer=IVAN, others=(IVAN,), address={"city": "Омск", "street": "Ленина", "floor": 3, "lift": True}
)
ANONYMOUS = Sale(id=2)
HIDDEN = {
    "name": "И***",
    "phone": "***67",
    "mails": ["***ru"],
    "contacts": {"telegram": "***ov"},
    "city": "Омск",
}


class Shop:
    """Answers sales, and says what the audit log holds."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def one(self, request: Request[None, None]) -> Sale:
        return WHOLE if request.path["id"] == "1" else ANONYMOUS

    async def all(self, request: Request[None, PageQuery]) -> Page[Sale]:
        return Page(items=[WHOLE, ANONYMOUS, WHOLE], next_cursor=None)

    async def change(self, request: Request[AdminChange, None]) -> Answered:
        async def work(change: Change) -> Reply:
            return Reply(WHOLE, status=202)

        return await Changes(self.database).carry_out(request, work)

    def routes(self) -> list[Route]:
        return [
            Route(method="GET", path="/sales/{id}", handler=self.one, summary="One", response=Sale, roles=VIEWER),
            Route(
                method="GET",
                path="/sales",
                handler=self.all,
                summary="All",
                query=PageQuery,
                response=Page[Sale],
                roles=VIEWER,
            ),
            Route(
                method="POST",
                path="/sales",
                handler=self.change,
                summary="Change",
                request=AdminChange,
                response={202: Sale},
                roles=VIEWER,
                idempotent=True,
            ),
        ]

    async def read(self) -> list[tuple[Any, ...]]:
        async with self.database.acquire() as connection:
            rows = await connection.fetch("SELECT action, actor, target, after, request_id FROM audit_log ORDER BY id")
        return [tuple(row) for row in rows]


@pytest.fixture
async def shop(database_for: Callable[[str], Awaitable[str]]) -> AsyncIterator[Shop]:
    database = Database(await database_for("refunds"), application_name="test")
    await database.open()
    yield Shop(database)
    await database.close()


@pytest.fixture
async def demo(shop: Shop, serve: Serve) -> Demo:
    return await serve(shop.routes(), database=shop.database)


async def test_a_viewer_gets_every_marked_field_masked_and_leaves_no_record(demo: Demo, shop: Shop) -> None:
    answer = await demo.call("GET", "/sales/1", token="t-viewer")
    assert answer.json() == {
        "id": 1,
        "customer": HIDDEN,
        "others": [HIDDEN],
        "address": {"city": "***", "street": "***", "floor": "***", "lift": True},
        "total": 5,
    }
    assert await shop.read() == []


async def test_an_operator_gets_it_whole_and_the_audit_log_says_so(demo: Demo, shop: Shop) -> None:
    for token in ("t-operator", "t-admin"):
        answer = await demo.call("GET", "/sales/1", token=token, headers={"X-Request-Id": f"by-{token}"})
        assert answer.json() == WHOLE.model_dump(mode="json")
    assert await shop.read() == [
        ("customer_data.read", "olga", "/sales/1", {"count": 1}, "by-t-operator"),
        ("customer_data.read", "anna", "/sales/1", {"count": 1}, "by-t-admin"),
    ]


async def test_a_list_leaves_one_record_with_the_number_of_customers(demo: Demo, shop: Shop) -> None:
    masked_list = await demo.call("GET", "/sales?count=true", token="t-viewer")
    assert [item["customer"] for item in masked_list.json()["items"]] == [HIDDEN, None, HIDDEN]
    whole = await demo.call("GET", "/sales", token="t-operator")
    assert [item["customer"] for item in whole.json()["items"]] == [IVAN.model_dump(), None, IVAN.model_dump()]
    assert [row[:4] for row in await shop.read()] == [("customer_data.read", "olga", "/sales", {"count": 2})]


async def test_an_answer_without_a_customer_leaves_no_record(demo: Demo, shop: Shop) -> None:
    assert (await demo.call("GET", "/sales/2", token="t-operator")).json() == ANONYMOUS.model_dump(mode="json")
    assert await shop.read() == []


async def test_the_answer_to_a_change_is_masked_as_well(demo: Demo, shop: Shop) -> None:
    body = {"reason": "because"}
    viewer = await demo.call("POST", "/sales", token="t-viewer", json=body)
    operator = await demo.call("POST", "/sales", token="t-operator", json=body)
    assert (viewer.status, viewer.json()["customer"]) == (202, HIDDEN)
    assert (operator.status, operator.json()["customer"]) == (202, IVAN.model_dump())
    assert [row[2] for row in await shop.read()] == ["/sales"]


async def test_an_answer_repeated_under_its_key_is_masked_or_noted_as_the_first(demo: Demo, shop: Shop) -> None:
    for token, seen in (("t-viewer", HIDDEN), ("t-operator", IVAN.model_dump())):
        answers = [
            await demo.call(
                "POST", "/sales", token=token, json={"reason": "because"}, headers={"Idempotency-Key": token}
            )
            for _ in range(2)
        ]
        assert [(answer.status, answer.json()["customer"]) for answer in answers] == [(202, seen)] * 2
        assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [None, "true"]
    assert [row[:3] for row in await shop.read()] == [("customer_data.read", "olga", "/sales")] * 2


async def test_what_is_asked_for_masked_or_has_not_changed_leaves_no_record(demo: Demo, shop: Shop) -> None:
    masked_list = await demo.call("GET", "/sales", token="t-operator", headers={"Customer-Data": "masked"})
    assert [item["customer"] for item in masked_list.json()["items"]] == [HIDDEN, None, HIDDEN]
    assert await shop.read() == []
    tag = (await demo.call("GET", "/sales/1", token="t-operator")).headers["ETag"]
    again = await demo.call("GET", "/sales/1", token="t-operator", headers={"If-None-Match": tag})
    assert (again.status, len(await shop.read())) == (304, 1)


async def test_what_cannot_be_recorded_is_not_shown_whole(shop: Shop, serve: Serve) -> None:
    without = await serve(shop.routes())
    assert (await without.call("GET", "/sales/1", token="t-admin")).json()["customer"] == HIDDEN
    await shop.database.close()
    away = await serve(shop.routes(), database=shop.database)
    assert (await away.call("GET", "/sales/1", token="t-admin")).status == 503
    assert (await away.call("GET", "/sales/1", token="t-viewer")).json()["customer"] == HIDDEN
    await shop.database.open()


async def test_a_masked_answer_has_a_tag_of_its_own(demo: Demo) -> None:
    tags = {
        token: (await demo.call("GET", "/sales/1", token=token)).headers["ETag"] for token in ("t-viewer", "t-operator")
    }
    assert tags["t-viewer"] != tags["t-operator"]


async def test_the_document_says_which_fields_are_customers_data(demo: Demo) -> None:
    document = (await demo.call("GET", "/openapi.json")).json()
    person = document["components"]["schemas"]["Person"]["properties"]
    assert person["name"]["x-customer-data"] is True
    assert "x-customer-data" not in person["city"]


def test_masking_leaves_the_model_itself_as_it_is() -> None:
    before = WHOLE.model_dump()
    assert masked(WHOLE) != WHOLE
    assert WHOLE.model_dump() == before
    assert masked(ANONYMOUS) == ANONYMOUS
