"""What an order is called: each site by itself, and one name never means two orders."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from common.contracts.alerts import ProblemRaisedV1
from common.contracts.envelope import parse
from common.contracts.intake import IntakeMessage
from common.ids import order_number
from common.messaging import topology
from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer, watched
from tests.support.servers import eventually, proxied

Arrived = Callable[[int], Awaitable[list[IntakeMessage]]]
ORDERS = "/api/v1/orders/"
PATH = "/admin/v1/endangered-orders"


def order(**changes: Any) -> dict[str, Any]:
    """A website's order."""
    return {
        "positions": [{"id": "milk", "quantity": 1, "price": "85.00"}],
        "customer": {"name": "Анна", "phone": "+7 (999) 000-11-22"},
        "address": {"full_address": "Москва, Тверская 1"},
        **changes,
    }


ANOTHER = order(
    positions=[{"id": "beer", "quantity": 9, "price": "99.00"}],
    customer={"name": "Борис", "phone": "+79990003344"},
)


async def send(gateway: Gateway, body: dict[str, Any], role: str = "website", **headers: str) -> tuple[int, Any]:
    """Place an order; return status and answer."""
    status, answer, _ = await gateway.send(body, path=ORDERS, headers={**bearer(role), **headers})
    return status, answer


async def endangered(gateway: Gateway, count: int) -> list[dict[str, Any]]:
    """Wait for so many endangered orders; return them, the oldest first."""

    async def enough() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await gateway.get(PATH, role="operator"))["items"]
        return items[::-1] if len(items) == count else []

    return await eventually(enough, what=f"{count} endangered orders")


async def test_two_sites_never_share_numbers_and_each_sells_in_its_currency(
    start: Start, arrived: Arrived, tmp_path: Path
) -> None:
    websites = tmp_path / "websites.json"
    websites.write_text(json.dumps({"website:kz": {"currency": "KZT"}}))
    async with start(websites_file=websites) as gateway:
        named = order(externalId="1001")
        assert await send(gateway, named) == (201, {"number": order_number("website", "1001")})
        other = {**ANOTHER, "externalId": "1001"}
        assert await send(gateway, other, "kz") == (201, {"number": order_number("website:kz", "1001")})
        assert await send(gateway, other, "kz_manager") == (201, {"number": order_number("website:kz", "1001")})
        hooks = await arrived(3)
        assert [(hook.source, hook.currency) for hook in hooks] == [
            ("website", "RUB"),
            ("website:kz", "KZT"),
            ("website:kz", "KZT"),
        ]
        assert hooks[1].event_id == hooks[2].event_id


async def test_a_name_that_another_order_has_is_refused_endangered_and_raised(
    start: Start, arrived: Arrived, amqp_url: str
) -> None:
    async with (
        start("gw-1") as one,
        start("gw-2") as two,
        watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts,
    ):
        key = {"Idempotency-Key": "k-1"}
        first = await send(one, order(), **key)
        assert first[0] == 201
        rewritten = order(
            positions=[{"price": 85, "id": "milk", "quantity": "1.0", "comment": "ещё"}],
            customer={"phone": "8 999 000 11 22", "name": " анна "},
            address="Москва  Тверская, 1",
        )
        assert [await send(gateway, rewritten, **key) for gateway in (one, two)] == [first, first]
        for other in (ANOTHER, order(positions=ANOTHER["positions"]), order(address="Казань, Баумана 5")):
            status, problem = await send(two, other, **key)
            assert (status, problem["code"], problem["fields"][0]["field"]) == (422, "key_reused", "Idempotency-Key")
        kept = await endangered(one, 3)
        assert [(item["category"], item["status"], item["number"]) for item in kept] == [("key_reused", 422, None)] * 3
        raised = [parse(event, ProblemRaisedV1) for event in await alerts(3)]
        assert {(problem.kind, problem.details["category"]) for problem in raised} == {
            ("website_order.endangered", "key_reused")
        }
        # It is no delivery to send again: its name is the other order's.
        refused = (await one.get("/admin/v1/deliveries?outcome=refused"))["items"]
        assert len(refused) == 3
        for item in refused:
            status, problem = await one.change(f"/admin/v1/deliveries/{item['id']}/replay", {"reason": "ещё раз"})
            assert (status, problem["code"]) == (409, "resubmit_instead")
        every = {"reason": "ещё раз", "filter": {"outcome": "refused"}}
        items = (await one.change("/admin/v1/deliveries/replay", every))[1]["items"]
        assert [(item["outcome"], item["code"]) for item in items] == [("refused", "resubmit_instead")] * 3
        # Saved, it is an order of its own, and the first is what it was.
        wanted = {"reason": "другой покупатель", "despite_duplicates": True}
        status, done = await one.change(f"{PATH}/{kept[0]['id']}/resubmit", wanted)
        assert (status, done["number"]) == (200, order_number("website", kept[0]["id"]))
        hooks = await arrived(4)
        assert [hook.number for hook in hooks[:3]] == [first[1]["number"]] * 3
        assert json.loads(hooks[3].body) == ANOTHER


async def test_a_key_beside_an_id_of_its_own_stands_for_one_order_too(start: Start, arrived: Arrived) -> None:
    async with start() as gateway:
        key = {"Idempotency-Key": "k-1"}
        first = await send(gateway, order(externalId="1001"), **key)
        assert first == (201, {"number": order_number("website", "1001")})
        assert await send(gateway, order(externalId="1001"), **key) == first
        status, problem = await send(gateway, {**ANOTHER, "externalId": "1002"}, **key)
        assert (status, problem["code"], problem["fields"][0]["field"]) == (422, "key_reused", "Idempotency-Key")
        assert [item["category"] for item in await endangered(gateway, 1)] == ["key_reused"]
        assert (await send(gateway, {**ANOTHER, "externalId": "1002"}))[0] == 201
        assert [hook.external_id for hook in await arrived(3)] == ["1001", "1001", "1002"]


async def test_of_two_orders_under_one_name_at_two_replicas_one_is_taken(start: Start, arrived: Arrived) -> None:
    async with start("gw-1") as one, start("gw-2") as two:
        for name in ("R-1", "R-2", "R-3", "R-4"):
            bodies = [order(externalId=name), {**ANOTHER, "externalId": name}]
            answers = await asyncio.gather(*(send(gw, body) for gw, body in zip((one, two), bodies, strict=True)))
            assert sorted(status for status, _ in answers) == [201, 422]
        assert len({hook.external_id for hook in await arrived(4)}) == 4
        assert [item["category"] for item in await endangered(one, 4)] == ["key_reused"] * 4


async def test_of_two_orders_under_one_key_at_two_replicas_one_is_taken(start: Start, arrived: Arrived) -> None:
    async with start("gw-1") as one, start("gw-2") as two:
        for round_ in range(4):
            bodies = [order(externalId=f"A-{round_}"), {**ANOTHER, "externalId": f"B-{round_}"}]
            key = {"Idempotency-Key": f"k-{round_}"}
            answers = await asyncio.gather(
                *(send(gw, body, **key) for gw, body in zip((one, two), bodies, strict=True))
            )
            assert sorted(status for status, _ in answers) == [201, 422]
        assert len({hook.external_id for hook in await arrived(4)}) == 4
        assert [item["category"] for item in await endangered(one, 4)] == ["key_reused"] * 4


async def test_a_name_used_twice_while_the_database_was_away_is_endangered_later(
    start: Start, arrived: Arrived, amqp_url: str, database_for: Callable[[str], Awaitable[str]]
) -> None:
    changes = {"orders_limit_deadline": 0.2, "breaker_pause": 60}
    async with (
        proxied(await database_for("webhook_gateway")) as (proxy, dsn),
        start(postgres_dsn=SecretStr(dsn), **changes) as gateway,
        watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts,
    ):
        proxy.refuse()
        number = order_number("website", "W-1")
        assert await send(gateway, order(externalId="W-1")) == (201, {"number": number})
        assert await send(gateway, order(externalId="W-1")) == (201, {"number": number})
        assert await send(gateway, {**ANOTHER, "externalId": "W-1"}) == (201, {"number": number})
        proxy.heal()
        [item] = await endangered(gateway, 1)
        assert (item["category"], item["status"], item["customer"]["name"]) == ("key_reused", 201, "Борис")
        [event] = await alerts(1)
        assert number in parse(event, ProblemRaisedV1).summary
        assert len(await arrived(3)) == 3  # the orchestrator sees the other content, too


async def test_an_order_that_nobody_can_call_back_is_taken_and_raised(
    start: Start, arrived: Arrived, amqp_url: str
) -> None:
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        unreachable = order(externalId="W-1", customer={"name": "Анна", "phone": "нет", "email": "anna"})
        number = order_number("website", "W-1")
        assert [await send(gateway, unreachable) for _ in range(2)] == [(201, {"number": number})] * 2
        assert (await send(gateway, order(externalId="W-2", customer={"email": "a@example.org"})))[0] == 201
        [first, *repeats] = await alerts(1)
        problem = parse(first, ProblemRaisedV1)
        assert (problem.kind, problem.order_number, number in problem.summary) == (
            "website_order.unreachable",
            number,
            True,
        )
        assert {event.id for event in repeats} <= {first.id}
        assert len(await arrived(3)) == 3


async def test_an_order_whose_content_cannot_be_carried_out_is_refused_with_its_fields(start: Start) -> None:
    async with start() as gateway:
        cases: list[tuple[dict[str, Any], str]] = [
            ({"positions": [{"id": "tv", "quantity": -5, "price": "83.00"}]}, "positions.0.quantity"),
            ({"positions": [{"id": "tv", "quantity": 1, "price": -1}]}, "positions.0.price"),
            ({"positions": [{"id": "tv", "quantity": 1, "price": "1,299"}]}, "positions.0.price"),
            ({"currency": "ZZZ"}, "currency"),
        ]
        for change, field in cases:
            status, problem = await send(gateway, order(**change))
            assert (status, [fault["field"] for fault in problem["fields"]]) == (422, [field])
        assert (await send(gateway, order(currency="руб.")))[0] == 201
        cellar = {"city": "Москва", "street": "Тверская", "house": "1", "floor": -1}
        assert (await send(gateway, order(address=cellar, positions=[])))[0] == 422
        item = (await endangered(gateway, 5))[-1]
        letter = (await gateway.get(f"{PATH}/{item['id']}/report", role="operator"))["draft"]["text"]
        assert "этаж -1" in letter
        assert "не указан" not in letter
