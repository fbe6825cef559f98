"""Many endangered orders resubmitted, reported and closed by a filter with a plan, while others decide about half of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from common.contracts.intake import IntakeMessage
from sandbox.testing import running_sandbox
from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer
from tests.support.bulk import MANY
from tests.support.servers import eventually

PATH = "/admin/v1/endangered-orders"
REPORT = {
    "cause": "мы обновляли приём заказов и не предусмотрели, что этаж бывает цокольным",
    "remedy": "форма снова принимает такие этажи, заказы восстановлены",
}


def order(number: int) -> dict[str, Any]:
    """An order of a customer of their own, with goods of its own."""
    return {
        "externalId": f"W-{number}",
        "positions": [{"id": f"sku-{number}", "name": "Мёд", "quantity": 1, "price": "10.00"}],
        "customer": {"name": f"Анна {number}", "phone": f"+7999000{number:04}"},
        "address": {"full_address": f"Тверская {number}"},
    }


async def refused(gateway: Gateway) -> list[str]:
    """Have many orders refused; return their ids, the oldest first."""

    async def send(numbers: range) -> None:
        for number in numbers:
            answer = await gateway.send(order(number), path="/api/v1/orders/", headers=bearer("viewer"))
            assert answer[0] == 403

    await asyncio.gather(*(send(range(first, MANY, 8)) for first in range(8)))

    async def all_there() -> bool:
        return bool((await gateway.get(f"{PATH}?count=true&limit=1"))["count"] == MANY)

    await eventually(all_there, what="the endangered orders")
    _, preview = await gateway.change(
        PATH + "/close", {"reason": "who", "filter": {"state": "open"}, "limit": MANY, "dry_run": True}
    )
    return [item["id"] for item in preview["items"]]


def tally(answer: Any) -> Counter[str]:
    """How many came out how."""
    return Counter(item["outcome"] for item in answer["items"])


@pytest.mark.parametrize(
    ("verb", "said", "outcome", "meanwhile"),
    [
        ("resubmit", {}, "resubmitted", ("close", "closed")),
        ("report", REPORT, "reported", ("close", "closed")),
        ("close", {"outcome": "own_test"}, "closed", ("resubmit", "resubmitted")),
    ],
)
async def test_many_endangered_orders_are_done_as_planned_and_half_left_alone(
    start: Start,
    arrived: Callable[[int], Awaitable[list[IntakeMessage]]],
    verb: str,
    said: dict[str, Any],
    outcome: str,
    meanwhile: tuple[str, str],
) -> None:
    why = {"reason": "форма починена", **said}
    async with (
        running_sandbox() as sandbox,
        start(
            smtp_host=sandbox.smtp_host,
            smtp_port=sandbox.smtp_port,
            mail_from="Suite <suite@shop.example>",
            report_to="arsen@shop.example",
        ) as gateway,
    ):
        ids = await refused(gateway)
        wanted = {"filter": {"q": "Анна", "state": "open"}, "limit": MANY}
        status, plan = await gateway.change(f"{PATH}/{verb}", {**why, **wanted, "dry_run": True})
        assert (status, plan["matched"], plan["more"], tally(plan)) == (200, MANY, False, {outcome: MANY})
        other, done_meanwhile = meanwhile
        status, done = await gateway.change(f"{PATH}/{other}", {"reason": "по звонкам", "ids": ids[: MANY // 2]})
        assert (status, tally(done)) == (200, {done_meanwhile: MANY // 2})

        applied = {**why, "plan": plan["plan"]}
        answers = await asyncio.gather(*(gateway.change(f"{PATH}/{verb}", applied) for _ in range(2)))
        expected = dict.fromkeys(ids[: MANY // 2], "changed_since") | dict.fromkeys(ids[MANY // 2 :], outcome)
        for status, answer in answers:
            assert (status, {item["id"]: item["outcome"] for item in answer["items"]}) == (200, expected)
        assert sorted(answer["already_applied"] for _, answer in answers) == [False, True]
        if "resubmit" in (verb, other):
            assert len({hook.number for hook in await arrived(MANY // 2)}) == MANY // 2
        if verb == "report":

            async def sent() -> bool:
                return bool((await gateway.get(f"{PATH}?state=reported&count=true"))["count"] == MANY // 2)

            await eventually(sent, what="the letter")
            [mail] = [entry["request"] for entry in await sandbox.log("mail")]
            assert mail["text"].count("Телефон: +7999000") == MANY // 2
