"""What operators do over HTTP: roles, audit, previews, idempotency, and what follows."""

from __future__ import annotations

from typing import Any

from common.http import encode_cursor, stamped_cursor
from tests.support.servers import eventually


async def crashed_workflow(api: Any, gateway: Any, name: str) -> int:
    """Make an order whose workflow has crashed; return the workflow's id."""
    await gateway.send(gateway.hook(name, "order.created", minute=1, positions=[{"id": "a", "quantity": "a few"}]))
    number = gateway.number(name)

    async def crashed() -> Any:
        items = await api.all(f"/admin/v1/workflows?order_number={number}")
        return [item for item in items if item["state_name"] == "crashed"]

    return int((await eventually(crashed))[0]["id"])


async def open_order(api: Any, gateway: Any, name: str) -> tuple[str, int]:
    """Make an order; return its number and its workflow's id."""
    number = gateway.number(name)
    await gateway.send(gateway.hook(name, "order.created", minute=1, positions=[gateway.position("a")]))

    async def known() -> Any:
        return (await api.call("GET", f"/orders/v1/orders/{number}"))[0] == 200

    await eventually(known)
    return number, (await api.all(f"/admin/v1/workflows?order_number={number}"))[0]["id"]


async def test_no_position_in_a_list_is_beyond_what_can_be_asked(start: Any, gateway: Any) -> None:
    api = await start()
    number, _ = await open_order(api, gateway, "S0")
    at = "2026-11-21T10:00:00Z"
    for path, kinds in {
        "/admin/v1/orders": (str, 1),
        "/admin/v1/stock-movements": (1,),
        "/admin/v1/workflows": (1,),
        "/admin/v1/workflow-events": (1, 1),
        f"/admin/v1/orders/{number}/timeline": (str, 1, 1, 1),
        f"/admin/v1/orders/{number}/document/versions": (1,),
    }.items():
        for edge in (2**63 - 1, 2**31, -1, -(2**63)):
            position = (at, "N") if kinds == (str, 1) else [at if kind is str else edge for kind in kinds]
            cursor = stamped_cursor(encode_cursor(*position), "orchestrator", path)
            page = await api.get(f"{path}?count=true&cursor={cursor}")
            assert page["count"] == len((await api.get(path))["items"]), (path, position)


async def test_a_stopped_workflow_only_collects_until_it_is_resumed(start: Any, gateway: Any, listener: Any) -> None:
    api = await start()
    number, workflow = await open_order(api, gateway, "S1")
    status, answer = await api.call(
        "POST", f"/admin/v1/workflows/{workflow}/stop", {"reason": "polling has to end"}, role="operator"
    )
    assert (status, answer["before"]["state"], answer["after"]["state"]) == (200, 1, 2)
    stopped = [event for event in await listener.gather("notifier.orders", 2) if "workflow" in event.type]
    assert [(event.type, event.data["actor"], event.data["reason"]) for event in stopped] == [
        ("orders.workflow.stopped.v1", "operator", "polling has to end")
    ]

    async def derived() -> Any:
        assert (await api.order(number))["aggregate_state"] == "stopped"
        return True

    await eventually(derived, what="the aggregate state is derived through the change table")
    await gateway.send(gateway.hook("S1", "order.paid", minute=2))

    async def collected() -> Any:
        events = await api.all(f"/admin/v1/workflow-events?workflow_id={workflow}")
        assert [(item["seq"], item["state"], item["state_name"]) for item in events] == [(1, 2, "done"), (2, 1, "new")]
        of_order = await api.all(f"/admin/v1/workflow-events?order_number={number}&state=new")
        assert [(item["id"], item["attributes"]["delivery_id"] is not None) for item in of_order] == [
            (f"{workflow}-2", True)
        ]
        assert await api.get(f"/admin/v1/workflow-events/{workflow}-2") == of_order[0]
        return True

    await eventually(collected)
    assert (await api.order(number))["status"] == "created"
    assert (await api.call("POST", f"/admin/v1/workflows/{workflow}/stop", {"reason": "again"}))[0] == 409
    assert (await api.call("POST", f"/admin/v1/workflows/{workflow}/resume", {"reason": "go on"}))[0] == 200

    async def paid() -> Any:
        order = await api.order(number)
        assert (order["status"], order["aggregate_state"]) == ("paid", "in_progress")
        return True

    await eventually(paid)
    audit = await api.all(f"/admin/v1/audit?target=workflow:{workflow}")
    assert [(item["action"], item["actor"], item["before"]["state"], item["after"]["state"]) for item in audit] == [
        ("workflow.resume", "admin", 2, 1),
        ("workflow.stop", "operator", 1, 2),
    ]
    story = await api.all(f"/admin/v1/orders/{number}/timeline")
    assert [item["kind"] for item in story if item["kind"].startswith("workflow")] == [
        "workflow.stop",
        "workflow.resume",
    ]


async def test_a_crashed_workflow_can_be_retried_and_crashes_again_on_the_same_event(
    start: Any, gateway: Any, listener: Any
) -> None:
    api = await start()
    workflow = await crashed_workflow(api, gateway, "C1")
    assert len(await listener.gather("notifier.orders", 1)) == 1
    assert (await api.call("POST", f"/admin/v1/workflows/{workflow}/resume", {"reason": "wrong one"}))[0] == 409
    status, answer = await api.call("POST", f"/admin/v1/workflows/{workflow}/retry", {"reason": "try again"})
    assert (status, answer["after"]["state_name"]) == (200, "running")
    again = (await listener.gather("notifier.orders", 1))[0]
    assert (again.type, again.data["workflow_id"]) == ("orders.workflow.crashed.v1", workflow)


async def test_a_preview_changes_nothing_and_says_what_would_happen(start: Any, gateway: Any) -> None:
    api = await start()
    _, workflow = await open_order(api, gateway, "V1")
    status, answer = await api.call(
        "POST", f"/admin/v1/workflows/{workflow}/stop", {"reason": "a look", "dry_run": True}
    )
    assert (status, answer["dry_run"], answer["after"]["state"]) == (200, True, 2)
    assert (await api.all("/admin/v1/workflows"))[0]["state"] == 1
    assert await api.all("/admin/v1/audit") == []


async def test_the_same_key_does_the_same_operation_once(start: Any, gateway: Any) -> None:
    api = await start()
    _, workflow = await open_order(api, gateway, "K1")
    call = ("POST", f"/admin/v1/workflows/{workflow}/stop", {"reason": "once only"})
    first = await api.call(*call, headers={"Idempotency-Key": "k"})
    assert await api.call(*call, headers={"Idempotency-Key": "k"}) == first
    assert first[0] == 200
    assert len(await api.all("/admin/v1/audit")) == 1


async def test_the_aggregate_state_is_derived_again_on_demand(start: Any, gateway: Any, database: Any) -> None:
    api = await start()
    number, _ = await open_order(api, gateway, "A1")
    await database.execute("UPDATE orders SET aggregate_state = 'crashed'")
    status, answer = await api.call(
        "POST", f"/admin/v1/orders/{number}/recalculate", {"reason": "it drifted"}, role="operator"
    )
    derived = {"number": number, "dry_run": False, "before": "crashed", "after": "in_progress", "notices": []}
    assert (status, answer) == (200, derived)
    assert (await api.order(number))["aggregate_state"] == "in_progress"
    assert [item["action"] for item in await api.all(f"/admin/v1/audit?target=order:{number}")] == ["order.recalculate"]
    assert (await api.call("POST", "/admin/v1/orders/NOPE/recalculate", {"reason": "unknown"}))[0] == 404


async def test_flags_are_off_by_default_and_set_by_admins_only(start: Any) -> None:
    api = await start()
    flags = (await api.get("/admin/v1/flags"))["items"]
    assert [(item["name"], item["enabled"], item["share"]) for item in flags] == [
        ("tips_service", False, 10000),
        ("tips_service_experiment", False, 0),
        ("tips_service_shadow", False, 0),
    ]
    change = {"reason": "first step", "enabled": True, "share": 100, "expected_version": 1}
    path = "/admin/v1/flags/tips_service_experiment"
    assert (await api.call("PUT", path, change, role="operator"))[0] == 403
    status, answer = await api.call("PUT", path, change)
    assert (status, answer["enabled"], answer["share"], answer["version"], answer["updated_by"]) == (
        200,
        True,
        100,
        2,
        "admin",
    )
    assert answer["percent"] == 1.0
    assert (await api.call("PUT", path, change))[0] == 409
    for wrong in (True, False, 0.5, "50", 10_001):
        assert (await api.call("PUT", path, {"reason": "wrong", "enabled": True, "share": wrong}))[0] == 422
    halved = await api.call("PUT", path, {"reason": "half a percent", "enabled": True, "share": 50})
    assert (halved[1]["share"], halved[1]["percent"]) == (50, 0.5)
    assert (await api.call("PUT", "/admin/v1/flags/nope", {"reason": "unknown", "enabled": True}))[0] == 404


WRONG_CALLS = [
    ("GET", "/orders/v1/orders/NOPE", None, "internal", 404),
    ("GET", "/orders/v1/orders?source=a", None, "internal", 400),
    ("GET", "/admin/v1/orders", None, "internal", 403),
    ("GET", "/admin/v1/orders/NOPE/timeline", None, "viewer", 404),
    ("GET", "/admin/v1/orders/NOPE/refunds", None, "viewer", 404),
    ("GET", "/admin/v1/orders/NOPE/document/versions", None, "viewer", 404),
    ("GET", "/admin/v1/workflows?state=odd", None, "viewer", 400),
    ("GET", "/admin/v1/workflow-events?workflow_id=0", None, "viewer", 400),
    ("GET", "/admin/v1/workflow-events/1-1", None, "viewer", 404),
    ("GET", "/admin/v1/workflow-events/x-1", None, "viewer", 404),
    ("POST", "/admin/v1/workflows/1/stop", {"reason": "because"}, "viewer", 403),
    ("POST", "/admin/v1/workflows/1/stop", {"reason": "because"}, "operator", 404),
    ("POST", "/admin/v1/workflows/1/stop", {}, "operator", 422),
    ("POST", "/admin/v1/workflows/x/retry", {"reason": "because"}, "operator", 404),
]


async def test_wrong_calls_are_answered_with_what_is_wrong(start: Any) -> None:
    api = await start()
    answers = []
    for method, path, body, role, _ in WRONG_CALLS:
        status, problem = await api.call(method, path, body, role=role)
        answers.append((method, path, body, role, status if problem["status"] == status else problem))
    assert answers == WRONG_CALLS


async def test_lists_are_filtered_and_paged_to_the_end(start: Any, gateway: Any) -> None:
    api = await start()
    for index in range(7):
        await gateway.send(gateway.hook(f"P{index}", "order.created", minute=1, positions=[gateway.position("a")]))

    async def all_known() -> Any:
        assert len(await api.all("/admin/v1/orders?store_id=17&status=created&source=sbermarket")) == 7
        return True

    await eventually(all_known)
    seen, cursor = [], ""
    while True:
        page = await api.get(f"/admin/v1/orders?limit=3{cursor}")
        seen.append([item["external_id"] for item in page["items"]])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert [len(part) for part in seen] == [3, 3, 1]
    assert sorted(name for part in seen for name in part) == [f"P{index}" for index in range(7)]
    assert await api.all("/admin/v1/orders?status=paid") == []
    assert [item["external_id"] for item in await api.all("/admin/v1/orders?external_id=P3")] == ["P3"]


async def test_metrics_stand_at_zero_and_count_what_happens(start: Any, gateway: Any) -> None:
    api = await start()
    async with api.session.get(api.url + "/metrics") as answer:
        before = await answer.text()
    assert 'order_transitions_total{act="create",hook="order.created"} 0.0' in before
    await open_order(api, gateway, "X1")

    async def counted() -> Any:
        async with api.session.get(api.url + "/metrics") as answer:
            text = await answer.text()
        assert 'order_transitions_total{act="create",hook="order.created"} 1.0' in text
        assert 'workflow_events_completed_total{kind="order_life"} 1.0' in text
        assert 'order_recent{status="created"} 1.0' in text
        assert 'database_table_bytes{table="workflow_event"} 0.0' not in text
        return True

    await eventually(counted)
