"""Operators' recipes as single calls on really crashed and really stopped workflows: many at once, past events, all orders."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.integration.orchestrator.factories import all_taken
from tests.support.servers import eventually

NOTHING = 10**15


async def three_orders(gateway: Any, database: Any) -> dict[str, int]:
    """One order that goes on, one that has crashed, one that has finished; their workflows by name."""
    good = [gateway.position("a")]
    await gateway.send(
        gateway.hook("RUNS", "order.created", minute=1, positions=good),
        gateway.hook("CRASHED", "order.created", minute=1, positions=[{"id": "a", "quantity": "a few"}]),
        gateway.hook("DONE", "order.created", minute=1, positions=good),
        gateway.hook("DONE", "order.delivered", minute=2),
    )
    await all_taken(database, 4)
    ids = {
        row["order_number"]: row["id"]
        for row in await database.fetch("SELECT id, order_number FROM workflow WHERE kind = 'order_life'")
    }
    return {name: ids[gateway.number(name)] for name in ("RUNS", "CRASHED", "DONE")}


def outcomes(answer: Any) -> list[tuple[int, str, str | None]]:
    """What became of each."""
    return [
        (item["id"], item["outcome"], item["workflow"] and item["workflow"]["state_name"]) for item in answer["items"]
    ]


async def test_many_are_stopped_at_once_and_each_is_published_audited_and_recalculated(
    start: Any, gateway: Any, database: Any, listener: Any
) -> None:
    api = await start()
    ids = await three_orders(gateway, database)
    await listener.gather("notifier.orders", 4)
    [group] = (await api.get("/admin/v1/workflow-groups"))["items"]
    assert (group["kind"], group["state_name"], group["workflows"], group["code"]) == (
        "order_life",
        "crashed",
        1,
        "unreadable_hook",
    )
    [alike] = await api.all(f"/admin/v1/workflows?kind=order_life&state=crashed&code={group['code']}")
    assert alike["id"] == ids["CRASHED"]
    asked = {"reason": "polling has to end", "ids": [ids["DONE"], ids["RUNS"], NOTHING, ids["CRASHED"], ids["RUNS"]]}
    expected = [
        (ids["DONE"], "refused", None),
        (ids["RUNS"], "stopped", "stopped"),
        (NOTHING, "not_found", None),
        (ids["CRASHED"], "stopped", "stopped"),
    ]
    status, preview = await api.call("POST", "/admin/v1/workflows/stop", {**asked, "dry_run": True}, role="operator")
    assert (status, preview["dry_run"], preview["stopped"], outcomes(preview)) == (200, True, 2, expected)
    assert await api.all("/admin/v1/audit") == []
    assert await listener.take("notifier.orders") == []

    key = {"Idempotency-Key": "stop-1"}
    first = await api.call("POST", "/admin/v1/workflows/stop", asked, role="operator", headers=key)
    assert (first[0], first[1]["stopped"], outcomes(first[1])) == (200, 2, expected)
    assert await api.call("POST", "/admin/v1/workflows/stop", asked, role="operator", headers=key) == first
    again = await api.call("POST", "/admin/v1/workflows/stop", asked, role="operator")
    assert [outcome for _, outcome, _ in outcomes(again[1])] == ["refused", "refused", "not_found", "refused"]

    announced = await listener.gather("notifier.orders", 2)
    assert sorted((event.type, event.data["workflow_id"], event.data["reason"]) for event in announced) == sorted(
        ("orders.workflow.stopped.v1", ids[name], "polling has to end") for name in ("RUNS", "CRASHED")
    )
    audit = await api.all("/admin/v1/audit?action=workflow.stop")
    assert sorted((item["target"], item["actor"], item["after"]["state"]) for item in audit) == sorted(
        (f"workflow:{ids[name]}", "operator", 2) for name in ("RUNS", "CRASHED")
    )

    of_order = await api.all(f"/admin/v1/audit?order={gateway.number('CRASHED')}&actor=operator")
    assert [item["target"] for item in of_order] == [f"workflow:{ids['CRASHED']}"]
    began = of_order[0]["at"].replace("+", "%2B")
    assert await api.all(f"/admin/v1/audit?action=workflow.stop&to={began}") == [
        item for item in audit if item["at"] < of_order[0]["at"]
    ]
    groups = (await api.get("/admin/v1/workflow-groups"))["items"]
    assert sorted((one["state_name"], one["workflows"], one["code"] or "") for one in groups) == [
        ("stopped", 1, ""),
        ("stopped", 1, "unreadable_hook"),
    ]

    async def derived() -> bool:
        assert (await api.order(gateway.number("RUNS")))["aggregate_state"] == "stopped"
        return True

    await eventually(derived)
    found = await api.all("/admin/v1/orders?aggregate_state=stopped")
    assert [item["external_id"] for item in found] == ["RUNS"]


async def test_a_filter_stops_what_it_names_and_no_more_than_the_limit(start: Any, gateway: Any, database: Any) -> None:
    api = await start()
    ids = await three_orders(gateway, database)
    call = ("POST", "/admin/v1/workflows/stop")
    status, answer = await api.call(*call, {"reason": "the store burns", "filter": {"store_id": "17"}})
    assert (status, outcomes(answer), answer["more"]) == (200, [(ids["RUNS"], "stopped", "stopped")], False)
    await api.call("POST", f"/admin/v1/workflows/{ids['RUNS']}/resume", {"reason": "it does not"})
    everything = {"reason": "all", "filter": {"kind": "order_life"}, "limit": 1, "dry_run": True}
    status, answer = await api.call(*call, everything)
    assert (status, len(answer["items"]), answer["more"]) == (200, 1, True)
    status, answer = await api.call(*call, {"reason": "the crashed ones", "filter": {"state": "crashed"}})
    assert (status, outcomes(answer)) == (200, [(ids["CRASHED"], "stopped", "stopped")])
    wrong: list[dict[str, Any]] = [
        {},
        {"filter": {}},
        {"filter": {"state": "running"}},
        {"ids": []},
        {"ids": [1], "filter": {"kind": "x"}},
    ]
    for body in wrong:
        assert (await api.call(*call, {"reason": "too much", **body}))[0] == 422, body
    assert (await api.call(*call, {"reason": "not mine", "ids": [1]}, role="viewer"))[0] == 403


async def test_events_are_found_by_the_state_that_follows_from_the_cursor(
    start: Any, gateway: Any, database: Any
) -> None:
    api = await start()
    ids = await three_orders(gateway, database)
    await gateway.send(gateway.hook("CRASHED", "order.paid", minute=3))
    await all_taken(database, 5)

    async def shown(query: str) -> list[tuple[str, int, str]]:
        items = await api.all(f"/admin/v1/workflow-events?{query}")
        return [(item["id"], item["state"], item["state_name"]) for item in items]

    await api.call("POST", f"/admin/v1/workflows/{ids['RUNS']}/stop", {"reason": "hold it"})
    await gateway.send(gateway.hook("RUNS", "order.paid", minute=3))
    await all_taken(database, 6)
    failed, parked = (f"{ids['CRASHED']}-1", 3, "failed"), (f"{ids['CRASHED']}-2", 2, "done")
    new = (f"{ids['RUNS']}-2", 1, "new")
    assert await shown("state=failed") == await shown("state=3") == [failed]
    assert await shown("state=new") == await shown("state=1") == [new]
    assert await shown(f"workflow_id={ids['CRASHED']}") == [failed, parked]
    assert await shown(f"workflow_id={ids['CRASHED']}&state=failed") == [failed]
    assert await shown(f"workflow_id={ids['RUNS']}&state=new") == [new]
    assert await shown(f"workflow_id={ids['DONE']}&state=done") == [
        (f"{ids['DONE']}-1", 2, "done"),
        (f"{ids['DONE']}-2", 2, "done"),
    ]
    assert {failed, new} <= set(await shown(""))
    done = await shown("state=done")
    assert {(f"{ids['DONE']}-1", 2, "done"), (f"{ids['DONE']}-2", 2, "done")} <= set(done)
    assert {name for _, _, name in done} == {"done"}
    assert (await api.call("GET", "/admin/v1/workflow-events?state=odd", role="viewer"))[0] == 400


async def test_a_past_event_is_carried_out_again_and_mends_what_was_wrong(
    start: Any, gateway: Any, database: Any, listener: Any
) -> None:
    api = await start()
    ids = await three_orders(gateway, database)
    number = gateway.number("DONE")
    # As if a release had worked the order out wrongly: other goods, another sum.
    await database.execute(
        "UPDATE orders SET document = jsonb_set(document, '{positions,0,quantity}', '\"9\"') WHERE number = $1", number
    )
    await listener.gather("notifier.orders", 4)
    path = f"/admin/v1/workflow-events/{ids['DONE']}-1/reprocess"
    preview = await api.call("POST", path, {"reason": "worked out wrongly", "dry_run": True}, role="operator")
    assert (preview[0], preview[1]["appended"]["id"]) == (200, f"{ids['DONE']}-3")
    status, answer = await api.call("POST", path, {"reason": "worked out wrongly"}, role="operator")
    assert (status, answer["original"]["state_name"], answer["appended"]["state_name"]) == (200, "done", "new")
    assert answer["appended"]["attributes"]["reprocess_of"] == 1
    assert (answer["workflow"]["state_name"], answer["workflow"]["pending"]) == ("running", 1)
    await all_taken(database, 5)
    order = await api.order(number)
    assert (order["positions"][0]["quantity"], order["status"], order["aggregate_state"]) == (
        "2",
        "delivered",
        "finished",
    )
    corrected = await listener.gather("notifier.orders", 1)
    assert [(event.type, event.data["difference"]["changed"][0]["after"]["quantity"]) for event in corrected] == [
        ("orders.order.corrected.v1", "2")
    ]
    # Once more: everything is right, nothing is told and no goods move a second time.
    assert (await api.call("POST", path, {"reason": "just to see"}))[0] == 200
    await all_taken(database, 6)
    assert await listener.take("notifier.orders") == []
    assert [item["quantity"] for item in await api.all(f"/admin/v1/stock-movements?number={number}")] == ["-2"]
    story = [item["kind"] for item in await api.all(f"/admin/v1/orders/{number}/timeline")]
    assert [kind for kind in story if "reprocess" in kind or "corrected" in kind] == [
        "workflow_event.reprocess",
        "order.corrected",
        "workflow_event.reprocess",
    ]


async def test_what_cannot_be_reprocessed_is_answered_with_the_reason(start: Any, gateway: Any, database: Any) -> None:
    api = await start()
    ids = await three_orders(gateway, database)
    refused = []
    for event, role, more in (
        (f"{ids['CRASHED']}-1", "operator", {}),  # it had no effect: the workflow is to be retried
        (f"{ids['DONE']}-9", "operator", {}),
        ("nonsense", "operator", {}),
        (f"{ids['DONE']}-1", "viewer", {}),
        (f"{ids['DONE']}-1", "operator", {"expected_version": 1}),
    ):
        status, problem = await api.call(
            "POST", f"/admin/v1/workflow-events/{event}/reprocess", {"reason": "because", **more}, role=role
        )
        refused.append((status, problem["code"]))
    assert refused == [
        (409, "conflict"),
        (404, "not_found"),
        (404, "not_found"),
        (403, "forbidden"),
        (409, "stale_version"),
    ]
    await api.call("POST", f"/admin/v1/workflows/{ids['RUNS']}/stop", {"reason": "hold it"})
    path = f"/admin/v1/workflow-events/{ids['RUNS']}-1/reprocess"
    answers = await asyncio.gather(*(api.call("POST", path, {"reason": f"at once {n}"}) for n in range(3)))
    assert sorted(status for status, _ in answers) == [200, 409, 409]


async def test_a_retry_that_crashes_again_ends_no_incident_and_a_stale_version_is_refused(
    start: Any, gateway: Any, database: Any, listener: Any
) -> None:
    api = await start()
    workflow = (await three_orders(gateway, database))["CRASHED"]
    (crash,) = [event for event in await listener.gather("notifier.orders", 4) if "workflow" in event.type]
    assert (crash.type, crash.subject, crash.data["order_number"]) == (
        "orders.workflow.crashed.v1",
        gateway.number("CRASHED"),
        gateway.number("CRASHED"),
    )
    version = (await api.all("/admin/v1/workflows?state=crashed"))[0]["version"]
    path = f"/admin/v1/workflows/{workflow}/retry"
    stale = await api.call("POST", path, {"reason": "mended", "expected_version": version - 1})
    assert (stale[0], stale[1]["code"]) == (409, "stale_version")
    assert (await api.call("POST", path, {"reason": "mended", "expected_version": version}))[0] == 200
    (crash,) = await listener.gather("notifier.orders", 1)
    assert (crash.type, crash.data["workflow_id"]) == ("orders.workflow.crashed.v1", workflow)
    await all_taken(database, 4)
    assert await listener.take("notifier.alerts") == []
    again = (await api.all("/admin/v1/workflows?state=crashed"))[0]
    assert again["version"] > version


async def test_aggregate_states_are_derived_again_for_some_and_for_all_with_a_preview(
    start: Any, gateway: Any, database: Any
) -> None:
    api = await start(upkeep_every=300, measure_every=300)  # the jobs do not do the same meanwhile
    await three_orders(gateway, database)
    runs, done = gateway.number("RUNS"), gateway.number("DONE")
    await database.execute("UPDATE orders SET aggregate_state = 'crashed'")
    path = "/admin/v1/orders/recalculate"
    status, preview = await api.call("POST", path, {"reason": "a look", "all": True, "dry_run": True})
    expected = sorted([(runs, "crashed", "in_progress"), (done, "crashed", "finished")])
    assert (status, preview["orders"], preview["differing"], preview["queued"]) == (200, 2, 2, 0)
    assert [(item["number"], item["before"], item["after"]) for item in preview["items"]] == expected
    status, answer = await api.call("POST", path, {"reason": "it drifted", "numbers": [runs, "NOPE"]}, role="operator")
    assert (status, answer["orders"], answer["differing"]) == (200, 2, 1)
    assert [(item["number"], item["before"], item["after"]) for item in answer["items"]] == [
        (runs, "crashed", "in_progress"),
        ("NOPE", None, None),
    ]
    assert (await api.order(runs))["aggregate_state"] == "in_progress"
    status, answer = await api.call("POST", path, {"reason": "all of them", "all": True}, role="operator")
    assert (status, answer["differing"], answer["queued"]) == (200, 1, 2)
    asked = "SELECT order_number FROM order_aggregate_change WHERE order_number IN (SELECT number FROM orders)"
    assert sorted(row["order_number"] for row in await database.fetch(asked)) == sorted([runs, done])
    targets = [item["target"] for item in await api.all("/admin/v1/audit?action=order.recalculate")]
    assert targets == ["orders:all", f"order:{runs}"]
    assert (await api.call("POST", path, {"reason": "what?"}))[0] == 422


async def test_states_are_derived_again_by_a_filter_as_planned(start: Any, gateway: Any, database: Any) -> None:
    api = await start(upkeep_every=300, measure_every=300)  # the jobs do not do the same meanwhile
    await three_orders(gateway, database)
    runs, done = gateway.number("RUNS"), gateway.number("DONE")
    await database.execute("UPDATE orders SET aggregate_state = 'crashed'")
    path, said = "/admin/v1/orders/recalculate", {"reason": "it drifted"}
    wanted = {"filter": {"aggregate_state": "crashed", "store_id": "17"}}
    status, plan = await api.call("POST", path, {**wanted, **said, "dry_run": True}, role="operator")
    assert (status, plan["matched"], {item["after"] for item in plan["items"]}) == (200, 2, {"in_progress", "finished"})
    assert (await api.call("POST", path, {"ids": [runs], **said}))[1]["items"][0]["outcome"] == "recalculated"
    status, answer = await api.call("POST", path, {"plan": plan["plan"], **said}, role="operator")
    assert (status, {item["id"]: item["outcome"] for item in answer["items"]}) == (
        200,
        {runs: "changed_since", done: "recalculated"},
    )
    assert (await api.order(done))["aggregate_state"] == "finished"
    assert (await api.call("POST", path, {"all": True, "ids": [runs], **said}))[0] == 422
