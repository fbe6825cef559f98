"""Operators cancel, deliver and correct orders: audited, folded, announced, paid back; one after another, whatever dies in between."""

from __future__ import annotations

import asyncio
from typing import Any

from common.contracts.alerts import unreachable_fingerprint
from tests.integration.orchestrator.conftest import Api, Gateway
from tests.support.servers import eventually

WHY = {"reason": "the shop called"}


async def act(api: Api, number: str, what: str, *, key: str | None = None, **body: Any) -> tuple[int, Any]:
    """Do something to an order as an operator."""
    headers = {} if key is None else {"Idempotency-Key": key}
    return await api.call("POST", f"/admin/v1/orders/{number}/{what}", WHY | body, role="operator", headers=headers)


async def known(api: Api, number: str, **expected: Any) -> Any:
    """The order once it is so."""

    async def there() -> Any:
        status, order = await api.call("GET", f"/orders/v1/orders/{number}")
        return order if status == 200 and {name: order[name] for name in expected} == expected else None

    return await eventually(there, what=f"order {number} is {expected}")


async def placed(api: Api, gateway: Gateway, name: str, *after: str, payment: bool = True) -> str:
    """An order of two a at 85.00 and one b at 100.00 that has come so far; return its number."""
    goods = [gateway.position("a", 2, "85.00"), gateway.position("b", 1, "100.00")]
    more: dict[str, Any] = {"payment": {"method": "card", "id": "pay-1"}} if payment else {}
    hooks = [gateway.hook(name, "order.created", minute=1, positions=goods, address="Main Street 1", **more)]
    hooks += [gateway.hook(name, event, minute=minute) for minute, event in enumerate(after, 2)]
    await gateway.send(*hooks)
    await known(api, gateway.number(name), version=len(hooks))
    return gateway.number(name)


async def test_a_paid_order_is_cancelled_by_hand_and_asks_for_its_refund_once(
    start: Any, gateway: Any, listener: Any
) -> None:
    api = await start()
    number = await placed(api, gateway, "op-1", "order.paid")
    await listener.gather("notifier.orders", 2)
    body: dict[str, Any] = {"expected_version": 2, "slug": "shop_closed", "description": "no bread"}
    status, preview = await act(api, number, "cancel", dry_run=True, **body)
    assert (status, preview["dry_run"], preview["status_before"], preview["status_after"]) == (
        200,
        True,
        "paid",
        "cancelled",
    )
    assert preview["notices"] == [
        f"orders.order.cancelled.v1 of {number}: pickers and store",
        f"refunds.refund.rejected.v1 or alerts.problem.raised.v1 or nothing of {number}: on call",
    ]
    assert preview["refund"] == f"{number}:cancel"
    assert (await api.order(number))["status"] == "paid"
    first = await act(api, number, "cancel", key="c-1", **body)
    assert first == await act(api, number, "cancel", key="c-1", **body)
    assert (first[0], first[1]["notices"], first[1]["dry_run"]) == (200, preview["notices"], False)
    order = await known(api, number, status="cancelled")
    assert order["cancellation"] == {"slug": "shop_closed", "description": "no bread"}
    told, refund = await listener.gather("notifier.orders", 2)
    assert (told.type, told.data["notify"], told.data["slug"]) == ("orders.order.cancelled.v1", True, "shop_closed")
    assert [told.extension(each) for each in ("cameby", "takenat")] == ["act", None]  # no hook came
    assert refund.type == "orders.refund.wanted.v1"
    (wanted,) = await listener.gather("refunds.wanted", 1)
    assert wanted.data["business_key"] == f"{number}:cancel"
    assert (await act(api, number, "cancel", expected_version=2))[1]["code"] == "stale_version"
    assert (await act(api, number, "cancel", expected_version=order["version"]))[0] == 409  # it is cancelled already
    assert (await act(api, number, "deliver", expected_version=order["version"]))[0] == 409
    await gateway.send(gateway.hook("op-1", "order.cancelled", minute=9))  # the marketplace says so, too
    story = await api.all(f"/admin/v1/orders/{number}/timeline")
    mine = [line for line in story if line["kind"] == "order.cancel"]
    assert [(line["actor"], line["summary"]) for line in mine] == [
        ("operator", WHY["reason"]),  # the audit record
        ("operator", "The order was cancelled"),
    ]
    assert mine[1]["details"]["reason"] == WHY["reason"]
    assert await listener.take("refunds.wanted") == []


async def test_a_closed_order_is_corrected_announced_and_its_totals_follow(
    start: Any, gateway: Any, listener: Any
) -> None:
    api = await start()
    number = await placed(api, gateway, "op-2", "order.paid", "order.received")
    await listener.gather("notifier.orders", 3)
    status, answer = await act(
        api,
        number,
        "correct",
        expected_version=3,
        positions=[{"id": "a", "quantity": 1}, {"id": "c", "quantity": "2", "price": "10.50"}],
        address="Main Street 7",
        comment="ring twice",
    )
    assert status == 200, answer
    difference = answer["difference"]
    assert [line["id"] for line in difference["added"]] == ["c"]
    assert [line["id"] for line in difference["removed"]] == ["b"]
    assert [change["after"]["quantity"] for change in difference["changed"]] == ["1"]
    assert answer["notices"] == [f"orders.order.changed.v1 of {number}: pickers and store"]
    order = await known(api, number, version=4)
    assert (order["status"], order["closed_for_changes"], order["comment"]) == ("received", True, "ring twice")
    assert [(line["id"], line["quantity"], line["price"]) for line in order["positions"]] == [
        ("a", "1", 8500),
        ("c", "2", 1050),
    ]
    assert (order["totals"]["cost"], order["payment"]["refunded"]) == (8500 + 2100, False)
    (told,) = await listener.gather("notifier.orders", 1)
    assert (told.type, told.data["notify"]) == ("orders.order.changed.v1", True)
    assert "address" in [name for name, _, _ in told.data["difference"]["fields"]]
    assert await listener.take("refunds.wanted") == []  # money goes back when somebody asks for it
    moved = await api.all(f"/admin/v1/stock-movements?number={number}")
    assert sorted((item["position_id"], item["quantity"]) for item in moved) == [("a", "-2"), ("b", "-1")]
    await gateway.send(gateway.hook("op-2", "order.changed", minute=2.5, positions=[gateway.position("a", 9)]))
    await known(api, number, version=4, positions=order["positions"])  # a late older hook does not undo it


async def test_a_contact_that_an_operator_adds_ends_the_problem_that_nobody_could_call(
    start: Any, gateway: Any, listener: Any
) -> None:
    gateway.source = "website:kz"
    api = await start()
    number = await placed(api, gateway, "op-9")
    changes: tuple[dict[str, Any], ...] = (
        {"customer": {"name": "Анна"}},
        {"customer": {"name": "Анна", "phone": "+7 912 345-67-89"}},
    )
    for version, change in enumerate(changes, 1):
        status, answer = await act(api, number, "correct", expected_version=version, **change)
        assert status == 200, answer
        await known(api, number, version=version + 1)
    (over,) = await listener.gather("notifier.alerts", 1)
    assert (over.type, over.data["fingerprint"]) == ("alerts.problem.resolved.v1", unreachable_fingerprint(number))
    assert "345-67" not in str(over.data)
    assert "9123456789" not in str(over.data)


async def test_of_two_operators_at_once_the_second_looks_again(start: Any, gateway: Any) -> None:
    api = await start()
    number = await placed(api, gateway, "op-3")
    both = await asyncio.gather(
        act(api, number, "cancel", expected_version=1),
        act(api, number, "deliver", expected_version=1),
        gateway.send(gateway.hook("op-3", "order.changed", minute=5, positions=[gateway.position("a", 3)])),
    )
    answers = [answer for answer in both if answer is not None]
    assert sorted((status, body.get("code")) for status, body in answers) == [(200, None), (409, "stale_version")]

    async def settled() -> Any:
        [life] = await api.all(f"/admin/v1/workflows?order_number={number}&kind=order_life")
        return life["done_seq"] == life["last_seq"] == 3

    await eventually(settled)
    order = await api.order(number)
    won = next(body for status, body in answers if status == 200)
    assert order["status"] == won["status_after"]
    assert [line["quantity"] for line in order["positions"]] == ["3"]  # the hook was older, so it came in time


async def test_an_operator_s_event_waits_for_a_stopped_workflow_and_says_so(start: Any, gateway: Any) -> None:
    api = await start()
    number = await placed(api, gateway, "op-4")
    [life] = await api.all(f"/admin/v1/workflows?order_number={number}&kind=order_life")
    assert (await api.call("POST", f"/admin/v1/workflows/{life['id']}/stop", WHY))[0] == 200
    status, answer = await act(api, number, "deliver", expected_version=1)
    assert (status, answer["workflow_state"]) == (200, "stopped")
    assert (await act(api, number, "cancel", expected_version=1))[1]["code"] == "stale_version"
    assert (await api.order(number))["status"] == "created"
    assert (await api.call("POST", f"/admin/v1/workflows/{life['id']}/resume", WHY))[0] == 200
    await known(api, number, status="delivered", shipped=True)


async def test_wrong_corrections_are_refused_with_their_fields_and_leave_nothing(start: Any, gateway: Any) -> None:
    api = await start()
    number = await placed(api, gateway, "op-5")
    await gateway.send(gateway.hook("op-6", "order.paid", minute=1))  # parked: its `created` has not come
    parked = gateway.number("op-6")
    body = {"expected_version": 1}
    goods = [{"id": "a", "quantity": 2}, {"id": "b", "quantity": 1}]
    wrong: list[tuple[str, str, dict[str, Any], int, str]] = [
        (number, "cancel", {}, 422, "unprocessable"),
        (number, "cancel", {"expected_version": 7}, 409, "stale_version"),
        ("NOPE", "cancel", body, 404, "not_found"),
        (parked, "correct", {"comment": "x", "expected_version": 0}, 404, "not_found"),
        (number, "correct", body, 422, "unprocessable"),
        (number, "correct", body | {"positions": []}, 422, "unprocessable"),
        (number, "correct", body | {"positions": [{"id": "a", "quantity": -1}]}, 422, "unprocessable"),
        (number, "correct", body | {"positions": [{"id": "a", "quantity": 1, "price": 8500}]}, 422, "unprocessable"),
        (number, "correct", body | {"positions": [{"id": "a", "quantity": 1, "price": "x"}]}, 422, "unprocessable"),
        (number, "correct", body | {"customer": {"unknown": {}}}, 422, "unprocessable"),
        (number, "correct", body | {"positions": goods}, 409, "conflict"),  # the order is so already
    ]
    found = []
    for order, what, given, _, _ in wrong:
        status, problem = await act(api, order, what, **given)
        found.append((order, what, given, status, problem["code"]))
    assert found == wrong
    refused = await api.call("POST", f"/admin/v1/orders/{number}/cancel", WHY | body, role="viewer")
    assert refused[0] == 403
    left = [entry["action"] for entry in await api.all("/admin/v1/audit")]
    assert set(left) <= {"customer_data.read", "call.refused"}  # of the test's own looks, and the viewer's try
