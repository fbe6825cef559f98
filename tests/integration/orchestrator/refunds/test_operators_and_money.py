"""Money back and documents over HTTP: asked once, followed to the end, told on the timeline, refused where it must be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from common.contracts.refunds import RefundRejectedV1
from common.postgres import Database
from orchestrator.refunds.unanswered import look_for_unanswered
from tests.integration.orchestrator.refunds.factories import in_state, moved, paid_order, publish, workflow_of
from tests.support.servers import as_served, eventually


async def recorded(api: Any, business_key: str) -> Any:
    """What the refunds service is told that was asked for."""
    return await api.call("GET", f"/orders/v1/refunds/{business_key}", role="internal")


ONE_OF_THREE = [{"id": "a", "kind": "position", "quantity": "1", "of_quantity": "3", "paid": 25500}]
"""As the refunds service is asked for it."""


async def test_money_goes_back_for_goods_once_and_is_followed_to_the_end(
    start: Any, gateway: Any, listener: Any
) -> None:
    api = await start()
    number = await paid_order(api, gateway, "money-1")
    path = f"/admin/v1/orders/{number}/refund"
    body = {"reason": "one was sour", "positions": [{"id": "a", "quantity": "1"}], "expected_version": 3}
    preview = await api.call("POST", path, body | {"dry_run": True}, role="operator")
    assert preview[1]["lines"] == ONE_OF_THREE
    sums = [preview[1][name] for name in ("amount", "amount_is", "positions", "dry_run")]
    assert (preview[0], sums) == (
        202,
        [8500, "worth_of_positions", [{"id": "a", "quantity": "1", "amount": 8500}], True],
    )
    assert (await api.get(f"/admin/v1/orders/{number}/refunds"))["items"] == []
    key = {"Idempotency-Key": "k1"}
    status, asked = await api.call("POST", path, body, role="operator", headers=key)
    assert await api.call("POST", path, body, role="operator", headers=key) == (status, asked)
    assert (status, asked["amount"], asked["payment_id"], asked["currency"]) == (202, 8500, "pay-1", "RUB")
    (wanted,) = await listener.gather("refunds.wanted", 1)
    assert wanted.data == {
        "order_number": number, "payment_id": "pay-1", "amount": None, "currency": "RUB", "reason": "one was sour",
        "business_key": asked["business_key"], "source": "sbermarket",
        "lines": ONE_OF_THREE,
    }  # fmt: skip
    assert await listener.take("refunds.wanted") == []
    assert await recorded(api, asked["business_key"]) == (200, {**wanted.data, "source": None})
    assert (await recorded(api, f"{number}:operator:forged"))[1]["code"] == "no_refund_asked"
    await in_state(api, asked, "running", 1)
    await moved(gateway, asked, "ERROR", 2, 8500)
    await in_state(api, asked, "running", 2)  # a person may restart it
    await moved(gateway, asked, "SUCCESS", 3, 8500)
    await in_state(api, asked, "finished", 3)
    refunds = (await api.get(f"/admin/v1/orders/{number}/refunds"))["items"]
    assert [(item["state"], item["amount"], item["requested_by"], item["rejected"]) for item in refunds] == [
        ("SUCCESS", 8500, "operator", None)
    ]

    async def less_to_pay() -> Any:
        sums = await api.get(f"/admin/v1/orders/{number}/transactions")
        assert (sums["sum_to_pay"], sums["refunded"], sums["decided_by"]) == (35500 - 8500, 8500, "nobody")
        return True

    await eventually(less_to_pay)
    two_left = [{"id": "a", "quantity": 2}]
    status, rest = await api.call("POST", path, {"reason": "the rest", "positions": two_left})
    assert (status, rest["amount"], rest["amount_is"]) == (202, None, "left_of_positions")
    assert (await api.call("POST", path, {"reason": "too much", "positions": [{"id": "a", "quantity": 1}]}))[0] == 422
    story = await api.all(f"/admin/v1/orders/{number}/timeline")
    kinds = [item["kind"] for item in story if "refund" in item["kind"] and item["kind"] != "order.refund"]
    assert kinds[:3] == ["refund_request.wanted", "refund_request.failed", "refund_request.done"]
    audit = await api.all(f"/admin/v1/audit?target=order:{number}")
    assert [item["action"] for item in audit] == ["order.refund", "order.refund"]
    assert audit[1]["after"]["positions"] == [{"id": "a", "quantity": "1", "amount": 8500}]


async def test_a_refund_that_cannot_be_made_or_is_never_answered_is_a_problem(
    start: Any, gateway: Any, listener: Any, database: Any
) -> None:
    api = await start(refund_answer_within=0.5)
    number = await paid_order(api, gateway, "money-2")
    _, turned_down = await api.call("POST", f"/admin/v1/orders/{number}/refund", {"reason": "all of it"})
    assert (turned_down["amount"], turned_down["amount_is"]) == (None, "left_of_payment")
    await listener.gather("refunds.wanted", 1)
    rejected = RefundRejectedV1(
        order_number=number, payment_id="pay-1", business_key=turned_down["business_key"], code="nothing_left",
        detail="everything has gone back", occurred_at=datetime.now(UTC),
    )  # fmt: skip
    await publish(gateway, rejected, number)
    await in_state(api, turned_down, "finished", 2)
    _, silent = await api.call("POST", f"/admin/v1/orders/{number}/refund", {"reason": "some", "amount": 100})
    alerts: list[Any] = []

    async def raised() -> Any:
        alerts.extend(await listener.take("notifier.alerts"))
        kinds = [alert.data["kind"] for alert in alerts if alert.type == "alerts.problem.raised.v1"]
        return kinds == ["refund.unanswered"]  # a rejection is told by the refunds service's own event, once

    await eventually(raised)
    assert (await workflow_of(api, silent))["state_name"] == "running"
    await moved(gateway, silent, "CREATE", 1, 100)
    await moved(gateway, silent, "SUCCESS", 2, 100)

    async def over() -> Any:
        alerts.extend(await listener.take("notifier.alerts"))
        ended = [alert.data["fingerprint"] for alert in alerts if alert.type == "alerts.problem.resolved.v1"]
        return f"refund.unanswered:{silent['business_key']}" in ended  # a slow machine may answer the first late, too

    await eventually(over)
    codes = await database.fetch("SELECT rejected FROM refund_request ORDER BY requested_at")
    assert [row["rejected"] for row in codes] == ["nothing_left", None]


async def test_a_request_lost_on_its_way_is_named_until_the_refunds_service_knows_it(
    start: Any, gateway: Any, listener: Any, database: Any, dsn: str
) -> None:
    api = await start()
    number = await paid_order(api, gateway, "money-8")
    _, lost = await api.call("POST", f"/admin/v1/orders/{number}/refund", {"reason": "some", "amount": 100})
    await listener.gather("refunds.wanted", 1)  # and is gone, as what was on its way when a backup was taken
    await in_state(api, lost, "running", 1)
    pool = Database(as_served(dsn), application_name="test")
    await pool.open()

    async def verdict() -> tuple[int, str]:
        await look_for_unanswered(pool)
        kept = (await api.get("/admin/v1/verdicts"))["items"]
        [found] = [each for each in kept if each["name"] == "refund-requests"]
        return found["found"], found["detail"]

    known = (0, "every refund that was asked for is known to the refunds service")
    assert await verdict() == known, "it may still come"
    await database.execute("UPDATE workflow SET created_at = created_at - interval '2 minutes'")  # time goes by
    said = f"refunds that were asked for and not answered, by business key: {lost['business_key']}"
    assert await verdict() == (1, said)
    await moved(gateway, lost, "CREATE", 1, 100)
    await eventually(lambda: database.fetchval("SELECT true FROM order_refund"), what="the answer")
    assert await verdict() == known
    await pool.close()


async def test_a_cancellation_s_refund_is_followed_and_a_full_refund_zeroes_the_tips(
    start: Any, gateway: Any, listener: Any, database: Any
) -> None:
    api = await start()
    number = await paid_order(api, gateway, "money-3", paid=False)
    await gateway.send(
        gateway.hook("money-3", "order.paid", minute=2), gateway.hook("money-3", "order.cancelled", minute=3)
    )
    (wanted,) = await listener.gather("refunds.wanted", 1)
    assert wanted.data["business_key"] == f"{number}:cancel"
    asked = {"number": number, "business_key": f"{number}:cancel", "payment_id": "pay-1"}
    await in_state(api, asked, "running", 1)
    assert await recorded(api, asked["business_key"]) == (200, {**wanted.data, "source": None})
    await database.execute("UPDATE orders SET tips_amount = 700, tips_held_amount = 700 WHERE number = $1", number)
    await moved(gateway, asked, "SUCCESS", 4, 35500)
    await in_state(api, asked, "finished", 2)
    order = await api.order(number)
    assert (order["payment"]["refunded"], order["tips"]["amount"], order["tips"]["held_amount"]) == (True, 0, 0)
    await moved(gateway, asked, "REVERSED", 5, 35500)
    await in_state(api, asked, "finished", 3)
    reasons = await database.fetch("SELECT tips_zeroed_reason FROM orders")
    assert [row["tips_zeroed_reason"] for row in reasons] == ["refund"]
    kinds = [item["kind"] for item in await api.all(f"/admin/v1/orders/{number}/timeline")]
    assert (kinds.count("tips.zeroed"), kinds.count("tips.hold_wanted")) == (1, 1)


async def test_a_cancellation_is_known_to_be_asked_for_before_and_without_its_record(
    start: Any, gateway: Any, listener: Any, database: Any
) -> None:
    """Its workflow may wait, stand still or be skipped, and the release before kept no record: the refund is asked for all the same."""
    api = await start()
    number = await paid_order(api, gateway, "money-9", paid=False)
    assert (await recorded(api, f"{number}:cancel"))[1]["code"] == "no_refund_asked"
    await gateway.send(
        gateway.hook("money-9", "order.paid", minute=2), gateway.hook("money-9", "order.cancelled", minute=3)
    )
    (wanted,) = await listener.gather("refunds.wanted", 1)
    asked = {"number": number, "business_key": f"{number}:cancel", "payment_id": "pay-1"}
    await in_state(api, asked, "running", 1)
    await database.execute("DELETE FROM refund_request")
    status, said = await recorded(api, asked["business_key"])
    assert (status, said | {"reason": ""}) == (200, {**wanted.data, "source": None, "reason": ""})


async def test_a_document_is_issued_at_closing_again_when_it_changes_and_on_demand(start: Any, gateway: Any) -> None:
    api = await start()
    number = await paid_order(api, gateway, "D1", paid=False)
    path = f"/admin/v1/orders/{number}/document"
    assert (await api.call("GET", path))[0] == 404
    assert (await api.call("POST", f"{path}/reissue", {"reason": "too early"}))[0] == 409

    async def issued(version: int) -> Any:
        async def there() -> Any:
            status, document = await api.call("GET", path)
            return document if status == 200 and document["version"] == version else None

        return await eventually(there, what=f"version {version} is issued")

    await gateway.send(gateway.hook("D1", "order.paid", minute=2))
    first = await issued(1)
    assert first["content"] == (
        f"Order {number}\nOf sbermarket, D1\nStore 17\nPaid by card\n\n1. a | 3 | 255.00\n2. b | 1 | 100.00\n\nTotal 355.00 RUB\n"
    )
    cheaper = [gateway.position("a", 3, "80.00"), gateway.position("b", 1, "100.00")]
    await gateway.send(gateway.hook("D1", "order.paid", minute=3, positions=cheaper))
    second = await issued(2)
    assert (second["reason"], "Total 340.00 RUB" in second["content"]) == ("the order changed", True)
    reissue = {"reason": "the customer lost it", "expected_version": 2}
    answer = await api.call("POST", f"{path}/reissue", reissue, role="operator", headers={"Idempotency-Key": "d"})
    assert answer == (202, {"number": number, "dry_run": False, "replaces": 2, "notices": []})
    third = await issued(3)
    assert (third["digest"], third["issued_by"], third["reason"]) == (second["digest"], "operator", reissue["reason"])
    assert (await api.call("POST", f"{path}/reissue", reissue))[1]["code"] == "stale_version"
    versions = await api.all(f"{path}/versions")
    assert [item["version"] for item in versions] == [3, 2, 1]
    assert (await api.get(f"{path}?version=1"))["content"] == first["content"]
    audit = await api.all(f"/admin/v1/audit?target=order:{number}")
    assert [(item["action"], item["before"], item["after"]) for item in audit] == [
        ("order.document.reissue", {"version": 2}, {"version": 3})
    ]
    story = [item["kind"] for item in await api.all(f"/admin/v1/orders/{number}/timeline")]
    assert (story.count("document.issued"), story.count("document.reissued")) == (1, 2)


async def test_recipes_on_a_really_crashed_and_a_really_stopped_workflow(
    start: Any, gateway: Any, listener: Any, database: Any
) -> None:
    api = await start()
    number = await paid_order(api, gateway, "R1")
    path = f"/admin/v1/orders/{number}/document"

    async def issued(version: int) -> Any:
        async def there() -> Any:
            status, document = await api.call("GET", path)
            return status == 200 and document["version"] == version

        return await eventually(there, what=f"version {version} is issued")

    await issued(1)
    await listener.gather("notifier.orders", 3)
    good = await database.fetchval("SELECT document FROM orders WHERE number = $1", number)
    # Poisoned data: what reads the order crashes on it, and stays crashed until a person acts.
    await database.execute(
        "UPDATE orders SET document = jsonb_set(document, '{positions}', '[{}]') WHERE number = $1", number
    )
    assert (await api.call("POST", f"{path}/reissue", {"reason": "the customer lost it"}))[0] == 202

    async def crashed() -> Any:
        items = await api.all(f"/admin/v1/workflows?order_number={number}&kind=order_document")
        return [item for item in items if item["state_name"] == "crashed"]

    (workflow,) = await eventually(crashed)
    (problem,) = await listener.gather("notifier.orders", 1)
    assert (problem.type, problem.data["kind"], problem.data["order_number"]) == (
        "orders.workflow.crashed.v1",
        "order_document",
        number,
    )
    assert (await api.call("POST", f"/admin/v1/workflows/{workflow['id']}/retry", {"reason": "no"}, role="viewer"))[
        0
    ] == 403
    assert (await api.call("POST", "/admin/v1/workflows/999999/retry", {"reason": "unknown"}))[0] == 404
    stale = {"reason": "an old look", "expected_version": 0}
    assert (await api.call("POST", f"/admin/v1/workflows/{workflow['id']}/retry", stale))[1]["code"] == "stale_version"
    await database.execute("UPDATE orders SET document = $1 WHERE number = $2", good, number)
    assert (await api.call("POST", f"/admin/v1/workflows/{workflow['id']}/retry", {"reason": "mended"}))[0] == 200
    await issued(2)
    # Stopping an order's life ends its polling; money can go back all the same.
    number = await paid_order(api, gateway, "R2", paid=False)
    life = (await api.all(f"/admin/v1/workflows?order_number={number}&kind=order_life"))[0]["id"]
    assert (await api.call("POST", f"/admin/v1/workflows/{life}/stop", {"reason": "polling has to end"}))[0] == 200
    assert (await api.call("POST", f"/admin/v1/orders/{number}/refund", {"reason": "money back", "amount": 100}))[
        0
    ] == 202
    await listener.gather("refunds.wanted", 1)
    audit = await api.all("/admin/v1/audit")
    assert [(item["action"], item["actor"]) for item in reversed(audit)] == [
        ("order.document.reissue", "admin"),
        ("call.refused", "viewer"),
        ("workflow.retry", "admin"),
        ("workflow.stop", "admin"),
        ("order.refund", "admin"),
    ]


async def test_wrong_demands_for_money_and_documents_are_refused(start: Any, gateway: Any) -> None:
    api = await start()
    number = await paid_order(api, gateway, "W1")
    unpaid = await paid_order(api, gateway, "W2", payment=None)
    refund, reissue = f"/admin/v1/orders/{number}/refund", f"/admin/v1/orders/{number}/document/reissue"
    why = {"reason": "because"}
    sour = [{"id": "a", "quantity": 1}]
    wrong = [
        (refund, why, "viewer", 403, "forbidden"),
        (refund, why | {"expected_version": 1}, "operator", 409, "stale_version"),
        (f"/admin/v1/orders/{unpaid}/refund", why, "operator", 409, "no_payment"),
        ("/admin/v1/orders/NOPE/refund", why, "operator", 404, "not_found"),
        (refund, why | {"amount": 0}, "operator", 422, "unprocessable"),
        (refund, why | {"amount": 5, "positions": sour}, "operator", 422, "unprocessable"),
        (refund, why | {"positions": [{"id": "z", "quantity": 1}]}, "operator", 422, "unprocessable"),
        (refund, why | {"positions": sour * 2}, "operator", 422, "unprocessable"),
        (refund, {}, "operator", 422, "unprocessable"),
        (reissue, why, "viewer", 403, "forbidden"),
        (reissue, why | {"expected_version": 7}, "operator", 409, "stale_version"),
        ("/admin/v1/orders/NOPE/document/reissue", why, "operator", 404, "not_found"),
    ]
    found = []
    for path, body, role, _, _ in wrong:
        status, problem = await api.call("POST", path, body, role=role)
        found.append((path, body, role, status, problem["code"]))
    assert found == wrong
    assert [entry["action"] for entry in await api.all("/admin/v1/audit")] == ["call.refused"] * 2
