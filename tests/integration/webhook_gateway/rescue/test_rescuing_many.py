"""Many endangered orders at once: one report in one letter, resubmitting and closing with a plan; own tests counted apart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from common.contracts.intake import IntakeMessage
from common.ids import order_number
from sandbox.testing import running_sandbox
from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer
from tests.support.servers import eventually

Arrived = Callable[[int], Awaitable[list[IntakeMessage]]]
ORDERS = "/api/v1/orders/"
PATH = "/admin/v1/endangered-orders"
REPORT = {
    "reason": "инцидент разобран",
    "cause": "мы обновляли приём заказов и не предусмотрели, что этаж бывает цокольным",
    "remedy": "форма снова принимает такие этажи, заказы восстановлены",
}


def order(number: int, **changes: Any) -> dict[str, Any]:
    """An order of a customer of their own, with goods of its own."""
    return {
        "externalId": f"W-{number}",
        "positions": [{"id": f"sku-{number}", "name": "Мёд", "quantity": 1, "price": "10.00"}],
        "customer": {"name": f"Анна {number}", "phone": f"+7999000{number:04}"},
        "address": {"full_address": f"Тверская {number}"},
        **changes,
    }


async def refused(gateway: Gateway, count: int) -> list[dict[str, Any]]:
    """Have so many orders refused; return them, the oldest first."""
    for number in range(count):
        body = order(number)
        assert (await gateway.send(body, path=ORDERS, headers=bearer("viewer")))[0] == 403

    async def enough() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await gateway.get(f"{PATH}?limit=200"))["items"]
        return items[::-1] if len(items) == count else []

    return await eventually(enough, what=f"{count} endangered orders")


async def test_an_order_that_is_named_twice_is_closed_once_and_said_once(start: Start) -> None:
    async with start() as gateway:
        [item] = await refused(gateway, 1)
        asked = {"reason": "дубль", "ids": [item["id"], item["id"].upper(), item["id"].replace("-", "")]}
        status, done = await gateway.change(PATH + "/close", asked)
        assert (status, done["matched"]) == (200, 1)
        assert [(one["id"], one["outcome"]) for one in done["items"]] == [(item["id"], "closed")]
        assert (await gateway.change(PATH + "/close", {"reason": "дубль", "ids": ["x"]}))[0] == 422


async def test_one_letter_reports_many_orders_and_each_is_linked_to_it(start: Start) -> None:
    async with (
        running_sandbox() as sandbox,
        start(
            smtp_host=sandbox.smtp_host,
            smtp_port=sandbox.smtp_port,
            mail_from="Suite <suite@shop.example>",
            report_to="arsen@shop.example",
            report_copies=("developers@shop.example",),
            report_retry=0.05,
        ) as gateway,
    ):
        items = await refused(gateway, 4)
        assert (await gateway.change(f"{PATH}/{items[3]['id']}/close", {"reason": "дубль"}))[0] == 200
        asked = {**REPORT, "filter": {"category": "front_end", "q": "Анна"}}
        status, plan = await gateway.change(PATH + "/report", {**asked, "dry_run": True})
        assert (status, plan["matched"]) == (200, 4)
        assert [item["outcome"] for item in plan["items"]] == ["reported", "reported", "reported", "refused"]
        status, done = await gateway.change(PATH + "/report", {**REPORT, "plan": plan["plan"]})
        assert (status, [item["outcome"] for item in done["items"]]) == (200, ["reported"] * 3 + ["refused"])
        again = await gateway.change(PATH + "/report", {**REPORT, "plan": plan["plan"]})
        assert (again[0], again[1]["already_applied"]) == (200, True)

        async def all_reported() -> bool:
            return len((await gateway.get(f"{PATH}?state=reported"))["items"]) == 3

        await eventually(all_reported, what="three reported orders")
        [mail] = [entry["request"] for entry in await sandbox.log("mail")]
        assert mail["to"] == ["arsen@shop.example", "developers@shop.example"]
        for number in range(3):
            for said in (f"Имя: Анна {number}", f"Телефон: +7999000{number:04}", f"Тверская {number}", f"sku-{number}"):
                assert said in mail["text"]
        assert "Анна 3" not in mail["text"]
        assert mail["text"].count(REPORT["cause"]) == 1
        files = [(await gateway.get(f"{PATH}/{item['id']}/report", role="operator"))["reports"] for item in items[:3]]
        assert {(len(file), file[0]["id"], file[0]["state"], file[0]["orders"]) for file in files} == {
            (1, files[0][0]["id"], "sent", 3)
        }
        status, problem = await gateway.change(f"{PATH}/{items[0]['id']}/report", REPORT)
        assert (status, problem["code"]) == (409, "conflict")


async def test_many_are_resubmitted_as_planned_and_what_changed_since_is_left_alone(
    start: Start, arrived: Arrived
) -> None:
    async with start() as gateway:
        items = await refused(gateway, 6)
        ids = [item["id"] for item in items]
        status, plan = await gateway.change(
            PATH + "/resubmit", {"reason": "токен починен", "ids": ids, "dry_run": True}
        )
        assert (status, {item["outcome"] for item in plan["items"]}) == (200, {"resubmitted"})
        for item in items[:3]:  # meanwhile somebody works on half of them
            body = {"reason": "уточнили адрес", "body": order(items.index(item), address="Казань")}
            assert (await gateway.change(f"{PATH}/{item['id']}/mend", body))[0] == 200
        status, done = await gateway.change(PATH + "/resubmit", {"reason": "токен починен", "plan": plan["plan"]})
        outcomes = {item["id"]: item["outcome"] for item in done["items"]}
        assert outcomes == dict(zip(ids, ["changed_since"] * 3 + ["resubmitted"] * 3, strict=True))
        assert {hook.number for hook in await arrived(3)} == {order_number("website", f"W-{n}") for n in (3, 4, 5)}
        assert len((await gateway.get(f"{PATH}?state=mended"))["items"]) == 3


async def test_one_with_likely_duplicates_is_left_alone_by_a_bulk_resubmission(start: Start) -> None:
    async with start() as gateway:
        items = await refused(gateway, 2)
        twin = order(0, externalId="W-twin")
        assert (await gateway.send(twin, path=ORDERS, headers=bearer("viewer")))[0] == 403

        async def three() -> bool:
            return len((await gateway.get(PATH))["items"]) == 3

        await eventually(three, what="the twin")
        asked = {"reason": "токен починен", "filter": {"state": "open"}, "dry_run": True}
        _, plan = await gateway.change(PATH + "/resubmit", asked)
        by_id = {item["id"]: (item["outcome"], item["code"]) for item in plan["items"]}
        assert by_id[items[0]["id"]] == ("refused", "likely_duplicates")
        assert by_id[items[1]["id"]] == ("resubmitted", None)
        _, plan = await gateway.change(PATH + "/resubmit", {**asked, "despite_duplicates": True})
        assert {item["outcome"] for item in plan["items"]} == {"resubmitted"}


async def test_ones_own_tests_are_marked_and_counted_apart(start: Start) -> None:
    async with start() as gateway:
        first, second, third = await refused(gateway, 3)
        reason = {"reason": "проверяли форму"}
        status, marked = await gateway.change(f"{PATH}/{first['id']}/own-test", reason)
        assert (status, marked["state"], marked["outcome"]) == (200, "closed", "own_test")
        assert (await gateway.change(f"{PATH}/{second['id']}/close", {**reason, "outcome": "own_test"}))[0] == 200
        assert (await gateway.change(f"{PATH}/{third['id']}/close", reason))[0] == 200
        assert (await gateway.change(f"{PATH}/{first['id']}/own-test", reason))[0] == 409
        found = (await gateway.get(f"{PATH}?outcome=own_test"))["items"]
        assert {item["id"] for item in found} == {first["id"], second["id"]}
        assert await gateway.metric('gateway_endangered_closed_total{outcome="own_test"}') == 2
        assert await gateway.metric('gateway_endangered_closed_total{outcome="done"}') == 1
