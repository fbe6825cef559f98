"""Nothing is ordered twice by a rescue: likely duplicates are named first, and a customer's own second try settles the first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from common.contracts.alerts import ProblemResolvedV1
from common.contracts.envelope import parse
from common.contracts.intake import IntakeMessage
from common.ids import derived_id
from common.messaging import topology
from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer, watched
from tests.support.poisoned import Fault
from tests.support.servers import eventually
from webhook_gateway.rescue.end_problem import ended_by_arrival

Arrived = Callable[[int], Awaitable[list[IntakeMessage]]]
ORDERS = "/api/v1/orders/"
PATH = "/admin/v1/endangered-orders"
GOODS = [{"id": "milk", "quantity": 2, "price": "85.00"}]
UNREADABLE = [{"id": "milk", "quantity": "пара", "price": "85.00"}]


def order(positions: list[dict[str, Any]], phone: str = "+79990001122", **changes: Any) -> dict[str, Any]:
    """An order without a name."""
    return {"positions": positions, "customer": {"name": "Анна", "phone": phone}, "address": "Тверская 1", **changes}


async def send(gateway: Gateway, body: dict[str, Any], sender: str = "website") -> tuple[int, Any]:
    """Place an order; return status and answer."""
    status, answer, _ = await gateway.send(body, path=ORDERS, headers=bearer(sender))
    return status, answer


async def endangered(gateway: Gateway, count: int, query: str = "") -> list[dict[str, Any]]:
    """Wait for so many endangered orders; return them, the oldest first."""

    async def enough() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await gateway.get(f"{PATH}?{query}", role="operator"))["items"]
        return items[::-1] if len(items) == count else []

    return await eventually(enough, what=f"{count} endangered orders")


async def test_likely_duplicates_are_named_before_an_order_is_made_twice(start: Start, arrived: Arrived) -> None:
    async with start() as gateway:
        _, other = await send(gateway, order([{"id": "beer", "quantity": 1}]))  # the same phone
        _, same_basket = await send(gateway, order(GOODS, phone="+79990009999"))
        await send(gateway, order([{"id": "tv", "quantity": 1}], phone="+79990008888"))
        assert (await send(gateway, order(UNREADABLE)))[0] == 422
        assert (await send(gateway, order(UNREADABLE)))[0] == 422
        await gateway.deliveries(5)
        lost, twin = await endangered(gateway, 2)
        path = f"{PATH}/{lost['id']}/resubmit"
        mended = {"reason": "две штуки", "body": order(GOODS)}
        status, preview = await gateway.change(path, {**mended, "dry_run": True})
        assert (status, preview["dry_run"]) == (200, True)
        assert {(one["number"] or one["id"], tuple(one["same"])) for one in preview["duplicates"]} == {
            (other["number"], ("phone",)),
            (same_basket["number"], ("basket",)),
            (twin["id"], ("phone",)),
        }
        status, problem = await gateway.change(path, mended)
        assert (status, problem["code"]) == (409, "likely_duplicates")
        assert {fault["field"] for fault in problem["fields"]} == {
            other["number"],
            same_basket["number"],
            f"endangered {twin['id']}",
        }
        assert len(await endangered(gateway, 2, "state=new")) == 2
        status, done = await gateway.change(path, {**mended, "despite_duplicates": True})
        assert (status, done["state"], len(done["duplicates"])) == (200, "resubmitted", 3)
        hooks = await arrived(4)
        assert hooks[-1].number == done["number"]
        # Its twin was the same wish: the order that it became settles it, too.
        settled = await endangered(gateway, 2, "state=resubmitted")
        assert {item["number"] for item in settled} == {done["number"]}
        for item in settled:  # and looks like the others, not like itself
            shown = await gateway.get(f"{PATH}/{item['id']}", role="operator")
            named = {one["number"] for one in shown["duplicates"]}
            assert (done["number"] in named, other["number"] in named) == (False, True)


async def test_a_customers_second_try_settles_the_first_by_customer_and_basket(
    start: Start, arrived: Arrived, amqp_url: str
) -> None:
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        assert (await send(gateway, order(UNREADABLE)))[0] == 422
        assert (await send(gateway, order(GOODS), "kz"))[0] == 201  # another site's
        assert (await send(gateway, order([{"id": "beer", "quantity": 1}])))[0] == 201
        assert (await send(gateway, order(GOODS, phone="+79990009999")))[0] == 201
        await gateway.deliveries(4)
        [lost] = await endangered(gateway, 1)
        assert lost["state"] == "new"
        status, taken = await send(gateway, order(GOODS, phone="8 (999) 000-11-22"))
        assert status == 201
        [settled] = await endangered(gateway, 1, "state=resubmitted")
        assert (settled["id"], settled["number"]) == (lost["id"], taken["number"])
        assert settled["arrived_at"] is not None
        events = await alerts(2)
        assert parse(events[-1], ProblemResolvedV1).fingerprint == derived_id("endangered", lost["id"])
        assert (await gateway.change(f"{PATH}/{lost['id']}/resubmit", {"reason": "поздно"}))[0] == 409
        assert len(await arrived(4)) == 4


async def test_a_second_try_that_cannot_be_settled_holds_up_no_other(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad: list[str] = []
    whole = Fault().over(ended_by_arrival, lambda _connection, arrived: arrived[0].endangered_id in bad)
    monkeypatch.setattr("webhook_gateway.rescue.settle.ended_by_arrival", whole)
    async with start() as gateway:
        phones = [f"+7999000112{number}" for number in range(3)]
        for phone in phones:
            assert (await send(gateway, order(UNREADABLE, phone=phone)))[0] == 422
        bad.append((await endangered(gateway, 3))[0]["id"])
        for phone in phones:
            assert (await send(gateway, order(GOODS, phone=phone)))[0] == 201
        await endangered(gateway, 2, "state=resubmitted")

        assert await gateway.metric('task_failing{task="second-tries"}') == 1
        monkeypatch.undo()
        await endangered(gateway, 3, "state=resubmitted")


async def test_a_thousand_other_orders_of_one_phone_hide_no_second_try(start: Start) -> None:
    async with start() as gateway:
        for _ in range(33):
            assert (await send(gateway, order(UNREADABLE)))[0] == 422
        for number in range(33):  # with the first 33 that is a thousand pairs before the one that matters
            taken = await send(gateway, order([{"id": f"beer-{number}", "quantity": 1}]), "website_manager")
            assert taken[0] == 201
        await gateway.deliveries(66)
        assert (await send(gateway, order(GOODS), "website_manager"))[0] == 201
        await endangered(gateway, 33, "state=resubmitted&limit=200")


async def test_an_order_is_found_by_anything_that_a_customer_says(start: Start) -> None:
    async with start() as gateway:
        said = {"name": "Анна Каренина", "phone": "+7 999 000-11-22", "email": "Anna@Example.org"}
        await send(gateway, {"externalId": "W-7", "positions": [], "customer": said})
        await send(gateway, order([], phone="+79990009999", externalId="W-8"), "kz")
        await gateway.send({}, path=ORDERS, headers=bearer("wrong"))
        [first, second, _] = await endangered(gateway, 3)
        for query in (
            "q=89990001122", "q=0001122", "q=1122", "q=каренина", "q=ANNA@example.org", "q=W-7", f"q={first['id']}", "phone=8(999)0001122",
            "email=anna@example.org", "name=КАРЕН", "external_id=W-7", "source=website&anonymous=false",
            f"to={second['received_at'].replace('+', '%2B')}", f"id={first['id']}",
        ):  # fmt: skip
            assert [item["id"] for item in (await gateway.get(f"{PATH}?{query}"))["items"]] == [first["id"]], query
        for query, count in (
            ("category=front_end&state=open", 3),
            ("anonymous=true&network=127.0.0.0/24", 1),
            ("q=nobody", 0),
            (f"from={second['received_at'].replace('+', '%2B')}", 2),
            ("source=website:kz", 1),
        ):
            assert len((await gateway.get(f"{PATH}?{query}"))["items"]) == count, query
        masked = await gateway.get(f"{PATH}/{first['id']}")
        assert masked["customer"] == {"name": "А***", "phone": "***22", "email": "***rg"}
        assert (masked["body"], masked["address"]) == ("***", None)
        assert "Каренина" not in str(masked)
        whole = await gateway.get(f"{PATH}/{first['id']}", role="operator")
        assert whole["customer"] == {**said, "phone": "+79990001122"}
        reads = (await gateway.get("/admin/v1/audit?action=customer_data.read"))["items"]
        assert f"{PATH}/{first['id']}" in {entry["target"] for entry in reads}
