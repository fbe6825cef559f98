"""Tips go back by themselves; what was taken back or rejected can be asked for again, what stands cannot."""

from __future__ import annotations

import asyncio
from typing import Any

from common.contracts.refunds import RefundRejectedV1
from tests.integration.orchestrator.refunds.factories import in_state, moved, paid_order, publish
from tests.support.servers import eventually

WHY = {"reason": "the customer complained"}


async def ask(api: Any, number: str, **body: Any) -> tuple[int, Any]:
    """Ask for a refund as an operator."""
    found: tuple[int, Any] = await api.call("POST", f"/admin/v1/orders/{number}/refund", WHY | body, role="operator")
    return found


async def test_the_same_goods_are_asked_for_again_only_after_they_were_taken_back(
    start: Any, gateway: Any, listener: Any
) -> None:
    api = await start()
    number = await paid_order(api, gateway, "again-1")
    sour = {"positions": [{"id": "a", "quantity": 3}]}
    _, first = await ask(api, number, **sour)
    await moved(gateway, first, "SUCCESS", 2, 25500)
    await in_state(api, first, "finished", 2)
    assert (await ask(api, number, **sour))[0] == 422
    await moved(gateway, first, "REVERSED", 3, 25500)
    await in_state(api, first, "finished", 3)
    both = await asyncio.gather(ask(api, number, **sour), ask(api, number, **sour))
    assert sorted(status for status, _ in both) == [202, 422]
    second = next(answer for status, answer in both if status == 202)
    assert (second["positions"], second["business_key"] == first["business_key"]) == (first["positions"], False)
    wanted = await listener.gather("refunds.wanted", 2)
    assert [item.data["business_key"] for item in wanted] == [first["business_key"], second["business_key"]]
    assert (await ask(api, number))[0] == 202  # everything: goods are not that
    assert (await ask(api, number))[1]["code"] == "asked_before"


async def test_everything_is_asked_for_once_until_it_was_rejected_or_taken_back(start: Any, gateway: Any) -> None:
    api = await start()
    number = await paid_order(api, gateway, "again-2")
    both = await asyncio.gather(ask(api, number), ask(api, number))
    assert sorted(status for status, _ in both) == [202, 409]
    refused, first = sorted(both, key=lambda answer: answer[0], reverse=True)
    assert refused[1]["code"] == "asked_before"
    assert first[1]["business_key"] in refused[1]["detail"]
    await moved(gateway, first[1], "ERROR", 2, 35500)
    await in_state(api, first[1], "running", 2)
    assert (await ask(api, number))[1]["code"] == "asked_before"  # a person may restart that one
    await moved(gateway, first[1], "SUCCESS", 3, 35500)
    await moved(gateway, first[1], "REVERSED", 4, 35500)
    await in_state(api, first[1], "finished", 4)
    status, second = await ask(api, number)
    assert (status, second["amount"]) == (202, None)
    await publish(
        gateway,
        RefundRejectedV1(
            order_number=number,
            payment_id="pay-1",
            business_key=second["business_key"],
            code="nothing_left",
            detail="everything has gone back",
            occurred_at="2026-11-21T10:00:00Z",
        ),
        number,
    )
    await in_state(api, second, "finished", 2)
    assert (await ask(api, number))[0] == 202


async def test_tips_go_back_as_a_line_of_their_own_and_are_zero_then(
    start: Any, gateway: Any, listener: Any, database: Any
) -> None:
    api = await start()
    number = await paid_order(api, gateway, "tips-1")
    assert (await ask(api, number, tips=True))[0] == 422  # it has none
    version = (await api.order(number))["version"]
    # The tips service's own way to set them.
    set_sum = "SELECT outcome FROM tips_set_sum($1, $2, 4000, 'flat', 'custom', now(), true)"
    assert await database.fetchval(set_sum, number, version) == "changed"
    status, refused = await ask(api, number, tips=True, amount=5)
    [fault] = refused["fields"]
    assert (status, fault["field"], fault["code"]) == (422, "tips", "more_than_one_way")
    assert fault["message"] == "a refund is of an amount, or of positions, or of the tips: choose one"
    both = await asyncio.gather(ask(api, number, tips=True), ask(api, number, tips=True))
    assert sorted((status, answer.get("code")) for status, answer in both) == [(202, None), (409, "asked_before")]
    first = next(answer for status, answer in both if status == 202)
    assert (first["amount"], first["tips"]) == (4000, 4000)
    (wanted,) = await listener.gather("refunds.wanted", 1)
    line = {"id": "tips", "kind": "tips", "quantity": "1", "of_quantity": "1", "paid": 4000}
    assert (wanted.data["amount"], wanted.data["lines"]) == (4000, [line])
    await moved(gateway, first, "SUCCESS", 2, 4000)

    async def went_back() -> Any:
        order = await api.order(number)
        sums = await api.get(f"/admin/v1/orders/{number}/transactions")
        assert (order["tips"]["amount"], order["payment"]["refunded"]) == (0, False)
        assert (sums["sum_to_pay"], sums["tips"]) == (35500, 0)  # goods and tips apart
        return True

    await eventually(went_back)
    assert (await ask(api, number, tips=True))[1]["code"] == "asked_before"
    await moved(gateway, first, "REVERSED", 3, 4000)
    await in_state(api, first, "finished", 3)
    status, second = await ask(api, number, tips=True)
    assert (status, second["amount"], second["tips"]) == (
        202,
        4000,
        4000,
    )  # they are zero by now, what was taken is not


async def test_what_people_closed_may_be_asked_for_again_only_if_it_was_given_up(start: Any, gateway: Any) -> None:
    api = await start()
    number = await paid_order(api, gateway, "closed-1")
    one = {"positions": [{"id": "b", "quantity": 1}]}
    _, first = await ask(api, number, **one)
    await moved(gateway, first, "CLOSED", 2, 10000, settled="given_up", released=True)
    await in_state(api, first, "finished", 2)
    status, second = await ask(api, number, **one)
    assert status == 202
    await moved(gateway, second, "CLOSED", 2, 10000, settled="outside")
    await in_state(api, second, "finished", 2)
    assert (await ask(api, number, **one))[0] == 422

    async def counted() -> Any:
        sums = await api.get(f"/admin/v1/orders/{number}/transactions")
        assert (sums["sum_to_pay"], sums["refunded"]) == (25500, 10000)  # the customer has it, by another way
        return True

    await eventually(counted)
    story = [item["summary"] for item in await api.all(f"/admin/v1/orders/{number}/timeline")]
    assert "People gave the refund up and closed it" in story
    assert "People closed the refund: the customer has the money by another way" in story


async def test_a_business_key_refused_for_another_sum_leaves_the_first_request_standing(
    start: Any, gateway: Any
) -> None:
    api = await start()
    number = await paid_order(api, gateway, "reused-1")
    _, first = await ask(api, number, amount=500)
    reused = RefundRejectedV1(
        order_number=number,
        payment_id="pay-1",
        business_key=first["business_key"],
        code="business_key_reused",
        detail="it stands for 500 RUB",
        occurred_at="2026-11-21T10:00:00Z",
    )
    await publish(gateway, reused, number)
    await in_state(api, first, "running", 2)
    await moved(gateway, first, "SUCCESS", 2, 500)
    await in_state(api, first, "finished", 3)
    (item,) = (await api.get(f"/admin/v1/orders/{number}/refunds"))["items"]
    assert (item["state"], item["rejected"]) == ("SUCCESS", None)
