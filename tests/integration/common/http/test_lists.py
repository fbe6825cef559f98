"""Lists and single things: how many there are, tags that spare an answer, and parameters that nobody knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from common.http import (
    OPERATOR,
    VIEWER,
    AdminChange,
    Page,
    PageQuery,
    Request,
    Route,
    decode_cursor,
    listed,
    page_of,
    stamped_cursor,
)
from common.postgres import Database

from .conftest import Demo, Item, Serve


class Shelf:
    """A list of so many things, which writes down how it was asked."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: list[tuple[int, str | None]] = []
        self.made: list[str] = []

    async def listing(self, request: Request[None, PageQuery]) -> Page[Item]:
        query = request.query
        self.asked.append((query.limit, query.cursor))
        position = decode_cursor(query.cursor, int)
        first = position[0] + 1 if position else 1
        rows = range(first, min(self.size, first + query.limit) + 1)
        return page_of(rows, limit=query.limit, item=lambda n: Item(sku=str(n), quantity=1), key=lambda n: (n,))

    async def make(self, request: Request[AdminChange, None]) -> Item:
        self.made.append(request.body.reason)
        return Item(sku="made", quantity=1)

    def routes(self, **more: Any) -> Sequence[Route]:
        listing = Route(
            method="GET",
            path="/things",
            handler=self.listing,
            summary="List",
            query=PageQuery,
            response=Page[Item],
            roles=VIEWER,
            **more,
        )
        make = Route(
            method="POST",
            path="/things",
            handler=self.make,
            summary="Make",
            request=AdminChange,
            response=Item,
            roles=OPERATOR,
        )
        return [listing, make]


async def ask(demo: Demo, query: str) -> Any:
    answer = await demo.call("GET", f"/things?{query}", token="t-viewer")
    assert answer.status == 200
    return answer.json()


@pytest.mark.parametrize(
    ("size", "count", "exact"), [(0, 0, True), (7, 7, True), (10_000, 10_000, True), (10_001, 10_000, False)]
)
async def test_a_list_is_counted_exactly_up_to_ten_thousand(serve: Serve, size: int, count: int, exact: bool) -> None:
    demo = await serve(Shelf(size).routes())
    page = await ask(demo, "limit=5&count=true")
    assert (page["count"], page["count_exact"], len(page["items"])) == (count, exact, min(size, 5))


async def test_the_count_is_of_all_pages_whichever_is_shown(serve: Serve) -> None:
    demo = await serve(Shelf(450).routes())
    page = await ask(demo, "limit=200")
    assert "count" not in page
    assert "count_exact" not in page
    second = await ask(demo, f"limit=200&count=true&cursor={page['next_cursor']}")
    assert (second["count"], second["items"][0]["sku"]) == (450, "201")


async def test_a_list_that_fits_on_one_page_is_not_asked_for_again(serve: Serve) -> None:
    shelf = Shelf(3)
    page = await ask(await serve(shelf.routes()), "count=true")
    assert (page["count"], shelf.asked) == (3, [(50, None)])


async def test_a_list_in_postgresql_is_counted_by_its_own_statement(serve: Serve, database_for: Any) -> None:
    database = Database(await database_for("refunds"), application_name="test")
    await database.open()
    asked: list[tuple[Any, int]] = []
    size = 25_000

    def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
        asked.append((after, limit))
        numbers = "SELECT n FROM generate_series($1::int + 1, $2::int) AS n ORDER BY n LIMIT $3"
        return numbers, [0 if after is None else after[0], size, limit]

    async def things(request: Request[None, PageQuery]) -> Page[Item]:
        return await listed(
            database, request.query, select, key={"n": int}, item=lambda row: Item(sku=str(row["n"]), quantity=1)
        )

    route = Route(
        method="GET",
        path="/things",
        handler=things,
        summary="List",
        query=PageQuery,
        response=Page[Item],
        roles=VIEWER,
    )
    demo = await serve([route])
    page = await ask(demo, "count=true")
    assert (page["count"], page["count_exact"], asked) == (10_000, False, [(None, 51), (None, 10_001)])
    size = 120
    asked.clear()
    second = await ask(demo, f"count=true&cursor={page['next_cursor']}")
    assert (second["count"], second["count_exact"], second["items"][0]["sku"]) == (120, True, "51")
    assert asked == [((50,), 51), (None, 10_001)]
    assert "count" not in await ask(demo, "limit=5")
    size = 7
    asked.clear()
    page = await ask(demo, "count=true")
    assert (page["count"], asked) == (7, [(None, 51)])
    await database.close()


async def test_a_cursor_is_taken_by_the_list_that_made_it_alone(serve: Serve) -> None:
    first, second = Shelf(9), Shelf(9)
    other = replace(second.routes()[0], path="/shelves/{name}/things")
    demo = await serve([first.routes()[0], other])
    cursor = (await ask(demo, "limit=4"))["next_cursor"]
    assert [item["sku"] for item in (await ask(demo, f"limit=2&cursor={cursor}"))["items"]] == ["5", "6"]
    of_a = (await demo.call("GET", "/shelves/a/things?limit=4", token="t-viewer")).json()["next_cursor"]
    assert (await demo.call("GET", f"/shelves/a/things?cursor={of_a}", token="t-viewer")).status == 200
    first.asked.clear()
    second.asked.clear()
    bare = cursor.partition(".")[2]
    assert stamped_cursor(bare, "demo", "/things") == cursor
    for path, given in (
        ("/things", stamped_cursor(bare, "another-service", "/things")),
        ("/shelves/a/things", cursor),
        ("/things", of_a),
        ("/shelves/b/things", of_a),
        ("/things", bare),
        ("/things", ""),
        ("/things", "."),
        ("/things", cursor + "."),
    ):
        answer = await demo.call("GET", f"{path}?count=true&cursor={given}", token="t-viewer")
        assert (answer.status, answer.json()["code"]) == (400, "invalid_cursor"), (path, given)
    assert (first.asked, second.asked) == ([(50, bare + ".")], [])


async def test_an_unknown_parameter_is_refused_by_name(serve: Serve) -> None:
    demo = await serve(Shelf(1).routes())
    answer = await demo.call("GET", "/things?limit=1&state=open&%D1%91=1&state=x", token="t-viewer")
    assert (answer.status, answer.json()["code"]) == (422, "unknown_parameter")
    assert {field["field"] for field in answer.json()["fields"]} == {"state", "ё"}


async def test_a_change_with_a_parameter_in_its_address_is_not_carried_out(serve: Serve) -> None:
    shelf = Shelf(1)
    demo = await serve(shelf.routes())
    body = {"reason": "because"}
    answer = await demo.call("POST", "/things?dry_run=true", token="t-operator", json=body)
    assert (answer.status, answer.json()["code"], shelf.made) == (422, "unknown_parameter", [])


async def test_who_may_not_call_learns_nothing_about_parameters(serve: Serve) -> None:
    demo = await serve(Shelf(1).routes())
    assert (await demo.call("GET", "/things?state=open")).status == 401


async def test_public_addresses_may_be_told_more(demo: Demo) -> None:
    assert (await demo.call("GET", "/livez?probe=1")).status == 200


async def test_what_has_not_changed_is_answered_304_without_a_body(serve: Serve) -> None:
    shelf = Shelf(3)
    demo = await serve(shelf.routes())
    first = await demo.call("GET", "/things", token="t-viewer")
    tag = first.headers["ETag"]
    assert tag.startswith('W/"')
    for given in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = await demo.call("GET", "/things", token="t-viewer", headers={"If-None-Match": given})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
        assert "X-Request-Id" in again.headers
    for given in ("W/*", '"*"', "garbage", f"W/{tag}", "W/", '""', ",", '"'):
        whole = await demo.call("GET", "/things", token="t-viewer", headers={"If-None-Match": given})
        assert (whole.status, whole.headers["ETag"]) == (200, tag), given
    shelf.size = 4
    changed = await demo.call("GET", "/things", token="t-viewer", headers={"If-None-Match": tag})
    assert (changed.status, len(changed.json()["items"])) == (200, 4)
    assert changed.headers["ETag"] != tag


async def test_a_tag_opens_nothing_to_whom_the_answer_is_closed(serve: Serve) -> None:
    demo = await serve(Shelf(3).routes())
    assert (await demo.call("GET", "/things", headers={"If-None-Match": "*"})).status == 401


async def test_single_things_are_tagged_and_changes_probes_and_errors_are_not(demo: Demo) -> None:
    one = await demo.call("GET", "/orders/a/1")
    head = await demo.call("HEAD", "/orders/a/1")
    assert one.headers["ETag"] == head.headers["ETag"]
    for answer in (
        await demo.call("GET", "/livez"),
        await demo.call("GET", "/fail/conflict", headers={"If-None-Match": "*"}),
        await demo.call("POST", "/orders", token="t-operator", json={"items": [{"sku": "a", "quantity": 2}]}),
    ):
        assert "ETag" not in answer.headers
        assert answer.status != 304
